"""One U-Net per modality, whose scores are averaged over the modalities that are there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parallax.learn.availability import where_available
from parallax.learn.fusion import reference_label, taught_alone
from parallax.learn.losses import dice_ce
from parallax.learn.network_method import Batch, Clock
from parallax.learn.per_modality import PerModality


class LateFusion(PerModality):
    """Fusion of answers, not of features: no modality ever sees the image of another."""

    name = "late_fusion"
    title = "Late fusion (score average)"
    source = "baseline of this suite"
    adapter = "native"
    presets = {
        "paper": {"fused_loss": True, "output": "own"},
        "fused": {"output": "fused"},
    }
    preset_adapters = {"fused": "broadcast"}
    choices = {"fused_loss": (True, False), "output": ("own", "fused")}
    at_prediction = ("output",)
    min_modalities = 2
    no_released = "a baseline of this suite, without publication"

    def loss(
        self,
        net: nn.Module,
        labelled: Batch,
        unlabelled: Batch | None,
        clock: Clock,
    ) -> dict[str, Tensor]:
        """(CE + Dice) / 2 of each stream on its own mask, and of their average on that of the reference."""
        streams = _streams(net, labelled.image, labelled.available)
        label = taught_alone(labelled)
        terms = {
            modality: 0.5 * dice_ce(streams[:, k], label[:, k])
            for k, modality in enumerate(self.task.modality_names)
        }
        # Crops of two patients have no average; unpaired test cases have one modality, and so need none.
        if self.switches["fused_loss"] and self.paired_crops:
            average = _average(streams, labelled.available)
            terms["fused"] = 0.5 * dice_ce(average, reference_label(labelled))
        return terms

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """Each stream's own answer (the average where it has no image), or the average for all."""
        streams = _streams(net, image, available)
        fused = _average(streams, available).unsqueeze(1).expand_as(streams)
        if self.switches["output"] == "fused":
            return fused
        return streams.where(available[:, :, None, None, None, None], fused)


def _streams(net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
    """Logits [B, K, C, X, Y, Z]; zeros where a modality is absent."""
    parts, images = list(net.children()), [image[:, k : k + 1] for k in range(image.shape[1])]
    streams = where_available(images, available, lambda k, x: [parts[k](x[0])])
    return torch.stack([stream[0] for stream in streams], dim=1)


def _average(streams: Tensor, available: Tensor) -> Tensor:
    """Mean logits [B, C, X, Y, Z] over the modalities that are there."""
    weight = available.to(streams.dtype)
    weight = weight / weight.sum(dim=1, keepdim=True)
    return torch.einsum("bk,bkcxyz->bcxyz", weight, streams)
