"""MC-Net+: three decoders on one encoder, each of which learns from the sharpened answers of the others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.learn.fusion import half_dice_ce, of_available
from parallax.learn.loss_forms import dice_mcnet, over_heads
from parallax.learn.nets.mcnet import ManyDecoders, enlarging_by
from parallax.learn.network_method import Batch, Clock
from parallax.learn.networks import initialised
from parallax.learn.pseudo import sharpened
from parallax.learn.semi_supervised import SemiSupervised


class MCNetPlus(SemiSupervised):
    """Early fusion with K heads, or one modality at a time, with two more decoders while it learns."""

    name = "mcnet_plus"
    title = "MC-Net+ (re-implementation from released code)"
    source = "arXiv 2109.09960; ycwu1997/MC-Net@fee453c, train_mcnet_3d.py, mcnet3d_v2"
    presets = {
        "paper": {
            "input": "fused",
            "unlabelled": True,
            "lambda_max": 1.0,
            "ramp_fraction": 0.4,
            "ramp_stairs": 0,
            "supervision": "dice_ce",
            "temperature": 0.1,
            "sharpen_norm": "renormalise",
            "detach_targets": True,
        },
        "released": {
            "ramp_stairs": 100,
            "supervision": "dice",
            "sharpen_norm": "elementwise",
            "detach_targets": False,
        },
        "per_modality": {"input": "per_modality"},
        "supervised_only": {"unlabelled": False},
    }
    choices = {
        "input": ("fused", "per_modality"),
        "supervision": ("dice_ce", "dice"),
        "sharpen_norm": ("renormalise", "elementwise"),
    }

    def learner(self, modalities: tuple[str, ...]) -> nn.Module:
        """Encoder and first decoder (initial weights of the supervised baseline) and two more decoders."""
        others = []
        for how in ("trilinear", "nearest"):
            with initialised(self.seed, self.initial(modalities, f"enlarging/{how}")):
                others.append(enlarging_by(how, self.student(modalities, how)))
        first = self.student(modalities)
        return ManyDecoders(first, others, modalities=len(modalities), classes=self.task.n_classes)

    def learn(
        self, learner: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """What each decoder should say of labelled crops; of all crops, that they agree."""
        assert isinstance(learner, ManyDecoders)
        answers = learner.answers(labelled.image, labelled.available)
        terms = {"supervised": torch.stack([self.supervised(answer, labelled) for answer in answers]).sum()}
        if unlabelled is not None:
            bare = learner.answers(unlabelled.image, unlabelled.available)
            both = [(answers, labelled.available), (bare, unlabelled.available)]
            maps = torch.stack([available.sum() for _, available in both])
            apart = torch.stack([self.disagreement(*one) for one in both])
            terms["consistency"] = self.weight(clock) * (apart * maps).sum() / maps.sum()
        return terms

    def supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        """(CE + Dice) / 2 of one decoder, or half of the release's Dice."""
        if self.switches["supervision"] == "dice_ce":
            return half_dice_ce(logits, batch)
        assert batch.label is not None
        return 0.5 * over_heads(dice_mcnet, logits, batch.label)

    def disagreement(self, answers: Sequence[Tensor], available: Tensor) -> Tensor:
        """Sum over ordered pairs of decoders of the squared difference of one and the other, sharpened.

        Args:
            answers: logits [B, K, C, X, Y, Z] of each decoder.
            available: bool [B, K]; heads of absent modalities have nothing to agree on.
        """
        p = [of_available(logits, available).float().softmax(dim=1) for logits in answers]
        norm, temperature = self.switches["sharpen_norm"] == "renormalise", self.switches["temperature"]
        with torch.set_grad_enabled(not self.switches["detach_targets"]):
            target = [sharpened(one, temperature, dim=1, renormalise=norm) for one in p]
        return torch.stack([F.mse_loss(p[i], target[j]) for i, j in permutations(range(len(p)), 2)]).sum()

    def answer(self, learner: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """The first decoder's."""
        logits: Tensor = learner(image, available)
        return logits
