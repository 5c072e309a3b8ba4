"""The network of MC-Net+: one encoder, and decoders that differ in how they enlarge features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import Tensor, nn

from parallax.learn.fusion import EarlyFusion, without_absent
from parallax.learn.networks import TrilinearUpsample, he_initialise

Enlarging = Literal["trilinear", "nearest"]


class ManyDecoders(nn.Module):
    """Early fusion of K modalities by one encoder, answered by D decoders.

    Args:
        first: its encoder is that of all, its decoder (transposed convolutions) the first.
        others: their decoders are the others; their encoders are dropped.
        modalities: K.
        classes: C, background counted.
    """

    def __init__(
        self, first: EarlyFusion, others: Iterable[EarlyFusion], *, modalities: int, classes: int
    ) -> None:
        super().__init__()
        self.first, self._heads = first, (modalities, classes)
        self.others = nn.ModuleList(other.unet for other in others)
        for unet in self.others:
            unet.encoder = nn.Identity()

    def forward(self, image: Tensor, available: Tensor) -> Tensor:
        """Logits [B, K, C, X, Y, Z] of the first decoder; image [B, K, X, Y, Z], available [B, K]."""
        logits: Tensor = self.first(image, available)
        return logits

    def answers(self, image: Tensor, available: Tensor) -> list[Tensor]:
        """Logits [B, K, C, X, Y, Z] of each decoder."""
        unets = [self.first.unet, *self.others]
        features = unets[0].encode(without_absent(image, available))
        logits = (unet.head(unet.decode(features)) for unet in unets)
        return [one.unflatten(1, self._heads) for one in logits]


def enlarging_by(how: Enlarging, fusion: EarlyFusion) -> EarlyFusion:
    """`fusion` with interpolation and a 3x3x3 convolution in place of each transposed convolution.

    Source: ycwu1997/MC-Net@fee453c, `Upsampling_function` (without its norm: the U-Net has none here).
    """
    enlarge = TrilinearUpsample() if how == "trilinear" else nn.Upsample(scale_factor=2, mode="nearest")
    fusion.unet.upsample = nn.ModuleList(
        nn.Sequential(enlarge, nn.Conv3d(old.in_channels, old.out_channels, 3, padding=1))
        for old in fusion.unet.upsample
    )
    fusion.unet.upsample.apply(he_initialise)
    return fusion
