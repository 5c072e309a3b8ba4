"""The network of mmFormer: encoders with a transformer each, one transformer across modalities, fusion.

Facts of the architecture: YaoZhang93/mmFormer@b18663a, mmformer/mmformer.py and layers.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn

from parallax.learn.fusion import without_absent
from parallax.learn.nets.pyramids import ResidualPyramid
from parallax.learn.nets.tokens import GridPositions, to_map, to_tokens
from parallax.learn.networks import TrilinearUpsample, UNet, decoder_levels, favour_background, he_initialise


@dataclass(frozen=True)
class Parts:
    """What mmFormer is built on.

    Attributes:
        encoders: one per modality, image [B, 1, X, Y, Z] to features from fine to coarse.
        fusing: decoder of the fused features; gives the features of all levels, from coarse to fine.
        auxiliary: decoder that all modalities share, same interface.
        widths: channels per level, fine to coarse.
        halvings: how often the finest level is halved against the image.
    """

    encoders: Sequence[nn.Module]
    fusing: nn.Module
    auxiliary: nn.Module
    widths: tuple[int, ...]
    halvings: int


@dataclass(frozen=True)
class Tokens:
    """Sizes and switches of the transformers.

    Attributes:
        width: numbers per token.
        heads: attention heads, a divisor of `width`.
        mlp_width: hidden units of the feed-forward part.
        grid: cells of the coarsest level in training.
        dropout: on attention weights and in the feed-forward part.
        mixed: tokens of one modality end up in the channels of several (the reshape of the release).
        key_mask: tokens of modalities that are not seen take no part in attention across modalities.
    """

    width: int
    heads: int
    mlp_width: int
    grid: tuple[int, ...]
    dropout: float = 0.1
    mixed: bool = False
    key_mask: bool = False


class MmFormer(nn.Module):
    """K images -> encoders -> a transformer each -> one transformer over all tokens -> progressive fusion.

    Args:
        parts: encoders and decoders.
        tokens: see `Tokens`.
        classes: C, background counted.
        maps: fused maps that are answered: K (one per modality) or 1.
    """

    def __init__(self, parts: Parts, tokens: Tokens, *, classes: int, maps: int) -> None:
        super().__init__()
        modalities, coarsest = len(parts.encoders), parts.widths[-1]
        self._tokens = tokens
        self.encoders = nn.ModuleList(parts.encoders)
        self.fusing, self.auxiliary = parts.fusing, parts.auxiliary
        self.intra = nn.ModuleList(_layer(tokens) for _ in range(modalities))
        self.into = nn.ModuleList(nn.Conv3d(coarsest, tokens.width, 1) for _ in range(modalities))
        self.positions = nn.ModuleList(GridPositions(tokens.width, tokens.grid) for _ in range(modalities))
        self.inter = _layer(tokens)
        self.out_of = nn.Conv3d(modalities * tokens.width, modalities * coarsest, 1)
        self.merges = nn.ModuleList(_merge(modalities * width, width) for width in parts.widths)
        halvings = range(parts.halvings, parts.halvings + len(parts.widths))
        self.heads = nn.ModuleList(
            Head(width, classes, maps, n) for width, n in zip(parts.widths, halvings, strict=True)
        )
        self.auxiliary_head = Head(parts.widths[0], classes, 1, parts.halvings)

    def encode(self, image: Tensor, available: Tensor) -> list[list[Tensor]]:
        """Features of each modality, fine to coarse; what is not available is never read.

        Args:
            image: [B, K, X, Y, Z].
            available: bool [B, K].
        """
        image = without_absent(image, available)
        return [list(encoder(image[:, k : k + 1])) for k, encoder in enumerate(self.encoders)]

    def own(self, pyramids: Sequence[Sequence[Tensor]]) -> Tensor:
        """Logits [B, K, C, X, Y, Z] of each modality alone, from the decoder that all of them share.

        It reads features from before the transformers, as in the release.
        """
        levels = [torch.stack(level, dim=1).flatten(0, 1) for level in zip(*pyramids, strict=True)]
        logits: Tensor = self.auxiliary_head(self.auxiliary(levels)[-1])
        return logits[:, 0].unflatten(0, (-1, len(pyramids)))  # type: ignore[no-untyped-call,no-any-return]

    def fused(self, pyramids: Sequence[Sequence[Tensor]], seen: Tensor, *, all_levels: bool) -> list[Tensor]:
        """Logits [B, maps, C, X, Y, Z] from the features of the modalities that are `seen` [B, K].

        Returns:
            One tensor per level, coarse to fine, each at full size; without `all_levels` the finest alone.
        """
        *levels, coarsest = [torch.stack(level, dim=1) for level in zip(*pyramids, strict=True)]
        skips = [without_absent(level, seen).flatten(1, 2) for level in levels]
        skips.append(self._across(coarsest, seen))
        merged = [merge(skip) for merge, skip in zip(self.merges, skips, strict=True)]
        features = self.fusing(merged)
        pairs = list(zip(reversed(self.heads), features, strict=True))
        return [head(x) for head, x in (pairs if all_levels else pairs[-1:])]

    def _across(self, coarsest: Tensor, seen: Tensor) -> Tensor:
        """[B, K, W, x, y, z] through both transformers to [B, K*W, x, y, z]."""
        modalities, _, *grid = coarsest.shape[1:]
        where = [positions(grid) for positions in self.positions]
        within = [
            intra(to_tokens(into(coarsest[:, k])) + where[k])
            for k, (intra, into) in enumerate(zip(self.intra, self.into, strict=True))
        ]
        tokens = without_absent(torch.stack(within, dim=1), seen)  # [B, K, N, D]
        count = tokens.shape[2]
        hidden = ~seen.repeat_interleave(count, dim=1) if self._tokens.key_mask else None
        across = self.inter(tokens.flatten(1, 2) + torch.cat(where, dim=1), src_key_padding_mask=hidden)
        channels = channels_of_voxels(across.unflatten(1, (modalities, count)), mixed=self._tokens.mixed)
        return cast(Tensor, self.out_of(to_map(channels, grid)))

    def transformers(self) -> list[nn.Parameter]:
        """Parameters of the transformers, with what leads into and out of them."""
        parts = (self.intra, self.into, self.positions, self.inter, self.out_of)
        return [parameter for part in parts for parameter in part.parameters()]


def channels_of_voxels(tokens: Tensor, *, mixed: bool) -> Tensor:
    """The tokens [B, K, N, D] of K modalities at N voxels as channels of those voxels: [B, N, K*D].

    `mixed`: reshaped without a transpose, as in the release. A voxel then holds K tokens that follow each
    other in one modality, not one token of each modality.
    """
    if mixed:
        return tokens.reshape(len(tokens), tokens.shape[2], -1)
    return tokens.transpose(1, 2).flatten(2)


class Head(nn.Module):
    """1x1x1 convolution to `maps` x `classes` logits, then `doublings` trilinear steps to full size."""

    def __init__(self, width: int, classes: int, maps: int, doublings: int) -> None:
        super().__init__()
        self.scores = nn.Conv3d(width, maps * classes, 1)
        self.upsample = nn.Sequential(*(TrilinearUpsample() for _ in range(doublings)))
        self.maps, self._shape = maps, (maps, classes)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, x, y, z] to [B, maps, C, X, Y, Z]."""
        logits: Tensor = self.upsample(self.scores(x))
        return logits.unflatten(1, self._shape)  # type: ignore[no-untyped-call,no-any-return]


