"""RFNet: coarse maps split the features of all modalities by class, and each class weighs the modalities.

Source of the architecture: dyh127/RFNet@1e475fa, models.py and layers.py (read, not copied).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.learn.availability import where_available
from parallax.learn.fusion import without_absent
from parallax.learn.nets.pyramids import ResidualPyramid
from parallax.learn.networks import TrilinearUpsample, favour_background, he_initialise, score_head

PUBLISHED_WIDTHS = (16, 32, 64, 128)
_MAP_WIDTH, _WEIGHT_WIDTH = 16, 128  # hidden channels of coarse maps and of the weighing of modalities


@dataclass(frozen=True)
class Style:
    """How the blocks of one network are built.

    Attributes:
        padding: mode of the convolutions.
        affine: whether instance norms learn scale and offset.
        slope: of the leaky ReLU.
        corners: whether upsampling keeps corners in place (`align_corners`).
        strided_stem: whether the finest level is at half resolution.
    """

    padding: Literal["zeros", "reflect"]
    affine: bool
    slope: float
    corners: bool
    strided_stem: bool

    def block(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
        """Convolution, instance norm, leaky ReLU."""
        convolution = nn.Conv3d(
            inputs, outputs, kernel, stride=stride, padding=kernel // 2, padding_mode=self.padding
        )
        norm = nn.InstanceNorm3d(outputs, affine=self.affine)
        return nn.Sequential(convolution, norm, nn.LeakyReLU(self.slope, inplace=True))

    def enlarge(self, x: Tensor, doublings: int = 1) -> Tensor:
        """Trilinear interpolation of [B, C, X, Y, Z] to 2**doublings times the size."""
        if self.corners and doublings:
            return F.interpolate(x, scale_factor=2**doublings, mode="trilinear", align_corners=True)
        for _ in range(doublings):
            x = TrilinearUpsample()(x)
        return x

    def scores(self, width: int, classes: int, heads: int = 1) -> nn.Module:
        """Scores [B, heads * classes, X, Y, Z] at full resolution from features of the finest level."""
        if not self.strided_stem:
            return nn.Conv3d(width, heads * classes, 1)
        return score_head(width, heads * classes)


PUBLISHED = Style(padding="reflect", affine=False, slope=0.2, corners=True, strided_stem=False)
SUITE = Style(padding="zeros", affine=True, slope=0.01, corners=False, strided_stem=True)


@dataclass(frozen=True)
class Fused:
    """What the fusing decoder makes of B items.

    Attributes:
        logits: [B, H, C, X, Y, Z], one map per head.
        maps: log of the coarse maps of the levels at full resolution, fine to coarse, each [B, C, X, Y, Z].
    """

    logits: Tensor
    maps: tuple[Tensor, ...]


class RFNet(nn.Module):
    """K encoders, one decoder that fuses, one decoder that all modalities share.

    Args:
        encoders: one per modality, from [B, 1, X, Y, Z] to features [B, widths[i], ...], fine to coarse.
        widths: channels per level.
        classes: C, background counted.
        heads: H, number of fused maps.
        style: how the blocks of both decoders are built.
    """

    def __init__(
        self, encoders: Iterable[nn.Module], widths: Sequence[int], classes: int, heads: int, style: Style
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.fusing = FusingDecoder(widths, len(self.encoders), classes, heads, style)
        self.single = SingleDecoder(widths, classes, style)
        self.fusing.apply(he_initialise)
        self.single.apply(he_initialise)
        if style.strided_stem:
            favour_background(cast(nn.Sequential, self.fusing.scores)[0], heads)
            favour_background(cast(nn.Sequential, self.single.scores)[0])
            for coarse in self.fusing.coarse:
                favour_background(cast(CoarseMap, coarse).classify[1])

    def encode(self, image: Tensor, available: Tensor) -> list[Tensor]:
        """Features [B, K, widths[i], ...] of image [B, K, X, Y, Z], fine to coarse; zeros where absent."""
        images = [image[:, k : k + 1] for k in range(image.shape[1])]
        pyramids = where_available(images, available, lambda k, x: self.encoders[k](x[0]))
        return [torch.stack(level, dim=1) for level in zip(*pyramids, strict=True)]

    def fuse(self, pyramid: Sequence[Tensor], seen: Tensor) -> Fused:
        """The fused answer from the modalities in `seen` [B, K]."""
        fused: Fused = self.fusing([without_absent(level, seen) for level in pyramid])
        return fused

    def alone(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Logits [B, K, C, X, Y, Z], each modality from its own features through the shared decoder."""
        logits: Tensor = self.single([level.flatten(0, 1) for level in pyramid])
        return logits.unflatten(0, pyramid[0].shape[:2])  # type: ignore[no-untyped-call,no-any-return]


