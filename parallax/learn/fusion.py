"""Early fusion with one head per modality, shared by the methods that are cast on it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from parallax.case import IGNORE
from parallax.learn.batch import Batch
from parallax.learn.losses import dice_ce
from parallax.learn.networks import UNet


class EarlyFusion(nn.Module):
    """One U-Net that reads K modalities as channels (zeros where absent) and answers for each of them.

    Args:
        modalities: K.
        classes: C, background counted.
        widths: channels per stage of the U-Net.
    """

    def __init__(self, modalities: int, classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.unet = UNet(modalities, modalities * classes, widths, heads=modalities)
        self._heads = (modalities, classes)

    def forward(self, image: Tensor, available: Tensor) -> Tensor:
        """Logits [B, K, C, X, Y, Z] of image [B, K, X, Y, Z] and available [B, K]."""
        return self.decode(self.encode(image, available))

    def encode(self, image: Tensor, available: Tensor) -> list[Tensor]:
        """Features of all levels, as `UNet.encode` gives them."""
        return self.unet.encode(without_absent(image, available))

    def decode(self, features: Sequence[Tensor]) -> Tensor:
        """Logits from what `encode` returns."""
        logits: Tensor = self.unet.head(self.unet.decode(features))
        return logits.unflatten(1, self._heads)  # type: ignore[no-untyped-call,no-any-return]


def half_dice_ce(logits: Tensor, batch: Batch) -> Tensor:
    """(CE + Dice) / 2 over all known voxels of all modalities; logits [B, K, C, X, Y, Z].

    A modality of an item that carries no label takes no part.
    """
    assert batch.label is not None
    return 0.5 * dice_ce(logits.flatten(0, 1), batch.label.flatten(0, 1))


def without_absent(values: Tensor, available: Tensor) -> Tensor:
    """`values` [B, K, ...] with zeros where available [B, K] is False, whatever is there (even NaN)."""
    if bool(available.all()):
        return values
    # chosen, not multiplied: what an absent modality holds may be NaN
    return values.where(available.view(*available.shape, *[1] * (values.ndim - 2)), 0.0)


def of_available(values: Tensor, available: Tensor) -> Tensor:
    """The rows [N, ...] of `values` [B, K, ...] where available [B, K]; no copy is made where all are."""
    return values.flatten(0, 1) if bool(available.all()) else values[available]


def reference_label(batch: Batch) -> Tensor:
    """The label map [B, X, Y, Z] that a single map of an item learns from.

    It is that of the first modality, the reference; where an item has none, that of the next one that has.
    """
    assert batch.label is not None
    first = batch.labelled.int().argmax(dim=1)
    return batch.label[torch.arange(len(first), device=first.device), first]


def taught_alone(batch: Batch) -> Tensor:
    """Label maps [B, K, X, Y, Z] for streams that see one modality each: `IGNORE` where that is absent."""
    assert batch.label is not None
    return batch.label.where(batch.available[:, :, None, None, None], IGNORE)
