"""The network of CMC (streams that meet at the bottleneck), its published U-Net, its two normalisations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.errors import ConfigError
from parallax.learn.availability import where_available


@dataclass(frozen=True)
class Streams:
    """What the network makes of B items: per modality the features F_ds before attention, and the logits.

    Attributes:
        features: K tensors [B, F, x, y, z], the bottleneck of each encoder; zeros where missing.
        logits: K tensors [B, C, X, Y, Z]; zeros where missing; fewer items than `features` if asked for.
        available: bool [B, K].
    """

    features: tuple[Tensor, ...]
    logits: tuple[Tensor, ...]
    available: Tensor

    def rows(self, start: int, stop: int) -> Streams:
        """The items from `start` to before `stop`."""
        cut = slice(start, stop)
        return Streams(
            tuple(f[cut] for f in self.features), tuple(z[cut] for z in self.logits), self.available[cut]
        )


class CollaborationNet(nn.Module):
    """K images -> encoders -> attention within each modality -> fusion across them -> decoders.

    Args:
        backbones: one network with `encode`, `decode` and `head` per modality, or a single one shared by all.
        attentions: one per modality, or a single one shared by all.
        fusion: takes and gives K bottlenecks.
    """

    def __init__(
        self, backbones: Sequence[nn.Module], attentions: Sequence[nn.Module], fusion: nn.Module
    ) -> None:
        super().__init__()
        self.backbones, self.attentions = nn.ModuleList(backbones), nn.ModuleList(attentions)
        self.fusion = fusion

    def forward(self, images: Sequence[Tensor], available: Tensor, decoded: int | None = None) -> Streams:
        """Streams of K `images` [B, 1, X, Y, Z], whose sizes may differ between modalities.

        Args:
            images: one tensor per modality.
            available: bool [B, K]; what is not available is never read.
            decoded: number of leading items that get logits; all by default.
        """
        pyramids = where_available(images, available, self._encode)
        features = tuple(pyramid[-1] for pyramid in pyramids)
        if decoded == 0:
            return Streams(features, (), available)
        pyramids = [[level[:decoded] for level in pyramid] for pyramid in pyramids]
        attended = [self._of(self.attentions, k)(pyramid[-1]) for k, pyramid in enumerate(pyramids)]
        fused = self.fusion(attended)
        merged = [[*pyramid[:-1], own] for pyramid, own in zip(pyramids, fused, strict=True)]
        logits = where_available(merged, available[:decoded], self._decode)
        return Streams(features, tuple(z[0] for z in logits), available)

    def _encode(self, k: int, image: Sequence[Tensor]) -> list[Tensor]:
        return list(self._of(self.backbones, k).encode(image[0]))

    def _decode(self, k: int, pyramid: Sequence[Tensor]) -> list[Tensor]:
        backbone = self._of(self.backbones, k)
        return [backbone.head(backbone.decode(pyramid))]

    @staticmethod
    def _of(modules: nn.ModuleList, k: int) -> Any:
        return modules[k % len(modules)]


class BatchNormAlwaysTraining(nn.Module):
    """Batch normalisation that uses the statistics of the current batch even in evaluation.

    The output of an item therefore depends on the items it is batched with. No running statistics are kept,
    because nothing would read them. Source: med-air/CMC@cb8dd11, model/Semi_SM_model_MIA.py:13-24.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` [B, C, X, Y, Z] over B, X, Y and Z; same shape."""
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


def make_norm(kind: str, channels: int) -> nn.Module:
    """Normalisation layer of `kind` `instance` or `batch_always_train`, both with 2 * channels parameters.

    Raises:
        ConfigError: on another kind.
    """
    if kind == "instance":
        return nn.InstanceNorm3d(channels, affine=True)
    if kind == "batch_always_train":
        return BatchNormAlwaysTraining(channels)
    raise ConfigError(
        "Unknown normalisation",
        where="switch norm of cmc",
        expected="instance or batch_always_train",
        found=repr(kind),
        remedy="correct the switch",
    )


def replace_norms(network: nn.Module, kind: str) -> nn.Module:
    """`network` with every `InstanceNorm3d` replaced in place by the layer of `kind`; other weights stay."""
    if kind != "instance":
        _replace(network, kind, {})
    return network


def _replace(module: nn.Module, kind: str, replaced: dict[nn.Module, nn.Module]) -> None:
    # Blocks of the backbone refer to one layer twice (by name and in a sequence); both must get one new one.
    for name, child in module._modules.items():
        if isinstance(child, nn.InstanceNorm3d):
            module._modules[name] = replaced.setdefault(child, make_norm(kind, child.num_features))
        elif child is not None:
            _replace(child, kind, replaced)


def conv_block(in_channels: int, out_channels: int, norm: str) -> nn.Sequential:
    """3x3x3 convolution with bias, normalisation, ReLU ("LUConv" of med-air/CMC)."""
    convolution = nn.Conv3d(in_channels, out_channels, 3, padding=1)
    return nn.Sequential(convolution, make_norm(norm, out_channels), nn.ReLU(inplace=True))


class PublishedEncoder(nn.Module):
    """Four levels of two convolutions each, halved by max pooling; the last level is not pooled."""

    def __init__(self, widths: Sequence[int], norm: str) -> None:
        super().__init__()
        inputs = [1, *widths[:-1]]
        # The first convolution of the first level has half the width, of every other level its input width.
        middles = [widths[0] // 2, *widths[:-1]]
        self.levels = nn.ModuleList(
            nn.Sequential(conv_block(i, m, norm), conv_block(m, w, norm))
            for i, m, w in zip(inputs, middles, widths, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of `x` [B, 1, X, Y, Z], fine to coarse; the last one is the bottleneck at 1/8 size."""
        features: list[Tensor] = []
        for level in self.levels:
            x = level(F.max_pool3d(x, 2) if features else x)
            features.append(x)
        return features


class PublishedDecoder(nn.Module):
    """Transposed convolution (2x), concatenation of the skip, two convolutions; from coarse to fine."""

    def __init__(self, widths: Sequence[int], norm: str) -> None:
        super().__init__()
        coarse_to_fine = list(widths)[::-1]
        inputs = [coarse_to_fine[0], *coarse_to_fine[1:-1]]
        self.ups = nn.ModuleList(nn.ConvTranspose3d(i, i, 2, stride=2) for i in inputs)
        self.levels = nn.ModuleList(
            nn.Sequential(conv_block(i + skip, skip, norm), conv_block(skip, skip, norm))
            for i, skip in zip(inputs, coarse_to_fine[1:], strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Full-size map [B, widths[0], X, Y, Z] from `features` as `PublishedEncoder` gives them."""
        x = features[-1]
        for up, level, skip in zip(self.ups, self.levels, list(features)[-2::-1], strict=True):
            x = level(torch.cat([up(x), skip], dim=1))
        return x


class PublishedUNet(nn.Module):
    """The 3D U-Net of med-air/CMC@cb8dd11 (that of CLIP-Driven-Universal-Model), 19.08 M at 14 classes.

    Same interface as `parallax.learn.networks.UNet`. Each side of the input must be a multiple of 8.

    Args:
        out_channels: number of classes, background counted.
        norm: see `make_norm`.
        widths: channels per level, fine to coarse.
    """

    def __init__(
        self, out_channels: int, *, norm: str = "instance", widths: Sequence[int] = (64, 128, 256, 512)
    ) -> None:
        super().__init__()
        self.encoder = PublishedEncoder(widths, norm)
        self.decoder = PublishedDecoder(widths, norm)
        self.head = nn.Conv3d(widths[0], out_channels, 1)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of `x` [B, 1, X, Y, Z], fine to coarse; the last one is the bottleneck."""
        return cast(list[Tensor], self.encoder(x))

    def decode(self, skips: Sequence[Tensor]) -> Tensor:
        """Full-size features [B, widths[0], X, Y, Z], input of `head`."""
        return cast(Tensor, self.decoder(skips))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, out_channels, X, Y, Z] of `x` [B, 1, X, Y, Z]."""
        return cast(Tensor, self.head(self.decode(self.encode(x))))
