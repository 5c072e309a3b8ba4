"""U-HeMIS: one encoder per modality, mean and variance over those that are there, one decoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from dynamic_network_architectures.building_blocks.simple_conv_blocks import StackedConvBlocks
from torch import Tensor, nn

from parallax.learn.availability import where_available
from parallax.learn.fusion import without_absent
from parallax.learn.networks import (
    TrilinearUpsample,
    decoder_levels,
    favour_background,
    he_initialise,
    score_head,
)

# Of ReubenDo/U-HVED@1d293a8, extensions/u_hemis/u_hemis_net.py; the slope is that of NiftyNet's "leakyrelu".
PUBLISHED_WIDTHS = (8, 16, 32, 64)
_SLOPE, _EPSILON = 0.02, 1e-6


class HemisNet(nn.Module):
    """K encoders, `moments` at every level, one decoder.

    Args:
        encoders: one per modality, from an image [B, 1, X, Y, Z] to features from fine to coarse.
        decoder: from features with twice the channels, fine to coarse, to scores [B, H * C, X, Y, Z].
        heads: (H, C), number of maps and of classes.
    """

    def __init__(self, encoders: Iterable[nn.Module], decoder: nn.Module, heads: tuple[int, int]) -> None:
        super().__init__()
        self.encoders, self.decoder = nn.ModuleList(encoders), decoder
        self._heads = heads

    def forward(self, image: Tensor, available: Tensor) -> Tensor:
        """Logits [B, H, C, X, Y, Z] of image [B, K, X, Y, Z] and available [B, K]."""
        images = [image[:, k : k + 1] for k in range(image.shape[1])]
        pyramids = where_available(images, available, lambda k, x: self.encoders[k](x[0]))
        levels = (torch.stack(level, dim=1) for level in zip(*pyramids, strict=True))
        logits: Tensor = self.decoder([moments(level, available) for level in levels])
        return logits.unflatten(1, self._heads)  # type: ignore[no-untyped-call,no-any-return]


def moments(features: Tensor, available: Tensor) -> Tensor:
    """Mean and population variance over the modalities that are there, the variance behind the mean.

    Args:
        features: [B, K, F, ...]; anything where absent.
        available: bool [B, K], at least one per item.

    Returns:
        [B, 2 F, ...]; the variance is 0 where an item has one modality.
    """
    count = available.sum(dim=1).view(-1, *[1] * (features.ndim - 2))
    mean = without_absent(features, available).sum(dim=1) / count
    deviation = without_absent(features - mean.unsqueeze(1), available)
    return torch.cat((mean, deviation.square().sum(dim=1) / count), dim=1)


class SuiteDecoder(nn.Module):
    """The decoder of the suite's U-Net with twice the channels in every skip (mean and variance).

    Args:
        widths: channels per level of the encoders.
        out_channels: heads * classes.
        heads: the first class of each head is background.
    """

    def __init__(self, widths: Sequence[int], out_channels: int, heads: int) -> None:
        super().__init__()
        below = [*widths[1:-1], 2 * widths[-1]]
        self.upsample = nn.ModuleList(
            nn.ConvTranspose3d(b, w, 2, stride=2) for b, w in zip(below, widths[:-1], strict=True)
        )
        self.fuse = nn.ModuleList(_convolution(3 * w, w) for w in widths[:-1])
        self.head = score_head(widths[0], out_channels)
        self.apply(he_initialise)
        favour_background(self.head[0], heads)

    def forward(self, skips: Sequence[Tensor]) -> Tensor:
        """Scores at full resolution from moments [B, 2 * widths[i], ...], fine to coarse."""
        scores: Tensor = self.head(decoder_levels(self.upsample[::-1], self.fuse[::-1], skips)[-1])
        return scores


class PublishedEncoder(nn.Module):
    """1x1x1 stem without normalisation, then four blocks with max pooling between them.

    Each level gives half the channels of its width.
    """

    def __init__(self) -> None:
        super().__init__()
        inputs = [PUBLISHED_WIDTHS[0], *(w // 2 for w in PUBLISHED_WIDTHS[:-1])]
        self.stem = nn.Sequential(nn.Conv3d(1, inputs[0], 1, bias=False), nn.LeakyReLU(_SLOPE))
        self.blocks = nn.ModuleList(_block(i, w) for i, w in zip(inputs, PUBLISHED_WIDTHS, strict=True))
        self.pool = nn.MaxPool3d(2)
        self.apply(he_initialise)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features [B, PUBLISHED_WIDTHS[i] / 2, ...] of x [B, 1, X, Y, Z]; the first at full resolution."""
        features: list[Tensor] = []
        x = self.stem(x)
        for block in self.blocks:
            features.append(block(self.pool(features[-1]) if features else x))
        return features


class PublishedDecoder(nn.Module):
    """Linear upsampling, concatenation of the moments of that level, one block; scores without bias."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        *widths, below = PUBLISHED_WIDTHS
        blocks = []
        for width in reversed(widths):
            blocks.append(_block(below + width, width))
            below = width // 2
        self.blocks, self.upsample = nn.ModuleList(blocks), TrilinearUpsample()
        self.scores = nn.Conv3d(below, out_channels, 1, bias=False)
        self.apply(he_initialise)

    def forward(self, skips: Sequence[Tensor]) -> Tensor:
        """Scores at full resolution from moments [B, PUBLISHED_WIDTHS[i], ...], fine to coarse."""
        x = skips[-1]
        for block, skip in zip(self.blocks, skips[-2::-1], strict=True):
            x = block(torch.cat((self.upsample(x), skip), dim=1))
        scores: Tensor = self.scores(x)
        return scores


def _convolution(inputs: int, outputs: int) -> nn.Module:
    """One convolution of the decoder of the suite's U-Net."""
    block: nn.Module = StackedConvBlocks(
        1,
        nn.Conv3d,
        inputs,
        outputs,
        3,
        1,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )
    return block


def _block(inputs: int, width: int) -> nn.Sequential:
    """Norm, activation, convolution, twice: to `width`, then to half of it. No sum: the release has none."""
    layers: list[nn.Module] = []
    for i, o in ((inputs, width), (width, width // 2)):
        norm = nn.InstanceNorm3d(i, eps=_EPSILON, affine=True)
        layers += [norm, nn.LeakyReLU(_SLOPE), nn.Conv3d(i, o, 3, padding=1, bias=False)]
    return nn.Sequential(*layers)
