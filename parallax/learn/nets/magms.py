"""The network of MAG-MS: an encoder per modality, the mean of their features, one decoder for every set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from parallax.learn.availability import where_available
from parallax.learn.nets.pyramids import ResidualPyramid
from parallax.learn.networks import UNet

Pyramid = list[Tensor]


@dataclass(frozen=True)
class SelfTaught:
    """What the network makes of B items in training. Entry k of `own` and `own_features` is there if any is.

    Attributes:
        fused: [B, O, X, Y, Z], logits from the mean of the features of all modalities present.
        fused_features: that mean, fine to coarse.
        own: by modality k, logits [B_k, O, X, Y, Z] of the B_k items that have it, from it alone.
        own_features: by modality k, the features behind `own`.
    """

    fused: Tensor
    fused_features: Pyramid
    own: Mapping[int, Tensor]
    own_features: Mapping[int, Pyramid]


class ModalityAgnosticNet(nn.Module):
    """Encoders that share nothing, mean fusion at every level, one decoder. What is absent is never read.

    Args:
        encoders: one per modality, each [B, 1, X, Y, Z] to a pyramid of features.
        decoder: takes a pyramid, gives logits [B, O, X, Y, Z].
    """

    def __init__(self, encoders: Sequence[nn.Module], decoder: nn.Module) -> None:
        super().__init__()
        self.encoders, self.decoder = nn.ModuleList(encoders), decoder

    def forward(self, image: Tensor, available: Tensor) -> SelfTaught:
        """All n+1 outputs of image [B, K, X, Y, Z] and available [B, K], decoded in one pass."""
        pyramids = self._encode(image, available)
        fused = mean_of_available(pyramids, available)
        own = {
            k: pyramid if bool(rows.all()) else [level[rows] for level in pyramid]
            for k, (pyramid, rows) in enumerate(zip(pyramids, available.T, strict=True))
            if bool(rows.any())
        }
        sets = [fused, *own.values()]
        logits = self.decoder([torch.cat(level) for level in zip(*sets, strict=True)])
        first, *rest = logits.split([len(features[0]) for features in sets])
        return SelfTaught(first, fused, dict(zip(own, rest, strict=True)), own)

    def fused(self, image: Tensor, available: Tensor) -> Tensor:
        """Logits [B, O, X, Y, Z] from the modalities that are available."""
        logits: Tensor = self.decoder(mean_of_available(self._encode(image, available), available))
        return logits

    def alone(self, image: Tensor, available: Tensor) -> Tensor:
        """Logits [B, K, O, X, Y, Z], those of modality k from it alone; zeros where it is absent."""
        found = where_available(
            image.chunk(image.shape[1], dim=1), available, lambda k, x: [self.decoder(self.encoders[k](x[0]))]
        )
        return torch.stack([logits[0] for logits in found], dim=1)

    def _encode(self, image: Tensor, available: Tensor) -> list[Pyramid]:
        return where_available(
            image.chunk(image.shape[1], dim=1), available, lambda k, x: self.encoders[k](x[0])
        )


def mean_of_available(pyramids: Sequence[Pyramid], available: Tensor) -> Pyramid:
    """Mean over the modalities that an item has, at each level; of a single one, that one bit for bit.

    Args:
        pyramids: per modality levels [B, C, ...], zeros where it is absent.
        available: bool [B, K], one True at least in each row.
    """
    count = available.sum(dim=1)
    return [
        sum(rest, first) / count.to(first.dtype).view(-1, *[1] * (first.dim() - 1))
        for first, *rest in zip(*pyramids, strict=True)
    ]


class WithFusionConvolutions(nn.Module):
    """An encoder each of whose levels ends with a 1x1x1 convolution without bias, norm or activation.

    Args:
        encoder: [B, 1, X, Y, Z] to a pyramid of features.
        widths: channels of its levels.
    """

    def __init__(self, encoder: nn.Module, widths: Sequence[int]) -> None:
        super().__init__()
        self.encoder = encoder
        self.fusion = nn.ModuleList(nn.Conv3d(w, w, 1, bias=False) for w in widths)

    def forward(self, image: Tensor) -> Pyramid:
        """Features to be fused, fine to coarse."""
        return [fuse(x) for fuse, x in zip(self.fusion, self.encoder(image), strict=True)]


class SuiteDecoder(nn.Module):
    """The decoder and the heads of the suite's U-Net, without its encoder.

    Args:
        out_channels: O, heads times classes.
        widths: channels per level.
        heads: see `UNet`.
    """

    def __init__(self, out_channels: int, widths: Sequence[int], *, heads: int) -> None:
        super().__init__()
        self.unet = UNet(1, out_channels, widths, heads=heads)
        del self.unet.encoder

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Logits [B, O, X, Y, Z] of features at half the size and coarser."""
        logits: Tensor = self.unet.head(self.unet.decode(features))
        return logits


def suite_encoder(classes: int, widths: Sequence[int]) -> WithFusionConvolutions:
    """The encoder of the suite's U-Net for one modality and `classes`, with fusion convolutions."""
    return WithFusionConvolutions(UNet(1, classes, widths).encoder, widths)


class PublishedDecoder(nn.Module):
    """Transposed convolutions all through: one that doubles the size, two that do not, from coarse to fine.

    Source: kisonho/magnet@ca6bb1a, `build_v2_unet`.
    """

    def __init__(self, out_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.ups = nn.ModuleList(
            _normalised(nn.ConvTranspose3d(i, o, 3, stride=2, padding=1, output_padding=1), o)
            for i, o in steps
        )
        self.levels = nn.ModuleList(
            nn.Sequential(
                _normalised(nn.ConvTranspose3d(2 * o, o, 3, padding=1), o),
                _normalised(nn.ConvTranspose3d(o, o, 3, padding=1), o),
            )
            for _, o in steps
        )
        self.head = nn.Conv3d(widths[0], out_channels, 3, padding=1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Logits [B, O, X, Y, Z] of features at full size and coarser."""
        x = features[-1]
        for up, level, skip in zip(self.ups, self.levels, features[-2::-1], strict=True):
            x = level(torch.cat((up(x), skip), dim=1))
        logits: Tensor = self.head(x)
        return logits


def published_encoder(widths: Sequence[int]) -> WithFusionConvolutions:
    """The 3D U-Net encoder of kisonho/magnet@ca6bb1a for one modality; published widths are 16 to 128."""
    inputs = (1, *widths[:-1])
    enter = [_unit(i, w, 2 if level else 1) for level, (i, w) in enumerate(zip(inputs, widths, strict=True))]
    pyramid = ResidualPyramid(enter, [nn.Sequential(_unit(w, w), _unit(w, w)) for w in widths])
    return WithFusionConvolutions(pyramid, widths)


def _unit(in_channels: int, channels: int, stride: int = 1) -> nn.Sequential:
    return _normalised(nn.Conv3d(in_channels, channels, 3, stride=stride, padding=1), channels)


def _normalised(convolution: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.InstanceNorm3d(channels), nn.LeakyReLU(0.2))
