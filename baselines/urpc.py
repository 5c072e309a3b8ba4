"""URPC: what a network says at several scales agrees with their mean, most where it does so already."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from parallax.learn.fusion import half_dice_ce, of_available
from parallax.learn.nets.urpc import PUBLISHED_DROPOUT, ScoresOfScales
from parallax.learn.network_method import Batch, Clock
from parallax.learn.networks import initialised
from parallax.learn.semi_supervised import SemiSupervised

_LEAST_P = 1e-30  # whose logarithm is finite


class Urpc(SemiSupervised):
    """One U-Net with heads at up to four scales of its decoder."""

    name = "urpc"
    title = "URPC (re-implementation from released code)"
    source = (
        "arXiv 2012.07042; HiLab-git/SSL4MIS@06df604, train_uncertainty_rectified_pyramid_consistency_3D.py"
    )
    presets = {
        "paper": {
            "input": "fused",
            "unlabelled": True,
            "lambda_max": 0.1,
            "ramp_fraction": 1.0,
            "ramp_stairs": 0,
            "scales": 4,
            "dropout": True,
            "predict_with": "finest",
        },
        "released": {"ramp_stairs": 400},
        "per_modality": {"input": "per_modality"},
        "supervised_only": {"unlabelled": False},
    }
    choices = {"input": ("fused", "per_modality"), "predict_with": ("finest", "mean")}
    at_prediction = ("predict_with",)

    def learner(self, modalities: tuple[str, ...]) -> nn.Module:
        """The suite's U-Net with initial weights of the supervised baseline, and more heads."""
        fusion = self.student(modalities)
        scales = min(self.switches["scales"], len(self.budget.widths))
        with initialised(self.seed, self.initial(modalities, "scales")):
            return ScoresOfScales(
                fusion,
                len(modalities),
                self.task.n_classes,
                scales=scales,
                dropout=PUBLISHED_DROPOUT[:scales] if self.switches["dropout"] else (),
            )

    def learn(
        self, learner: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """(CE + Dice) / 2 of each scale on labelled crops; lambda(t) times their disagreement."""
        scales = learner(labelled.image, labelled.available)
        terms = {"supervised": torch.stack([half_dice_ce(scale, labelled) for scale in scales]).mean()}
        if unlabelled is not None:
            there = unlabelled.available  # heads of absent modalities have nothing to agree on
            scales = [of_available(scale, there) for scale in learner(unlabelled.image, there)]
            terms["consistency"] = self.weight(clock) * pyramid_consistency(scales)
        return terms

    def answer(self, learner: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """The finest scale, or (as logits) the mean distribution of all."""
        scales: list[Tensor] = learner(image, available)
        if self.switches["predict_with"] == "finest":
            return scales[0]
        return mean_of([scale.softmax(dim=2) for scale in scales]).clamp_min(_LEAST_P).log()


def pyramid_consistency(scales: Sequence[Tensor]) -> Tensor:
    """Mean over scales s of mean(|p_s - m|^2 w_s) / mean(w_s) + mean(D_s), with w_s = exp(-D_s).

    m is the mean of the p_s and D_s = KL(m || p_s) of each voxel. The squared difference is a mean
    over classes as well. Gradients flow into m and w, as in the release.

    Args:
        scales: logits [N, C, ...] of each scale.
    """
    log_p = [logits.float().log_softmax(dim=1) for logits in scales]
    p = [each.exp() for each in log_p]
    mean = mean_of(p)
    # summed apart from the scales: on a CPU these maps of full resolution take most of a step
    negative_entropy = (mean * mean.clamp_min(_LEAST_P).log()).sum(dim=1)
    terms = []
    for p_s, log_p_s in zip(p, log_p, strict=True):
        divergence = negative_entropy - (mean * log_p_s).sum(dim=1)
        weight = torch.exp(-divergence)
        distance = (p_s - mean).square().mean(dim=1)
        terms.append((distance * weight).mean() / (weight.mean() + 1e-8) + divergence.mean())
    return torch.stack(terms).mean()


def mean_of(maps: Sequence[Tensor]) -> Tensor:
    """Voxel-wise mean of maps of one shape."""
    total = maps[0]
    for other in maps[1:]:
        total = total + other
    return total / len(maps)
