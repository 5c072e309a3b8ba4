"""The networks of CMDFL: generators that become segmentors, and the fusion that their masks guide.

Facts from lixiaopang221/2m_re1@596772f.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.learn.networks import BACKGROUND_LOGIT, TrilinearUpsample, UNet, initialised
from parallax.learn.translation import CycleGan, PatchCritic

_WIDTHS = (16, 32, 64, 128, 256)
_CRITIC_WIDTH = 8
_FUSION_WIDTH = 16
_POOL = 10


def modality_groups(kinds: Sequence[str]) -> tuple[list[int], list[int]]:
    """Indices of two groups of modalities: those of the first one's kind and the others, else two halves.

    Args:
        kinds: of the K modalities, two at least. Of three of one kind the first two are together.
    """
    every = range(len(kinds))
    first = [k for k in every if kinds[k] == kinds[0]]
    if len(first) == len(kinds):
        first = list(every)[: (len(kinds) + 1) // 2]
    return first, [k for k in every if k not in first]


def cnl(channels: int, out_channels: int, slope: float = 0.01) -> nn.Sequential:
    """3x3x3 convolution, instance norm without weights, leaky ReLU."""
    return nn.Sequential(
        nn.Conv3d(channels, out_channels, 3, padding=1),
        nn.InstanceNorm3d(out_channels),
        nn.LeakyReLU(slope, inplace=True),
    )


class PublishedUNet(nn.Module):
    """The published U-Net, which serves as generator and, with another head, as segmentor.

    Args:
        channels: of the input, whose sides are multiples of 16.
        out_channels: of the output, which is linear.
        slope: of the leaky ReLU; 0.2 as generator, 0.01 as segmentor.
    """

    def __init__(self, channels: int, out_channels: int, slope: float = 0.01) -> None:
        super().__init__()
        inputs, last = [channels, *_WIDTHS[:-1]], _WIDTHS[-1] // 2
        outputs = [*_WIDTHS[:-1], last]
        self.down = nn.ModuleList(
            nn.Sequential(cnl(i, w, slope), cnl(w, o, slope))
            for i, w, o in zip(inputs, _WIDTHS, outputs, strict=True)
        )
        self.enlarge = TrilinearUpsample()
        self.up = nn.ModuleList()
        for width in _WIDTHS[-2::-1]:
            out = max(width // 2, _WIDTHS[0])
            self.up.append(nn.Sequential(cnl(last + width, width, slope), cnl(width, out, slope)))
            last = out
        self.head = nn.Sequential(nn.Conv3d(last, out_channels, 1), nn.Identity())

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last two decoder maps [B, 16, ...]: at half size and at full size."""
        skips: list[Tensor] = []
        for level in self.down:
            x = level(F.max_pool3d(x, 2) if skips else x)
            skips.append(x)
        found = [skips[-1]]
        for level, skip in zip(self.up, skips[-2::-1], strict=True):
            found.append(level(torch.cat((self.enlarge(found[-1]), skip), dim=1)))
        return found[-2], found[-1]

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, X, Y, Z] to [B, out_channels, X, Y, Z]."""
        return cast(Tensor, self.head(self.maps(x)[1]))


class SuiteUNet(UNet):
    """The U-Net of this suite, which also gives its last two decoder maps."""

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last two decoder maps: at quarter size and at half size."""
        coarser, finest = self.levels(self.encode(x))[-2:]
        return coarser, finest


class PublishedCritic(nn.Module):
    """Five convolutions of 4x4x4 voxels; 128 voxels along an axis give 7 patches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        body: list[nn.Module] = [nn.Conv3d(channels, 16, 4, stride=2, padding=1)]
        for width in (16, 32, 64):
            body += [
                nn.Conv3d(width, 2 * width, 4, stride=2, padding=1),
                nn.InstanceNorm3d(2 * width),
                nn.LeakyReLU(0.2),
            ]
        self.body = nn.Sequential(*body, nn.Conv3d(128, 1, 4, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Patch scores [B, 1, ...]; 1 means real."""
        return cast(Tensor, self.body(x))


