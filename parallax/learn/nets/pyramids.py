"""Encoders that several published networks share in all but their blocks."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn


class ResidualPyramid(nn.Module):
    """Per level what enters it, plus what a body makes of that; nothing after the sum.

    The encoder of MAG-MS, mmFormer, RFNet and RobustSeg, whose blocks differ.

    Args:
        enter: per level, fine to coarse, from the level before (the image for the first) to this one's size.
        body: per level, to the shape that it is given.
    """

    def __init__(self, enter: Iterable[nn.Module], body: Iterable[nn.Module]) -> None:
        super().__init__()
        self.enter, self.body = nn.ModuleList(enter), nn.ModuleList(body)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of an image [B, 1, X, Y, Z], fine to coarse."""
        features: list[Tensor] = []
        for enter, body in zip(self.enter, self.body, strict=True):
            x = enter(x)
            x = x + body(x)
            features.append(x)
        return features
