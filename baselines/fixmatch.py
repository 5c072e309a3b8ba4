"""FixMatch: what the network says of a weak view, where it is sure, is the label of a strong view."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from parallax.case import IGNORE
from parallax.learn.fusion import half_dice_ce
from parallax.learn.loss_forms import dice_ssl4mis, over_heads
from parallax.learn.losses import softmax_ce
from parallax.learn.network_method import Batch, Clock
from parallax.learn.pseudo import cross_entropy, entropy, hard_labels
from parallax.learn.semi_supervised import SemiSupervised
from parallax.learn.strong_views import StrongView


class FixMatch(SemiSupervised):
    """Early fusion with K heads, or one modality at a time; one network, which labels for itself."""

    name = "fixmatch"
    title = "FixMatch (re-implementation from released code)"
    source = "arXiv 2001.07685; google-research/fixmatch@d4985a1; HiLab-git/SSL4MIS@06df604"
    presets = {
        "paper": {
            "input": "fused",
            "unlabelled": True,
            "lambda_max": 1.0,
            "ramp_fraction": 1.0,
            "ramp_stairs": 0,
            "threshold": 0.95,
            "confidence": "probability",
            "lowconf": "ignore",
            "complementary": False,
            "jitter": 0.8,
            "curve": 0.8,
            "jitter_probability": 1.0,
            "blur_sd_voxels": 1.0,
            "blur_probability": 0.5,
        },
        "released": {
            "lambda_max": 0.1,
            "ramp_stairs": 200,
            "threshold": 0.8,
            "confidence": "relative",
            "lowconf": "class0",
            "complementary": True,
            "curve": 0.0,
            "blur_probability": 0.0,
        },
        "per_modality": {"input": "per_modality"},
        "supervised_only": {"unlabelled": False},
    }
    choices = {
        "input": ("fused", "per_modality"),
        "confidence": ("probability", "relative"),
        "lowconf": ("ignore", "class0"),
    }

    def set_up(self) -> None:
        """Passes: weak and strong view, and the strong view of labelled crops where that is wanted."""
        self.passes_unlabelled = 3.0 if self.switches["complementary"] else 2.0
        self.strong = StrongView.of(self.switches)
        super().set_up()

    def learner(self, modalities: tuple[str, ...]) -> nn.Module:
        """The network of the supervised baseline."""
        return self.student(modalities)

    def learn(
        self, learner: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """(CE + Dice) / 2 on labelled crops; lambda(t) times the same on strong views of unlabelled ones."""
        known = learner(labelled.image, labelled.available)
        terms = {"supervised": half_dice_ce(known, labelled)}
        if unlabelled is not None:
            weak, seen = self.weak(learner, unlabelled), unlabelled.available
            strong = self.answer_strong(learner, unlabelled, clock, "unlabelled")
            cost = pseudo_label_loss(strong, self.pseudo_labels(weak, seen), seen)
            if self.switches["complementary"]:
                other = self.answer_strong(learner, labelled, clock, "labelled")
                weak = torch.cat([known.detach()[labelled.available], weak[seen]])
                cost = cost + 0.5 * complementary_loss(
                    weak, torch.cat([other[labelled.available], strong[seen]])
                )
            terms["unlabelled"] = self.weight(clock) * cost
        return terms

    @torch.no_grad()
    def weak(self, learner: nn.Module, batch: Batch) -> Tensor:
        """Logits of the crops as they come; no gradient."""
        logits: Tensor = learner(batch.image, batch.available)
        return logits

    def answer_strong(self, learner: nn.Module, batch: Batch, clock: Clock, key: str) -> Tensor:
        """Logits of a strong view of the crops."""
        image = self.strong(batch.image, batch.available, clock.generator(f"strong_view/{key}"))
        logits: Tensor = learner(image, batch.available)
        return logits

    def pseudo_labels(self, logits: Tensor, available: Tensor) -> Tensor:
        """Label maps [B, K, X, Y, Z] for the strong view from logits [B, K, C, X, Y, Z] of the weak one."""
        return hard_labels(
            logits,
            available,
            threshold=self.switches["threshold"],
            relative=self.switches["confidence"] == "relative",
            unsure=0 if self.switches["lowconf"] == "class0" else IGNORE,
        )

    def answer(self, learner: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """The network's logits."""
        logits: Tensor = learner(image, available)
        return logits


def pseudo_label_loss(logits: Tensor, label: Tensor, available: Tensor) -> Tensor:
    """(CE + Dice) / 2; CE sums over sure voxels and divides by all of them, so it grows as confidence does.

    Source: google-research/fixmatch@d4985a1 (mean over all of the masked CE).

    Args:
        logits: [B, K, C, X, Y, Z] of the strong view.
        label: [B, K, X, Y, Z], `IGNORE` where the weak view was not sure.
        available: bool [B, K].
    """
    sure = (label[available] != IGNORE).float().mean()
    return 0.5 * (sure * cross_entropy(logits, label) + over_heads(dice_ssl4mis, logits, label))


def complementary_loss(weak: Tensor, strong: Tensor) -> Tensor:
    """w^2 CE of softmax(1 - p_strong) and the unlikeliest class of the weak view: that it is not this one.

    w = 1 - mean over maps and classes of the entropy over voxels of p_strong, divided by ln(voxels); a map
    that is the same everywhere has w = 0. Source: HiLab-git/SSL4MIS@06df604, train_fixmatch_standard_augs.py,
    which multiplies by w twice.

    Args:
        weak: logits [N, C, X, Y, Z]; no gradient flows into them.
        strong: logits [N, C, X, Y, Z].
    """
    p = strong.float().softmax(dim=1)
    over_voxels = p.flatten(2) / p.flatten(2).sum(dim=2, keepdim=True).clamp_min(1e-30)
    spread = entropy(over_voxels, dim=2, floor=1e-12).mean() / math.log(over_voxels.shape[2])
    return (1.0 - spread).square() * softmax_ce(1.0 - p, weak.detach().argmin(dim=1))
