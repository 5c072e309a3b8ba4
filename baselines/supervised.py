"""Lower anchor: one U-Net per modality, trained on the labelled cases of that modality alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parallax.learn.losses import dice_ce
from parallax.learn.network_method import Batch, Clock
from parallax.learn.per_modality import PerModality


class Supervised(PerModality):
    """Independent networks: what a method that joins modalities or uses unlabelled cases has to beat."""

    name = "supervised"
    title = "Supervised U-Net per modality"
    source = "baseline of this suite"
    adapter = "native"
    presets = {"paper": {}}
    no_released = "a baseline of this suite, without publication"

    def loss(
        self,
        net: nn.Module,
        labelled: Batch,
        unlabelled: Batch | None,
        clock: Clock,
    ) -> dict[str, Tensor]:
        """(CE + Dice) / 2 per modality, over the items that have a mask of it."""
        assert labelled.label is not None
        known = (labelled.available & labelled.labelled).cpu()
        terms = {}
        for k, (modality, part) in enumerate(zip(self.task.modality_names, net.children(), strict=True)):
            rows = known[:, k].nonzero()[:, 0]
            if len(rows):
                logits = part(labelled.image[rows, k : k + 1])
                terms[modality] = 0.5 * dice_ce(logits, labelled.label[rows, k])
        return terms

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """Each network on its own modality."""
        return torch.stack([part(image[:, k : k + 1]) for k, part in enumerate(net.children())], dim=1)
