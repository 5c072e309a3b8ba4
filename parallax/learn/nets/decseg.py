"""The parts of DEC-Seg, for slices (axes = 2) and volumes (axes = 3).

Source: taozh2017/DECSeg@60b41d1. Norms are instance norms, as in the backbone of the suite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.learn.networks import decoder_levels, favour_background, he_initialise, score_head

MOST_CHANNELS = 64  # that leave an aggregation or a fusion
DROPOUT = (0.05, 0.1, 0.2, 0.3, 0.5)  # of a generator, fine to coarse; further levels as the last one
_ANISOTROPIC = 3.0  # an axis whose spacing is more than this many times the finest is not scaled


def small_shape(shape: Sequence[int], stride: int, spacing_mm: Sequence[float] | None = None) -> list[int]:
    """About half of each extent: max(stride, round(0.5 n / stride) * stride), halves rounded to even.

    Args:
        shape: voxels along each axis, multiples of `stride`.
        stride: voxels per position of the coarsest level.
        spacing_mm: along each axis; the coarse axes of thick slices keep their extent.
    """
    spacing = spacing_mm or [1.0] * len(shape)
    thick = [s > _ANISOTROPIC * min(spacing) for s in spacing]
    small = [
        n if keep else max(stride, round(0.5 * n / stride) * stride)
        for n, keep in zip(shape, thick, strict=True)
    ]
    # a single position has no spread that an instance norm could divide by
    return small if math.prod(small) > stride ** len(small) else list(shape)


def resized(x: Tensor, shape: Sequence[int], mode: str = "linear") -> Tensor:
    """The last axes of `x` [..., *shape'] at another size; first and last voxels stay in their places.

    Linear interpolation is one small matrix product per axis, as in `TrilinearUpsample`.

    Args:
        x: values.
        shape: new extents of as many trailing axes.
        mode: `linear`, or `nearest` (any type of number).
    """
    for axis, n in enumerate(shape, x.ndim - len(shape)):
        if x.shape[axis] != n:
            x = _nearest(x, axis, n) if mode == "nearest" else _linear(x, axis, n)
    return x


def _nearest(x: Tensor, axis: int, n: int) -> Tensor:
    return x.index_select(axis, torch.linspace(0, x.shape[axis] - 1, n, device=x.device).round().long())


def _linear(x: Tensor, axis: int, n: int) -> Tensor:
    unit = torch.eye(x.shape[axis], device=x.device, dtype=x.dtype)
    matrix = F.interpolate(unit[None], size=n, mode="linear", align_corners=True)[0]
    new = (*x.shape[:axis], n, *x.shape[axis + 1 :])
    if axis == x.ndim - 1:
        return (x.reshape(-1, x.shape[axis]) @ matrix).reshape(new)
    return (matrix.T @ x.reshape(-1, x.shape[axis], math.prod(x.shape[axis + 1 :]))).reshape(new)


def convolution(inputs: int, outputs: int, size: int, axes: int, stride: int = 1) -> nn.Module:
    """Convolution that keeps the extent (but for its stride)."""
    kind: type[nn.Conv2d | nn.Conv3d] = nn.Conv3d if axes == 3 else nn.Conv2d
    return kind(inputs, outputs, size, padding=size // 2, stride=stride)


def norm(channels: int, axes: int) -> nn.Module:
    """Instance norm with weights."""
    kind: type[nn.InstanceNorm2d | nn.InstanceNorm3d] = nn.InstanceNorm3d if axes == 3 else nn.InstanceNorm2d
    return kind(channels, affine=True)


def doubling(inputs: int, outputs: int, axes: int) -> nn.Module:
    """Transposed convolution to twice the extent."""
    kind: type[nn.ConvTranspose2d | nn.ConvTranspose3d] = (
        nn.ConvTranspose3d if axes == 3 else nn.ConvTranspose2d
    )
    return kind(inputs, outputs, 2, stride=2)


class ConvNormReLU(nn.Sequential):
    """Convolution, norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, axes: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            convolution(inputs, outputs, size, axes, stride), norm(outputs, axes), nn.ReLU(inplace=True)
        )


