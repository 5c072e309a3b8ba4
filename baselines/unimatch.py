"""UniMatch: the pseudo-label of a weak view teaches two strong views and a view with perturbed features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.learn.fusion import EarlyFusion, half_dice_ce
from parallax.learn.loss_forms import dice_ssl4mis, over_heads
from parallax.learn.mixing import box_mask, chosen, pasted
from parallax.learn.network_method import Batch, Clock
from parallax.learn.pseudo import hard_labels
from parallax.learn.semi_supervised import SemiSupervised
from parallax.learn.strong_views import StrongView


class UniMatch(SemiSupervised):
    """Early fusion with K heads, or one modality at a time; one network, which labels for itself."""

    name = "unimatch"
    title = "UniMatch (re-implementation from released code)"
    source = "arXiv 2208.09910; LiheYoung/UniMatch@0324f3d, more-scenarios/medical"
    presets = {
        "paper": {
            "input": "fused",
            "unlabelled": True,
            "lambda_max": 1.0,
            "ramp_fraction": 0.0,
            "ramp_stairs": 0,
            "threshold": 0.95,
            "strong_weight": 0.5,
            "feature_weight": 0.5,
            "feature_dropout": 0.5,
            "cutmix_probability": 0.5,
            "cutmix_least": 0.02,
            "cutmix_most": 0.4,
            "jitter": 0.5,
            "curve": 0.5,
            "jitter_probability": 0.8,
            "blur_sd_voxels": 1.0,
            "blur_probability": 0.5,
        },
        "released": {"curve": 0.0, "blur_sd_voxels": 2.0},
        "per_modality": {"input": "per_modality"},
        "supervised_only": {"unlabelled": False},
    }
    choices = {"input": ("fused", "per_modality")}
    passes_unlabelled = 4.0  # weak view, the same with perturbed features, two strong views

    def set_up(self) -> None:
        """How far a strong view goes."""
        super().set_up()
        self.strong = StrongView.of(self.switches)

    def learner(self, modalities: tuple[str, ...]) -> nn.Module:
        """The network of the supervised baseline."""
        return self.student(modalities)

    def learn(
        self, learner: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """(CE + Dice) / 2 on labelled crops; Dice with pseudo-labels on three views of unlabelled ones."""
        assert isinstance(learner, EarlyFusion)
        terms = {"supervised": half_dice_ce(learner(labelled.image, labelled.available), labelled)}
        if unlabelled is not None:
            features = learner.encode(unlabelled.image, unlabelled.available)
            weak = replace(unlabelled, label=self.pseudo_labels(learner, features, unlabelled.available))
            perturbed = learner.decode([F.dropout3d(x, self.switches["feature_dropout"]) for x in features])
            weight = self.weight(clock)
            strong = self.on_strong_views(
                learner, [self.view(weak, clock, key) for key in ("first", "second")]
            )
            terms["strong"] = weight * self.switches["strong_weight"] * strong
            terms["feature"] = weight * self.switches["feature_weight"] * dice_of(perturbed, weak)
        return terms

    @torch.no_grad()
    def pseudo_labels(self, learner: EarlyFusion, features: Sequence[Tensor], available: Tensor) -> Tensor:
        """Label maps [B, K, X, Y, Z] from the features of the weak view; no gradient."""
        return hard_labels(learner.decode(features), available, threshold=self.switches["threshold"])

    def view(self, weak: Batch, clock: Clock, key: str) -> Batch:
        """A strong view with its labels; some items hold a box of that of the next item (CutMix)."""
        generator = clock.generator(f"strong_view/{key}")
        strong = replace(weak, image=self.strong(weak.image, weak.available, generator))
        items = len(weak.cases)
        lot = torch.rand(2, items, generator=generator)
        mixed = lot[0] < self.switches["cutmix_probability"]
        least, most = self.switches["cutmix_least"], self.switches["cutmix_most"]
        side = (least + (most - least) * lot[1]) ** (1.0 / 3.0)
        box = box_mask(items, weak.image.shape[2:], side, generator).to(weak.image.device)
        own = torch.arange(items)
        partner = own.roll(-1).where(mixed, own)  # an item that is pasted into itself stays what it is
        return pasted(chosen(strong, partner), strong, box)

    def on_strong_views(self, learner: nn.Module, views: Sequence[Batch]) -> Tensor:
        """Mean over the views of the Dice loss with their labels, from one pass."""
        available = torch.cat([view.available for view in views])
        logits = learner(torch.cat([view.image for view in views]), available).chunk(len(views))
        return torch.stack([dice_of(z, view) for z, view in zip(logits, views, strict=True)]).mean()

    def answer(self, learner: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """The network's logits."""
        logits: Tensor = learner(image, available)
        return logits


def dice_of(logits: Tensor, batch: Batch) -> Tensor:
    """Dice loss of logits [B, K, C, X, Y, Z] with the labels of `batch`, mean over heads that have any."""
    assert batch.label is not None
    return over_heads(dice_ssl4mis, logits, batch.label)
