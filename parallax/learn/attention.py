"""Channel attention within a modality and fusion across modalities, as CMC uses them at the bottleneck."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.errors import GeometryError
from parallax.learn.cross_modality import conv_block


class ChannelAttention(nn.Module):
    """Self-product of channels, softmax, re-weighting, residual: the MIA module of CMC (no projections).

    out = gamma * A x + x with x the channels as rows, gamma one learned scalar that starts at 0 (identity).
    Source: figure of the paper; med-air/CMC@cb8dd11, model/Semi_SM_model_MIA.py:105-135.

    Args:
        weighting: `similar`: A = softmax(x xT); `dissimilar`: A = softmax(rowmax - x xT), the sign of DANet,
            which gives the most weight to the least similar channel and the least to the channel itself.
        energy: `fp32_div_voxels`: product in float32 over the number of voxels; `fp32_raw`: not divided;
            `fp16`: in half precision, NaN at activations of order 8 (for the record only).
    """

    def __init__(self, weighting: str = "similar", energy: str = "fp32_div_voxels") -> None:
        super().__init__()
        self.weighting, self.energy = weighting, energy
        self.gamma = nn.Parameter(torch.zeros(1))

    def weights(self, x: Tensor) -> Tensor:
        """Weight [B, C, C] that each channel (row) gives to every channel of `x` [B, C, X, Y, Z]."""
        rows = x.flatten(2)
        with torch.autocast(x.device.type, enabled=False):
            rows = rows.half() if self.energy == "fp16" else rows.float()
            product = rows @ rows.transpose(1, 2)
        if self.energy == "fp32_div_voxels":
            product = product / rows.shape[2]
        if self.weighting == "dissimilar":
            product = product.amax(dim=2, keepdim=True) - product
        return product.softmax(dim=2)

    def forward(self, x: Tensor) -> Tensor:
        """Re-weighted features, same shape as `x` [B, C, X, Y, Z]."""
        mixed = self.weights(x).to(x.dtype) @ x.flatten(2)
        return self.gamma * mixed.view_as(x) + x


class Fusion(nn.Module):
    """One map from the bottlenecks of all K modalities, brought back into each of them.

    Two convolution blocks on the concatenation of all K maps, then a sigmoid. Because a ReLU comes before the
    sigmoid, the fused map lies in [0.5, 1). A modality that is missing enters as zeros. Source: figure of the
    paper (`add`); med-air/CMC@cb8dd11, model/Semi_SM_model_MIA.py:177-223 (`concat_merge`).

    Args:
        channels: C of every map.
        modalities: K.
        mode: `add`: fused map added to each map; `concat_merge`: concatenated with it, then GroupNorm(16),
            ReLU and a 1x1x1 convolution.
        grid_mismatch: when maps differ in size, `resample_second`: every later map is resampled (trilinear)
            onto the first, the fused map back onto each; `error`: GeometryError; `copy_first`: each later map
            is replaced by a resized copy of the first, so that it has no influence (for the record only).
        norm: see `parallax.learn.cross_modality.make_norm`.
        shared_merge: one merge convolution for all modalities instead of one each (`concat_merge`).
    """

    def __init__(
        self,
        channels: int,
        modalities: int,
        *,
        mode: str = "add",
        grid_mismatch: str = "resample_second",
        norm: str = "instance",
        shared_merge: bool = False,
    ) -> None:
        super().__init__()
        self.mode, self.grid_mismatch, self.modalities = mode, grid_mismatch, modalities
        self.fuse = nn.Sequential(
            conv_block(modalities * channels, channels, norm),
            conv_block(channels, channels, norm),
            nn.Sigmoid(),
        )
        merges = 0 if mode == "add" else 1 if shared_merge else modalities
        self.merge = nn.ModuleList(_merge(channels) for _ in range(merges))

    def fused(self, maps: Sequence[Tensor]) -> Tensor:
        """Fused map [B, C, ...] in [0.5, 1) on the grid of the first of K `maps` [B, C, ...].

        Raises:
            GeometryError: if sizes differ and `grid_mismatch` is `error`.
        """
        return cast(Tensor, self.fuse(torch.cat([self._onto_first(maps[0], m) for m in maps], dim=1)))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """K maps with the shapes of `maps`, each with the fused map brought in. Raises as `fused` does."""
        fused = self.fused(maps)
        return [self._bring_in(resampled(fused, m), m, k) for k, m in enumerate(maps)]

    def _onto_first(self, first: Tensor, other: Tensor) -> Tensor:
        if first.shape[2:] == other.shape[2:]:
            return other
        if self.grid_mismatch == "error":
            raise GeometryError(
                "Feature maps of two modalities differ in size",
                where="fusion of cmc",
                expected=f"{tuple(first.shape[2:])}",
                found=f"{tuple(other.shape[2:])}",
                remedy="bring the modalities to one frame or set grid_mismatch to resample_second",
            )
        return first if self.grid_mismatch == "copy_first" else resampled(other, first)

    def _bring_in(self, fused: Tensor, own: Tensor, k: int) -> Tensor:
        if self.mode == "add":
            return own + fused
        return cast(Tensor, self.merge[k % len(self.merge)](torch.cat([fused, own], dim=1)))


def resampled(x: Tensor, like: Tensor) -> Tensor:
    """`x` [B, C, X, Y, Z], trilinear on the size of `like`; `x` itself when the sizes are equal."""
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, size=like.shape[2:], mode="trilinear", align_corners=False)


def _merge(channels: int) -> nn.Sequential:
    groups = math.gcd(16, 2 * channels)
    return nn.Sequential(
        nn.GroupNorm(groups, 2 * channels), nn.ReLU(inplace=True), nn.Conv3d(2 * channels, channels, 1)
    )
