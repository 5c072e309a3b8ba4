"""The network of RobustSeg: content apart from appearance, contents joined by gates, images painted back.

Facts from cchen-cc/Robust-Mseg@fa35dda. Sizes come with the arguments, so that one set of parts serves the
published network and the one at the capacity of this suite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from parallax.learn.availability import where_available
from parallax.learn.nets.pyramids import ResidualPyramid
from parallax.learn.networks import UNet, initialised
from parallax.learn.translation import channels_to_blocks

CODE = 8  # numbers that describe the appearance of an image
_SLOPE = 0.2
_PUBLISHED = (16, 32, 64, 128)


def conv_unit(channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution with reflected borders, instance norm, leaky ReLU."""
    convolution = nn.Conv3d(
        channels, out_channels, kernel, stride=stride, padding=kernel // 2, padding_mode="reflect"
    )
    return nn.Sequential(convolution, nn.InstanceNorm3d(out_channels, affine=True), nn.LeakyReLU(_SLOPE))


class ContentEncoder(ResidualPyramid):
    """Published encoder: per stage three units, the first strided (but for the finest), first + third."""

    def __init__(self, widths: Sequence[int] = _PUBLISHED) -> None:
        inputs = [1, *widths[:-1]]
        super().__init__(
            [conv_unit(i, w, stride=1 if i == 1 else 2) for i, w in zip(inputs, widths, strict=True)],
            [nn.Sequential(conv_unit(w, w), conv_unit(w, w)) for w in widths],
        )


class SegmentationDecoder(nn.Module):
    """Published decoder: nearest upsampling, unit, skip, unit, 1x1x1 unit; from coarse to fine."""

    def __init__(self, out_channels: int, widths: Sequence[int] = _PUBLISHED) -> None:
        super().__init__()
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.Sequential(nn.Upsample(scale_factor=2), conv_unit(i, w)) for i, w in steps)
        self.merge = nn.ModuleList(
            nn.Sequential(conv_unit(2 * w, w), conv_unit(w, w, kernel=1)) for _, w in steps
        )
        self.head = nn.Conv3d(widths[0], out_channels, 1)

    def decode(self, skips: Sequence[Tensor]) -> Tensor:
        """Features [B, widths[0], X, Y, Z] of a pyramid from fine to coarse."""
        x = skips[-1]
        for up, merge, skip in zip(self.up, self.merge, reversed(skips[:-1]), strict=True):
            x = merge(torch.cat((up(x), skip), dim=1))
        return x