class HistoryPool(nn.Module):
    """Ten past translations, half of which stand in for new ones before a critic (the CycleGAN scheme).

    They are buffers, so that a resumed run has them.

    Args:
        shape: of one image, [C, X, Y, Z].
        index_max: highest slot that a new image may replace, 9 for all ten.
    """

    def __init__(self, shape: Sequence[int], index_max: int) -> None:
        super().__init__()
        self.index_max = index_max
        self.slots: Tensor
        self.filled: Tensor
        self.register_buffer("slots", torch.zeros(_POOL, *shape))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def exchange(self, fake: Tensor, generator: torch.Generator) -> Tensor:
        """Images [B, C, X, Y, Z] to show instead of `fake`, of which some or all are kept."""
        shown = []
        for image in fake.detach().float():
            filled = int(self.filled)
            if filled < _POOL:
                self.slots[filled] = image
                self.filled += 1
            elif bool(torch.rand((), generator=generator) < 0.5):
                slot = int(torch.randint(self.index_max + 1, (), generator=generator))
                image, self.slots[slot] = self.slots[slot].clone(), image
            shown.append(image)
        return torch.stack(shown)

    def clear(self) -> None:
        """Forget all images: weights that are handed on shall not hold translations of patients."""
        self.slots.zero_()
        self.filled.zero_()


class MaskGuidedFusion(nn.Module):
    """Joins the last maps of two segmentors; their masks say which class the joint features speak for.

    Args:
        fine: channels of the finer map of each segmentor.
        coarse: channels of the map at half its size.
        classes: C.
        heads: maps that it makes.
    """

    def __init__(self, fine: int, coarse: int, classes: int, heads: int) -> None:
        super().__init__()
        self.fine, self.coarse = cnl(2 * fine, _FUSION_WIDTH), cnl(2 * coarse, _FUSION_WIDTH)
        self.enlarge, self.join = TrilinearUpsample(), cnl(2 * _FUSION_WIDTH, _FUSION_WIDTH)
        self.head = nn.Conv3d(_FUSION_WIDTH * classes, heads * classes, 1)

    def forward(self, fine: Sequence[Tensor], coarse: Sequence[Tensor], guide: Tensor) -> Tensor:
        """Scores [B, heads * C, ...] of the maps of both segmentors, guided by their masks [B, C, ...]."""
        joined = self.join(
            torch.cat(
                [self.fine(torch.cat(list(fine), 1)), self.enlarge(self.coarse(torch.cat(list(coarse), 1)))],
                1,
            )
        )
        return cast(Tensor, self.head(guided(joined, guide)))


def guided(features: Tensor, guide: Tensor) -> Tensor:
    """[B, C * F, ...]: `features` [B, F, ...] times each class of `guide` [B, C, ...], class by class."""
    return (guide.unsqueeze(2) * features.unsqueeze(1)).flatten(1, 2)


@dataclass(frozen=True)
class Answers:
    """Logits [B, heads, C, X, Y, Z] of both segmentors and of their fusion."""

    own: tuple[Tensor, Tensor]
    fused: Tensor