class CrossLevelAggregation(nn.Module):
    """CFA: a level and the coarser one beside it, half the channels each, under a gate per channel.

    Args:
        lower: channels of the finer level.
        higher: channels of the coarser one.
        width: channels of the result, even.
        axes: 2 or 3.
    """

    def __init__(self, lower: int, higher: int, width: int, axes: int) -> None:
        super().__init__()
        half = width // 2
        self.lower = ConvNormReLU(lower, half, axes, size=1)
        self.higher = convolution(higher, half, 1, axes)
        self.after_higher = nn.Sequential(norm(half, axes), nn.ReLU(inplace=True))
        self.mix = ConvNormReLU(2 * half, width, axes)
        # no norm here: these are means over a whole image, one number per channel
        narrow = max(width // 4, 1)
        self.gate = nn.Sequential(
            nn.Linear(width, narrow), nn.ReLU(inplace=True), nn.Linear(narrow, width), nn.Sigmoid()
        )
        self.out = ConvNormReLU(width, width, axes)

    def forward(self, lower: Tensor, higher: Tensor) -> Tensor:
        """[B, width, ...] at the size of `lower`."""
        # a 1x1 convolution and an interpolation may swap places: the convolution is cheaper first
        beside = self.after_higher(resized(self.higher(higher), lower.shape[2:]))
        x = self.mix(torch.cat([self.lower(lower), beside], dim=1))
        gate = self.gate(x.flatten(2).mean(dim=2)).view(*x.shape[:2], *[1] * (x.ndim - 2))
        gated: Tensor = self.out(x + x * gate)
        return gated


class Decoder(nn.Module):
    """From coarse to fine: transposed convolution, a skip beside it, two convolutions.

    Args:
        bottom: channels of the coarsest level.
        skips: channels of the skips, fine to coarse.
        widths: channels of this decoder's levels, fine to coarse.
        axes: 2 or 3.
    """

    def __init__(self, bottom: int, skips: Sequence[int], widths: Sequence[int], axes: int) -> None:
        super().__init__()
        below = [*widths[1:], bottom]
        self.upsample = nn.ModuleList(doubling(b, w, axes) for b, w in zip(below, widths, strict=True))
        self.fuse = nn.ModuleList(
            nn.Sequential(ConvNormReLU(w + skip, w, axes), ConvNormReLU(w, w, axes))
            for w, skip in zip(widths, skips, strict=True)
        )

    def forward(self, bottom: Tensor, skips: Sequence[Tensor]) -> list[Tensor]:
        """Features of all levels, fine to coarse; the last is `bottom` itself."""
        return decoder_levels(reversed(self.upsample), reversed(self.fuse), [*skips, bottom])[::-1]


class DualScaleFusion(nn.Module):
    """DCF: each of two scales is told by the other where to look, then they are weighed voxel by voxel.

    Args:
        inputs: channels of either.
        width: channels of the result.
        axes: 2 or 3.
    """

    def __init__(self, inputs: int, width: int, axes: int) -> None:
        super().__init__()
        self.enter = nn.ModuleList(ConvNormReLU(inputs, width, axes) for _ in range(2))
        self.complete = nn.ModuleList(ConvNormReLU(width, width, axes) for _ in range(2))
        self.gate = ConvNormReLU(2 * width, 2, axes, size=1)

    def forward(self, full: Tensor, small: Tensor) -> Tensor:
        """[B, width, ...] at the size of `full`."""
        a, b = self.enter[0](full), self.enter[1](resized(small, full.shape[2:]))
        a, b = self.complete[0](a + b.sigmoid() * b), self.complete[1](b + a.sigmoid() * a)
        return weighed(a, b, self.gates(a, b))

    def gates(self, a: Tensor, b: Tensor) -> Tensor:
        """[B, 2, ...], which sum to 1 at each voxel."""
        scores: Tensor = self.gate(torch.cat([a, b], dim=1))
        return scores.softmax(dim=1)


def weighed(a: Tensor, b: Tensor, gates: Tensor) -> Tensor:
    """g_1 a + g_2 b of features [B, F, ...] and gates [B, 2, ...]."""
    return gates[:, :1] * a + gates[:, 1:] * b


class DualScale(nn.Module):
    """One encoder for an image and its small copy, a decoder for each, and one for what both found.

    Args:
        encoder: gives features of each level of `widths`, fine (half size) to coarse.
        widths: its channels.
        heads: m, channels of the image and heads.
        classes: C, background counted.
        axes: 2 or 3.
    """

    def __init__(
        self, encoder: nn.Module, widths: Sequence[int], heads: int, classes: int, axes: int
    ) -> None:
        super().__init__()
        narrow = [min(w, MOST_CHANNELS) for w in widths]
        own, bottom = list(widths[:-1]), widths[-1]
        self.aggregate = nn.ModuleList(
            CrossLevelAggregation(lower, higher, width, axes)
            for lower, higher, width in zip(widths, widths[1:], narrow, strict=False)
        )
        self.decoders = nn.ModuleList(Decoder(bottom, narrow[:-1], own, axes) for _ in range(2))
        self.fuse = nn.ModuleList(DualScaleFusion(w, n, axes) for w, n in zip(widths, narrow, strict=True))
        self.decoders.append(Decoder(narrow[-1], narrow[:-1], own, axes))
        self.heads = nn.ModuleList(score_head(widths[0], heads * classes, axes=axes) for _ in range(3))
        self.apply(he_initialise)
        for head in self.heads:
            favour_background(head[0], heads)  # type: ignore[index]
        self.encoder = encoder  # last: it comes initialised
        self._heads = (heads, classes)

    def forward(self, full: Tensor, small: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [B, m, C, ...] of the full scale, of the small one (at its size) and of both (full size).

        Args:
            full: [B, m, ...].
            small: the same image at the size of `small_shape`.
        """
        a, b = (self._decoded(x, decode) for x, decode in zip((full, small), self.decoders, strict=False))
        both = [fuse(x, y) for fuse, x, y in zip(self.fuse, a, b, strict=True)]
        last = self.decoders[2](both[-1], both[:-1])
        one, two, three = (
            head(levels[0]).unflatten(1, self._heads)
            for head, levels in zip(self.heads, (a, b, last), strict=True)
        )
        return one, two, three

    def _decoded(self, image: Tensor, decode: nn.Module) -> list[Tensor]:
        levels = self.encoder(image)
        skips = [cfa(*pair) for cfa, pair in zip(self.aggregate, pairwise(levels), strict=True)]
        found: list[Tensor] = decode(levels[-1], skips)
        return found


class Generator(nn.Sequential):
    """An image out of logits: a U-Net without skips, so that all has to pass the bottom.

    Args:
        inputs: channels of the logits.
        outputs: channels of the image.
        widths: channels per level, fine to coarse; extents must be multiples of what the coarsest one needs.
        axes: 2 or 3.
        half: the finest level works at half size, as in the backbone of the suite, else at full size.
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int], axes: int, *, half: bool) -> None:
        shrink = nn.MaxPool3d if axes == 3 else nn.MaxPool2d
        layers: list[nn.Module] = []
        for level, (before, width) in enumerate(zip((inputs, *widths), widths, strict=False)):
            stride = 2 if half and level == 0 else 1
            dropout = nn.Dropout(DROPOUT[min(level, len(DROPOUT) - 1)])
            layers += [shrink(2)] if level else []
            layers += [
                ConvNormReLU(before, width, axes, stride=stride),
                dropout,
                ConvNormReLU(width, width, axes),
            ]
        for below, width in zip(widths[:0:-1], widths[-2::-1], strict=True):
            layers += [
                doubling(below, width, axes),
                ConvNormReLU(width, width, axes),
                ConvNormReLU(width, width, axes),
            ]
        head = score_head(widths[0], outputs, axes=axes) if half else convolution(widths[0], outputs, 3, axes)
        super().__init__(*layers, head)
        self.apply(he_initialise)