def suite_mmformer(
    modalities: int, classes: int, widths: Sequence[int], tokens: Tokens, maps: int
) -> MmFormer:
    """mmFormer on the encoders and decoders of the suite, whose finest level is at half resolution."""
    encoders = [UNet(1, classes, widths).encoder for _ in range(modalities)]
    fusing, auxiliary = (SuiteDecoder(UNet(1, classes, widths)) for _ in range(2))
    net = MmFormer(Parts(encoders, fusing, auxiliary, tuple(widths), 1), tokens, classes=classes, maps=maps)
    for part in (net.into, net.out_of, net.merges, net.heads, net.auxiliary_head):
        part.apply(he_initialise)
    return _background_first(net)


def published_mmformer(modalities: int, classes: int, tokens: Tokens, maps: int) -> MmFormer:
    """mmFormer at its published widths: 36,391,760 weights for four modalities, four classes and one map."""
    widths = (8, 16, 32, 64, 128)
    encoders = [PublishedEncoder(widths) for _ in range(modalities)]
    parts = Parts(encoders, PublishedDecoder(widths), PublishedDecoder(widths), widths, 0)
    net = MmFormer(parts, tokens, classes=classes, maps=maps)
    for module in net.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight)
    return _background_first(net)


class SuiteDecoder(nn.Module):
    """The decoder of the suite's U-Net, which also gives the features of its coarser levels."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.upsample, self.fuse = unet.upsample, unet.fuse

    def forward(self, skips: Sequence[Tensor]) -> list[Tensor]:
        """Features from coarse to fine; the first is the last of `skips`."""
        return decoder_levels(self.upsample, self.fuse, skips)


class PublishedEncoder(ResidualPyramid):
    """Five levels of three convolutions; the last two of each are a residual. Norm before convolution."""

    def __init__(self, widths: Sequence[int]) -> None:
        first = nn.Conv3d(1, widths[0], 3, padding=1, padding_mode="reflect")
        super().__init__(
            [first, *(prenorm(a, b, 3, stride=2, pad="reflect") for a, b in pairwise(widths))],
            [nn.Sequential(prenorm(w, w, 3, pad="reflect"), prenorm(w, w, 3, pad="reflect")) for w in widths],
        )


class PublishedDecoder(nn.Module):
    """Trilinear upsampling, convolution, concatenation of the skip, two convolutions; coarse to fine."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="trilinear", align_corners=True)
        pairs = list(pairwise(widths))[::-1]
        self.narrow = nn.ModuleList(prenorm(coarse, fine, 3, pad="reflect") for fine, coarse in pairs)
        self.fuse = nn.ModuleList(
            nn.Sequential(prenorm(2 * fine, fine, 3, pad="reflect"), prenorm(fine, fine, 1))
            for fine, _ in pairs
        )

    def forward(self, skips: Sequence[Tensor]) -> list[Tensor]:
        """Features from coarse to fine; the first is the last of `skips`."""
        features = [skips[-1]]
        for narrow, fuse, skip in zip(self.narrow, self.fuse, reversed(skips[:-1]), strict=True):
            features.append(fuse(torch.cat((skip, narrow(self.up(features[-1]))), dim=1)))
        return features


def prenorm(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, pad: Literal["zeros", "reflect"] = "zeros"
) -> nn.Sequential:
    """Instance norm without weights, leaky ReLU (0.2), convolution: the block of the release."""
    convolution = nn.Conv3d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode=pad)
    return nn.Sequential(nn.InstanceNorm3d(inputs), nn.LeakyReLU(0.2), convolution)


def _merge(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        prenorm(inputs, outputs, 1), prenorm(outputs, outputs, 3), prenorm(outputs, outputs, 1)
    )


def _layer(tokens: Tokens) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(
        tokens.width,
        tokens.heads,
        tokens.mlp_width,
        tokens.dropout,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    # Queries, keys and values of the release have no bias; the layer of PyTorch would then drop all biases.
    layer.self_attn.register_parameter("in_proj_bias", None)
    return layer


def _background_first(net: MmFormer) -> MmFormer:
    for module in net.modules():
        if isinstance(module, Head):
            favour_background(module.scores, module.maps)
    return net