class Level(nn.Module):
    """One level of a decoder: `lift` from the level below, `merge` with what the level itself offers."""

    def __init__(self, below: int, width: int, style: Style) -> None:
        super().__init__()
        self._style = style
        self.lifted = style.block(below, width)
        self.merged = nn.Sequential(style.block(2 * width, width), style.block(width, width, kernel=1))

    def lift(self, x: Tensor) -> Tensor:
        """[B, below, x, y, z] to [B, width, 2x, 2y, 2z]."""
        return cast(Tensor, self.lifted(self._style.enlarge(x)))

    def merge(self, x: Tensor, lifted: Tensor) -> Tensor:
        """Two maps [B, width, ...] to one."""
        return cast(Tensor, self.merged(torch.cat((x, lifted), dim=1)))


def _levels(widths: Sequence[int], style: Style) -> nn.ModuleList:
    """All levels of a decoder but the lowest, fine to coarse."""
    return nn.ModuleList(Level(b, w, style) for w, b in pairwise(widths))


class SingleDecoder(nn.Module):
    """The auxiliary decoder: one modality in, one map out; its weights serve all modalities."""

    def __init__(self, widths: Sequence[int], classes: int, style: Style) -> None:
        super().__init__()
        self.levels = _levels(widths, style)
        self.scores = style.scores(widths[0], classes)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Logits [N, C, X, Y, Z] of features [N, widths[i], ...], fine to coarse."""
        x = features[-1]
        for level, skip in zip(self.levels[::-1], features[-2::-1], strict=True):
            assert isinstance(level, Level)
            x = level.merge(level.lift(x), skip)
        return cast(Tensor, self.scores(x))


class FusingDecoder(nn.Module):
    """At each level, coarse to fine: a coarse map, region-aware fusion by it, and what came from below."""

    def __init__(
        self, widths: Sequence[int], modalities: int, classes: int, heads: int, style: Style
    ) -> None:
        super().__init__()
        self._style, self._heads = style, (heads, classes)
        self.levels = _levels(widths, style)
        self.coarse = nn.ModuleList(
            CoarseMap(w, modalities, classes, style, lowest=i == len(widths) - 1)
            for i, w in enumerate(widths)
        )
        self.fusion = nn.ModuleList(RegionFusion(w, modalities, classes, style) for w in widths)
        self.scores = style.scores(widths[0], classes, heads)

    def forward(self, pyramid: Sequence[Tensor]) -> Fused:
        """From features [B, K, widths[i], ...], zeros where absent, fine to coarse."""
        probability = self.coarse[-1](pyramid[-1])
        x, maps = self.fusion[-1](pyramid[-1], probability.detach()), [probability]
        for i in range(len(pyramid) - 2, -1, -1):
            level = self.levels[i]
            assert isinstance(level, Level)
            lifted = level.lift(x)
            maps.append(self.coarse[i](pyramid[i], lifted))
            x = level.merge(self.fusion[i](pyramid[i], maps[-1].detach()), lifted)
        first = int(self._style.strided_stem)
        full = [self._style.enlarge(p, i + first) for i, p in enumerate(reversed(maps))]
        logits: Tensor = self.scores(x).unflatten(1, self._heads)
        return Fused(logits, tuple(p.clamp(min=1e-7).log() for p in full))


class CoarseMap(nn.Module):
    """Class probabilities of one level from the features of all modalities and of the level below."""

    def __init__(self, width: int, modalities: int, classes: int, style: Style, *, lowest: bool) -> None:
        super().__init__()
        narrow = max(width // 4, 1)
        self.embed = nn.Sequential(
            style.block(width * modalities, narrow, kernel=1),
            style.block(narrow, narrow),
            style.block(narrow, width, kernel=1),
        )
        self.classify = nn.Sequential(
            style.block(width if lowest else 2 * width, _MAP_WIDTH, kernel=1),
            nn.Conv3d(_MAP_WIDTH, classes, 1),
        )

    def forward(self, features: Tensor, lifted: Tensor | None = None) -> Tensor:
        """Probabilities [B, C, x, y, z] from features [B, K, F, x, y, z] and lifted [B, F, x, y, z]."""
        x = self.embed(features.flatten(1, 2))
        if lifted is not None:
            x = torch.cat((lifted, x), dim=1)
        return cast(Tensor, self.classify(x)).float().softmax(dim=1)


class RegionFusion(nn.Module):
    """Sums the modalities in each region with weights of that region, and joins regions and a short cut."""

    def __init__(self, width: int, modalities: int, classes: int, style: Style) -> None:
        super().__init__()
        self.weigh = nn.ModuleList(
            nn.Sequential(
                nn.Linear(modalities * width + 1, _WEIGHT_WIDTH),
                nn.LeakyReLU(0.2),
                nn.Linear(_WEIGHT_WIDTH, modalities),
            )
            for _ in range(classes)
        )
        for layer in self.weigh.modules():
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight)
        self.regions = self._joined(width * classes, width, width - width // 2, style)
        self.short_cut = self._joined(width * modalities, width, width // 2, style)

    @staticmethod
    def _joined(inputs: int, width: int, outputs: int, style: Style) -> nn.Sequential:
        first, last = style.block(inputs, width, kernel=1), style.block(width, outputs, kernel=1)
        return nn.Sequential(first, style.block(width, width), last)

    def forward(self, features: Tensor, probability: Tensor) -> Tensor:
        """[B, F, x, y, z] from features [B, K, F, x, y, z] and class probabilities [B, C, x, y, z]."""
        weights = self.weights(features, probability)
        summed = torch.einsum("bck,bkfxyz->bcfxyz", weights, features) * probability.unsqueeze(2)
        joined = self.regions(summed.flatten(1, 2)), self.short_cut(features.flatten(1, 2))
        return torch.cat(joined, dim=1)

    def weights(self, features: Tensor, probability: Tensor) -> Tensor:
        """How much of each modality each region takes, [B, C, K] in 0..1."""
        share = probability.flatten(2).mean(dim=2) + 1e-7
        total = torch.einsum("bkfv,bcv->bckf", features.flatten(3), probability.flatten(2))
        mean = total / probability[0, 0].numel() / share[:, :, None, None]
        described = torch.cat((mean.flatten(2), share.unsqueeze(2)), dim=2)
        return torch.stack([mlp(described[:, c]) for c, mlp in enumerate(self.weigh)], dim=1).sigmoid()


class PublishedEncoder(ResidualPyramid):
    """Per level one block (strided but for the first) and a residual pair of blocks."""

    def __init__(self, widths: Sequence[int] = PUBLISHED_WIDTHS) -> None:
        inputs = [1, *widths[:-1]]
        super().__init__(
            [
                PUBLISHED.block(i, w, stride=2 if level else 1)
                for level, (i, w) in enumerate(zip(inputs, widths, strict=True))
            ],
            [nn.Sequential(PUBLISHED.block(w, w), PUBLISHED.block(w, w)) for w in widths],
        )
        self.apply(he_initialise)
