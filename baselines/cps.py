"""Cross pseudo supervision: two networks learn from each other's likeliest classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from parallax.learn.fusion import half_dice_ce
from parallax.learn.network_method import Batch, Clock
from parallax.learn.networks import initialised
from parallax.learn.pseudo import cross_entropy, hard_labels
from parallax.learn.semi_supervised import SemiSupervised

_NAMES = ("first", "second")


class CrossPseudoSupervision(SemiSupervised):
    """A learner is {first, second}, of different initial weights; each labels crops for the other."""

    name = "cps"
    title = "CPS (re-implementation from released code)"
    source = (
        "arXiv 2106.01226; HiLab-git/SSL4MIS@06df604, train_cross_pseudo_supervision_3D.py;"
        " preset original: charlesCXK/TorchSemiSeg@5e0c29c, voc8.res50v3+.CPS"
    )
    presets = {
        "paper": {
            "input": "fused",
            "unlabelled": True,
            "lambda_max": 0.1,
            "ramp_fraction": 1.0,
            "ramp_stairs": 0,
            "pseudo_labels_on": "unlabelled",
            "second_initial": "xavier",
            "predict_with": "first",
        },
        "released": {"ramp_stairs": 200},
        "original": {
            "lambda_max": 1.5,
            "ramp_fraction": 0.0,
            "pseudo_labels_on": "all",
            "second_initial": "he",
        },
        "per_modality": {"input": "per_modality"},
        "supervised_only": {"unlabelled": False},
    }
    choices = {
        "input": ("fused", "per_modality"),
        "pseudo_labels_on": ("unlabelled", "all"),
        "second_initial": ("xavier", "he"),
        "predict_with": ("first", "second"),
    }
    at_prediction = ("predict_with",)
    passes_labelled = 2.0
    passes_unlabelled = 2.0

    def learner(self, modalities: tuple[str, ...]) -> nn.Module:
        """Two students; the first has the initial weights of the supervised baseline."""
        second = self.student(modalities, "second")
        if self.switches["second_initial"] == "xavier":
            with initialised(self.seed, self.initial(modalities, "second/xavier")):
                second.apply(xavier_initialise)
        return nn.ModuleDict({"first": self.student(modalities), "second": second})

    def learn(
        self, learner: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """(CE + Dice) / 2 of both on labelled crops; lambda(t) times CE on what the other says."""
        networks = [learner.get_submodule(name) for name in _NAMES]
        known = [network(labelled.image, labelled.available) for network in networks]
        terms = {
            f"supervised/{name}": half_dice_ce(logits, labelled)
            for name, logits in zip(_NAMES, known, strict=True)
        }
        if unlabelled is not None:
            there = unlabelled.available
            answers = [network(unlabelled.image, there) for network in networks]
            if self.switches["pseudo_labels_on"] == "all":
                answers = [torch.cat(pair) for pair in zip(known, answers, strict=True)]
                there = torch.cat((labelled.available, there))
            weight = self.weight(clock)
            for name, mine, other in zip(_NAMES, answers, reversed(answers), strict=True):
                terms[f"pseudo/{name}"] = weight * cross_entropy(mine, hard_labels(other, there))
        return terms

    def answer(self, learner: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """The answer of the network that the preset names."""
        logits: Tensor = learner.get_submodule(self.switches["predict_with"])(image, available)
        return logits

    def groups(self, learner: nn.Module) -> list[dict[str, Any]]:
        """The two networks are clipped apart, as they were trained by two optimisers."""
        return [{"params": list(learner.get_submodule(name).parameters())} for name in _NAMES]


def xavier_initialise(module: nn.Module) -> None:
    """For `net.apply`: weights of convolutions from a Xavier normal distribution; biases stay."""
    if isinstance(module, nn.Conv3d):
        nn.init.xavier_normal_(module.weight)