class StyleEncoder(nn.Module):
    """Appearance of an image: strided convolutions without norm, averaged over the volume to a short code.

    Args:
        layers: (channels, kernel, stride) of each convolution.
    """

    def __init__(self, layers: Sequence[tuple[int, int, int]]) -> None:
        super().__init__()
        body: list[nn.Module] = []
        channels = 1
        for width, kernel, stride in layers:
            body += [
                nn.Conv3d(channels, width, kernel, stride=stride, padding=(kernel - 1) // 2),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.body = nn.Sequential(*body)
        self.code = nn.Linear(channels, CODE)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, X, Y, Z] to [B, CODE]."""
        code: Tensor = self.code(self.body(x).mean(dim=(2, 3, 4)))
        return code


def adain(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Standardise `x` [B, C, ...] per item and channel, then scale and shift [B, C] it.

    With a scale of 0 the content is gone: the answer is the shift everywhere.
    """
    mean, variance = x.mean(dim=(2, 3, 4), keepdim=True), x.var(dim=(2, 3, 4), unbiased=False, keepdim=True)
    spread = (..., None, None, None)
    return scale[spread] * (x - mean) * torch.rsqrt(variance + 1e-5) + shift[spread]


class _Restyled(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one = nn.Conv3d(channels, channels, 3, padding=1)
        self.two = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        inner = adain(self.one(x), scale, shift).relu()
        return x + adain(self.two(inner), scale, shift)


class ImageDecoder(nn.Module):
    """Paints an image: content sets the geometry, the appearance code scales and shifts its channels.

    Args:
        channels: those of the content, fine to coarse; the coarsest is what is painted from.
        kernel: of the convolutions after each upsampling.
    """

    def __init__(self, channels: Sequence[int], kernel: int) -> None:
        super().__init__()
        deep = channels[-1]
        self.read = nn.Sequential(nn.Linear(CODE, deep), nn.ReLU(), nn.Linear(deep, deep), nn.ReLU())
        self.scale, self.shift = nn.Linear(deep, deep), nn.Linear(deep, deep)
        self.blocks = nn.ModuleList(_Restyled(deep) for _ in range(4))
        self.up = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Upsample(scale_factor=2),
                    nn.Conv3d(i, w, kernel, padding=kernel // 2),
                    nn.GroupNorm(1, w),  # layer norm over channels and space
                    nn.ReLU(inplace=True),
                )
                for i, w in zip(channels[:0:-1], channels[-2::-1], strict=True)
            )
        )

    def forward(self, content: Tensor, code: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features [B, channels[0], ...] before the image head, and the scale and shift [B, C] in use."""
        read = self.read(code)
        scale, shift = self.scale(read), self.shift(read)
        for block in self.blocks:
            content = block(content, scale, shift)
        return self.up(content), scale, shift


class GatedFusion(nn.Module):
    """Joins the contents of K modalities at one scale: each is weighted voxel by voxel, then all are merged.

    Args:
        modalities: K.
        channels: of each content.
        norm: `instance`: gates are standardised before the sigmoid, as released; `none`: they are not.
    """

    def __init__(self, modalities: int, channels: int, norm: str) -> None:
        super().__init__()
        score = nn.Conv3d(modalities * channels, modalities, 3, padding=1)
        standardise = nn.InstanceNorm3d(modalities, affine=True) if norm == "instance" else nn.Identity()
        self.gate = nn.Sequential(score, standardise, nn.Sigmoid())
        self.merge = conv_unit(modalities * channels, channels, kernel=1)

    def forward(self, contents: Sequence[Tensor]) -> Tensor:
        """[B, C, ...] of K contents [B, C, ...], zeros where a modality is missing."""
        gates = self.gate(torch.cat(list(contents), dim=1)).split(1, dim=1)
        fused: Tensor = self.merge(torch.cat([g * c for g, c in zip(gates, contents, strict=True)], dim=1))
        return fused


@dataclass(frozen=True)
class Painted:
    """Modality k of the items that have it, painted from fused content and its own appearance.

    Attributes:
        image: [N, 1, X, Y, Z].
        code: [N, CODE].
        scale: [N, C], of the normalised channels.
        shift: [N, C].
    """

    image: Tensor
    code: Tensor
    scale: Tensor
    shift: Tensor


class RobustSegNet(nn.Module):
    """All parts, one of each per modality but for fusion and segmentation decoder.

    Args:
        names: of the K modalities.
        classes: C, background counted.
        heads: maps that the decoder makes.
        widths: channels per scale, fine to coarse; None is the published network.
        gate_norm: see `GatedFusion`.
        share_image_head: whether one last layer paints the images of all modalities.
        seed: of the run.
    """

    def __init__(
        self,
        names: Sequence[str],
        classes: int,
        heads: int,
        *,
        widths: Sequence[int] | None,
        gate_norm: str,
        share_image_head: bool,
        seed: int,
    ) -> None:
        super().__init__()
        scales = _PUBLISHED if widths is None else tuple(widths)
        self._heads = (heads, classes)
        self.contents = nn.ModuleList(_content(name, classes, widths, seed) for name in names)
        with initialised(seed, "robustseg/fusion"):
            self.fusions = nn.ModuleList(GatedFusion(len(names), width, gate_norm) for width in scales)
        with initialised(seed, "robustseg/decoder"):
            self.decoder = _decoder(heads, classes, widths)
        with initialised(seed, "robustseg/images"):
            self.styles = nn.ModuleList(StyleEncoder(_style_layers(widths)) for _ in names)
            kernel = 5 if widths is None else 3
            self.painters = nn.ModuleList(ImageDecoder(scales, kernel) for _ in names)
            heads_needed = 1 if share_image_head else len(names)
            self.image_heads = nn.ModuleList(_image_head(widths) for _ in range(heads_needed))

    def fuse(self, image: Tensor, seen: Tensor) -> list[Tensor]:
        """Fused content, fine to coarse, of `image` [B, K, X, Y, Z]; what is not `seen` [B, K] is unread."""
        images = [image[:, k : k + 1] for k in range(image.shape[1])]
        pyramids = where_available(images, seen, lambda k, x: cast(list[Tensor], self.contents[k](x[0])))
        return [
            fusion(scale) for fusion, scale in zip(self.fusions, zip(*pyramids, strict=True), strict=True)
        ]

    def segment(self, fused: Sequence[Tensor]) -> Tensor:
        """Logits [B, heads, C, X, Y, Z] of fused content."""
        decoder = cast(UNet, self.decoder)
        logits: Tensor = decoder.head(decoder.decode(fused))
        return logits.unflatten(1, self._heads)  # type: ignore[no-untyped-call,no-any-return]

    def paint(self, k: int, image: Tensor, content: Tensor) -> Painted:
        """Modality k painted from the coarsest fused `content` and from the style of `image` [N, 1, ...]."""
        code = self.styles[k](image)
        features, scale, shift = self.painters[k](content, code)
        painted = self.image_heads[k % len(self.image_heads)](features)
        if painted.shape[1] > 1:
            painted = channels_to_blocks(painted)
        return Painted(painted, code, scale, shift)

    def forward(self, image: Tensor, available: Tensor) -> Tensor:
        """Logits [B, heads, C, X, Y, Z] of image [B, K, X, Y, Z] and available [B, K]."""
        return self.segment(self.fuse(image, available))

    def appearance_parameters(self) -> list[nn.Parameter]:
        """Those that serve the painting of images alone."""
        return [p for part in (self.styles, self.painters, self.image_heads) for p in part.parameters()]


def _content(name: str, classes: int, widths: Sequence[int] | None, seed: int) -> nn.Module:
    with initialised(seed, f"unet/{name}"):
        if widths is None:
            return ContentEncoder()
        # The encoder, with its initial weights, of the U-Net that a modality has alone.
        return cast(nn.Module, UNet(1, classes, widths).encoder)


def _decoder(heads: int, classes: int, widths: Sequence[int] | None) -> nn.Module:
    if widths is None:
        return SegmentationDecoder(heads * classes)
    decoder = UNet(1, heads * classes, widths, heads=heads)
    del decoder.encoder
    return decoder


def _style_layers(widths: Sequence[int] | None) -> list[tuple[int, int, int]]:
    if widths is None:
        return [(32, 7, 1), (64, 4, 2), (128, 4, 2), (128, 4, 2), (128, 4, 2)]
    return [(width, 4, 2) for width in widths]


def _image_head(widths: Sequence[int] | None) -> nn.Module:
    if widths is None:
        return nn.Conv3d(_PUBLISHED[0], 1, 7, padding=3)
    return nn.Conv3d(widths[0], 8, 3, padding=1)  # the finest scale is at half size: a 2x2x2 block per voxel
