"""URPC: what a network says at several scales agrees with their mean, most where it does so already."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.learn.fusion import half_dice_ce
from parallax.learn.nets.urpc import PUBLISHED_DROPOUT, ScoresOfScales
from parallax.learn.network_method import Batch, Clock
from parallax.learn.networks import initialised
from parallax.learn.semi_supervised import SemiSupervised


class Urpc(SemiSupervised):
    """One U-Net with heads at up to four scales of its decoder."""

    name = "urpc"
    title = "URPC (re-implementation from released code)"
    source = (
        "arXiv 2012.07042; HiLab-git/SSL4MIS@06df604, train_uncertainty_rectified_pyramid_consistency_3D.py"
    )
    adapter = "heads"
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
    preset_adapters = {"per_modality": "native"}
    without_pairs = ("per_modality",)
    choices = {"input": ("fused", "per_modality"), "predict_with": ("finest", "mean")}
    at_prediction = ("predict_with",)
    needs_pairs = True
    uses_unlabelled = True

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
            seen = unlabelled.available  # heads of absent modalities have nothing to agree on
            scales = learner(unlabelled.image, seen)[:, seen]
            terms["consistency"] = self.weight(clock) * pyramid_consistency(scales)
        return terms

    def answer(self, learner: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """The finest scale, or (as logits) the mean distribution of all."""
        scales: Tensor = learner(image, available)
        return (
            scales[0] if self.switches["predict_with"] == "finest" else mean_log_p(scales.log_softmax(dim=3))
        )


def pyramid_consistency(logits: Tensor) -> Tensor:
    """Mean over scales s of mean(|p_s - m|^2 w_s) / mean(w_s) + mean(D_s), with w_s = exp(-D_s).

    m is the mean of the p_s and D_s = KL(m || p_s) of each voxel. The squared difference is a mean
    over classes as well. Gradients flow into m and w, as in the release.

    Args:
        logits: [S, N, C, ...].
    """
    log_p = logits.float().log_softmax(dim=2)
    log_m = mean_log_p(log_p)
    divergence = F.kl_div(log_p, log_m.expand_as(log_p), reduction="none", log_target=True).sum(dim=2)
    weight = torch.exp(-divergence)
    voxels = tuple(range(1, weight.ndim))
    distance = (log_p.exp() - log_m.exp()).square().mean(dim=2)
    rectified = (distance * weight).mean(dim=voxels) / (weight.mean(dim=voxels) + 1e-8)
    return (rectified + divergence.mean(dim=voxels)).mean()


def mean_log_p(log_p: Tensor) -> Tensor:
    """Logarithm of the mean over the first axis of the distributions [S, ...]."""
    return log_p.logsumexp(dim=0) - math.log(len(log_p))