class CmdflNet(nn.Module):
    """Generators and critics between two groups of modalities, a segmentor of each, and their fusion.

    Args:
        groups: indices of the modalities of both groups.
        classes: C, background counted.
        one_map: whether segmentors and fusion make one map each, else one per modality.
        widths: of the suite's U-Net; None is the published network.
        patch: size of a crop, for the pools.
        pool_index_max: see `HistoryPool`.
        seed: of the run.
    """

    def __init__(
        self,
        groups: tuple[list[int], list[int]],
        classes: int,
        *,
        one_map: bool,
        widths: Sequence[int] | None,
        patch: Sequence[int],
        pool_index_max: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.groups, self.classes = groups, classes
        sizes = [len(group) for group in groups]
        heads = [1, 1] if one_map else sizes
        with initialised(seed, "cmdfl/translation"):
            generators = [_generator(sizes[g], sizes[1 - g], widths) for g in (0, 1)]
            self.gan = CycleGan(*generators, *(_critic(size, widths) for size in sizes))
        self.pools = nn.ModuleList(HistoryPool((size, *patch), pool_index_max) for size in sizes)
        self.segmentors = nn.ModuleList()
        for g in (0, 1):
            with initialised(seed, f"cmdfl/segmentor/{g}"):
                self.segmentors.append(_segmentor(sizes[g], classes, heads[g], widths))
        with initialised(seed, "cmdfl/fusion"):
            self.fusion = _fusion(classes, 1 if one_map else sum(sizes), widths)

    def translations(self) -> tuple[nn.Module, nn.Module]:
        """Per group the generator that makes it of the other group."""
        return self.gan.to_first, self.gan.to_second

    def transfer(self, *, head: bool) -> None:
        """Each segmentor goes on from the generator that reads its group; see `copy_weights`."""
        for generator, segmentor in zip(
            (self.gan.to_second, self.gan.to_first), self.segmentors, strict=True
        ):
            copy_weights(generator, segmentor, head=head)

    def forward(self, first: Tensor, second: Tensor) -> Answers:
        """Answers from the images [B, modalities of the group, X, Y, Z] of both groups."""
        maps = [net.maps(x) for net, x in zip(self._nets(), (first, second), strict=True)]
        scores = [net.head[0](fine) for net, (_, fine) in zip(self._nets(), maps, strict=True)]
        guide = torch.stack([self._split(s).softmax(dim=2).mean(dim=1) for s in scores]).sum(dim=0)
        fused = self.fusion([fine for _, fine in maps], [coarse for coarse, _ in maps], guide)
        full = [self._split(net.head[1](s)) for net, s in zip(self._nets(), scores, strict=True)]
        return Answers((full[0], full[1]), self._split(self._nets()[0].head[1](fused)))

    def _nets(self) -> list[SuiteUNet]:
        return cast(list[SuiteUNet], list(self.segmentors))

    def _split(self, scores: Tensor) -> Tensor:
        return scores.unflatten(1, (-1, self.classes))  # type: ignore[no-untyped-call,no-any-return]


@torch.no_grad()
def copy_weights(source: nn.Module, target: nn.Module, *, head: bool) -> None:
    """Copy every parameter whose name and shape agree; those of the head only if `head`."""
    given = dict(source.named_parameters())
    for name, parameter in target.named_parameters():
        if parameter.shape == given[name].shape and (head or not name.startswith("head.")):
            parameter.copy_(given[name])


def _generator(channels: int, out_channels: int, widths: Sequence[int] | None) -> nn.Module:
    if widths is None:
        return PublishedUNet(channels, out_channels, slope=0.2)
    generator = SuiteUNet(channels, out_channels, widths)
    nn.init.zeros_(cast(nn.Conv3d, generator.head[0]).bias)  # type: ignore[arg-type]
    return generator


def _segmentor(channels: int, classes: int, heads: int, widths: Sequence[int] | None) -> nn.Module:
    if widths is None:
        return PublishedUNet(channels, heads * classes)
    return SuiteUNet(channels, heads * classes, widths, heads=heads)


def _critic(channels: int, widths: Sequence[int] | None) -> nn.Module:
    return PublishedCritic(channels) if widths is None else PatchCritic(_CRITIC_WIDTH, channels)


def _fusion(classes: int, heads: int, widths: Sequence[int] | None) -> MaskGuidedFusion:
    if widths is None:
        return MaskGuidedFusion(_WIDTHS[0], _WIDTHS[0], classes, heads)
    fusion = MaskGuidedFusion(widths[0], widths[1], classes, heads)
    with torch.no_grad():  # as in every network of the suite
        fusion.head.bias.view(heads, classes)[:, 0] = BACKGROUND_LOGIT  # type: ignore[union-attr]
    return fusion
