"""The published network of robust divergence learning and its head for variational information distillation.

Source: Lboy11/Brain-Tumor-Segmentation@3607842.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.learn.norms import ModalityNorm, group_norm

FIRST_VARIANCE = 5.0
LEAST_VARIANCE = 1e-5


class VariationalHead(nn.Module):
    """Gaussian q(full | subset) with mean mu(subset) and one variance per channel.

    Args:
        channels: of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = [nn.Conv3d(channels, channels, 1, bias=False) for _ in range(3)]
        self.mean = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
        first = math.log(math.expm1(FIRST_VARIANCE - LEAST_VARIANCE))
        self.rho = nn.Parameter(torch.full((channels,), first))

    def forward(self, subset: Tensor, full: Tensor) -> Tensor:
        """Mean of ((mu(subset) - full)^2 / variance + log variance) / 2; features [B, channels, x, y, z]."""
        predicted = self.mean(subset).float()
        variance = (F.softplus(self.rho) + LEAST_VARIANCE).view(1, -1, 1, 1, 1)
        likelihood: Tensor = (predicted - full.float()).square() / variance + variance.log()
        return 0.5 * likelihood.mean()


class Block(nn.Sequential):
    """Twice: 3x3x3 convolution with bias, group norm of the modality, ReLU."""

    def __init__(self, inputs: int, middle: int, outputs: int, modalities: int) -> None:
        super().__init__(
            nn.Conv3d(inputs, middle, 3, padding=1),
            ModalityNorm(partial(group_norm, middle), modalities),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, outputs, 3, padding=1),
            ModalityNorm(partial(group_norm, outputs), modalities),
            nn.ReLU(inplace=True),
        )


class PublishedUNet(nn.Module):
    """The 3D U-Net of the release at half width: 16 to 128 channels, 3 245 235 parameters at K = 4, C = 3.

    Same interface as `parallax.learn.networks.UNet`.

    Args:
        out_channels: classes, background counted.
        modalities: K.
    """

    bottleneck: ClassVar[int] = 128

    def __init__(self, out_channels: int, modalities: int) -> None:
        super().__init__()
        widths = (1, 16, 32, 64, 128, self.bottleneck)
        self.down = nn.ModuleList(Block(i, o, o, modalities) for i, o in pairwise(widths))
        up = ((256, 128, 64), (128, 64, 32), (64, 32, 16), (32, 16, 16))
        self.up = nn.ModuleList(Block(i, m, o, modalities) for i, m, o in up)
        self.head = nn.Conv3d(16, out_channels, 1)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of `x` [B, 1, X, Y, Z], fine to coarse; the last one is the bottleneck at 1/16 size."""
        features: list[Tensor] = []
        for level in self.down:
            x = level(F.max_pool3d(x, 2) if features else x)
            features.append(x)
        return features

    def decode(self, skips: Sequence[Tensor]) -> Tensor:
        """Full-size features [B, 16, X, Y, Z], input of `head`."""
        x = skips[-1]
        for level, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = F.interpolate(x, skip.shape[2:], mode="trilinear", align_corners=True)
            x = level(torch.cat([skip, x], dim=1))
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, out_channels, X, Y, Z] of `x` [B, 1, X, Y, Z]."""
        logits: Tensor = self.head(self.decode(self.encode(x)))
        return logits
