"""A small network of the Swin-UNETR type: windowed attention on the way down, convolutions on the way up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.blocks.patchembedding import PatchEmbed
from monai.networks.nets.swin_unetr import BasicLayer, PatchMergingV2
from torch import Tensor, nn

from parallax.learn.networks import UNet

PATCH = 4  # voxels along a side of what becomes a token
WINDOW = 4  # tokens along a side of a window of attention
_DEPTH = 2  # blocks per level; the second one has its windows shifted
_HEAD_WIDTH = 16


class SwinUNet(UNet):
    """The suite's U-Net with a Swin transformer in place of its encoder.

    Tokens of 4 voxels a side, two blocks of windowed attention per level, merging in between. The finest
    level, at half resolution, is a residual block on the image, as in Swin-UNETR. Initial weights are random.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the logits.
        widths: channels per level, at least two; merging doubles them, so that each after the first follows
            from it.
        heads: out_channels = heads * classes; the first class of each head is background.
        axes: 3 for volumes, 2 for slices.
    """

    def __init__(
        self, in_channels: int, out_channels: int, widths: Sequence[int], *, heads: int = 1, axes: int = 3
    ) -> None:
        doubled = [widths[0] * 2**level for level in range(len(widths))]
        super().__init__(in_channels, out_channels, doubled, heads=heads, axes=axes)
        self.encoder = SwinEncoder(in_channels, doubled, axes=axes)

    def tokens(self) -> list[nn.Parameter]:
        """Parameters that make and change tokens: embedding, attention, merging, norms."""
        encoder = self.encoder
        return [
            p
            for part in (encoder.embed, encoder.stages, encoder.merges, encoder.norms)
            for p in part.parameters()
        ]


class SwinEncoder(nn.Module):
    """Features from half resolution down, those of `UNet.encode`.

    Args:
        in_channels: channels of the image.
        widths: channels per level, each twice the one before.
        axes: 3 or 2.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], *, axes: int = 3) -> None:
        super().__init__()
        first, *tokens = widths
        self.axes = axes
        self.stem = UnetResBlock(axes, in_channels, first, kernel_size=3, stride=2, norm_name="instance")
        self.embed = PatchEmbed(PATCH, in_channels, tokens[0], nn.LayerNorm, axes)
        self.stages = nn.ModuleList(
            BasicLayer(
                width,
                _DEPTH,
                math.gcd(width, max(width // _HEAD_WIDTH, 1)),
                (WINDOW,) * axes,
                drop_path=[0.0] * _DEPTH,
                qkv_bias=True,
            )
            for width in tokens
        )
        self.merges = nn.ModuleList(PatchMergingV2(width, spatial_dims=axes) for width in tokens[:-1])
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in tokens)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features [B, widths[i], ...] from half size to the coarsest."""
        x, features = self.embed(image), [self.stem(image)]
        for level, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            if level:
                x = self.merges[level - 1](x.movedim(1, -1)).movedim(-1, 1)
            x = self._attend(stage, x)
            features.append(norm(x.movedim(1, -1)).movedim(-1, 1))
        return features

    def _attend(self, stage: nn.Module, x: Tensor) -> Tensor:
        # A map smaller than a window would shrink the window, and give the learned relative positions another
        # meaning in a crop than in a whole volume.
        shape = x.shape[2:]
        lacking = [max(WINDOW - n, 0) for n in shape]
        if any(lacking):
            x = F.pad(x, [n for gap in reversed(lacking) for n in (0, gap)])
        x = stage(x)
        for axis, n in enumerate(shape, start=2):
            x = x.narrow(axis, 0, n)
        return x
