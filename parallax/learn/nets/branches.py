"""Networks that see the same image and show, beside their answers, the features behind them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from parallax.learn.fusion import without_absent
from parallax.learn.networks import UNet
from parallax.learn.slices import Plane, from_slices, to_slices

_EIGHTH = 2  # decoder levels between an eighth of the resolution and half of it


@dataclass(frozen=True)
class Seen:
    """What a branch makes of a batch.

    Attributes:
        logits: [B, K, C, X, Y, Z].
        fine: last features of the decoder, at half resolution: [B, F, X/2, Y/2, Z/2], or [B * n, F, P/2, Q/2]
            where the branch works on the n slices of each item.
        middle: those at an eighth; where the network does not go that far down, the coarsest it has.
    """

    logits: Tensor
    fine: Tensor
    middle: Tensor


class Branch(nn.Module):
    """A U-Net that reads K modalities as channels (zeros where absent) and answers for each of them.

    Args:
        unet: takes K channels, gives K * C.
        modalities: K.
        classes: C, background counted.
        plane: plane of the slices that `unet` works on; None where it works on volumes.
    """

    def __init__(self, unet: UNet, modalities: int, classes: int, plane: Plane | None = None) -> None:
        super().__init__()
        self.unet, self.plane = unet, plane
        self._heads = (modalities, classes)

    def forward(self, image: Tensor, available: Tensor) -> Tensor:
        """Logits [B, K, C, X, Y, Z] of image [B, K, X, Y, Z] and available [B, K]."""
        return self.see(image, available).logits

    def see(self, image: Tensor, available: Tensor) -> Seen:
        """Logits and features of image [B, K, X, Y, Z] and available [B, K]."""
        image = without_absent(image, available)
        x = image if self.plane is None else to_slices(image, self.plane)
        levels = self.unet.levels(self.unet.encode(x))
        logits = self.unet.head(levels[-1])
        if self.plane is not None:
            logits = from_slices(logits, self.plane, len(image))
        return Seen(logits.unflatten(1, self._heads), levels[-1], levels[max(-1 - _EIGHTH, -len(levels))])
