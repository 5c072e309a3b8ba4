"""The two published networks of UMMKD; kernels shared by all modalities, a batch norm per modality.

Source: carrenD/ummkd@06ac478 (facts; the code has no licence and none of it is used).
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.learn.norms import ModalityNorm

LEAK = 0.2  # slope of the leaky ReLU
DROPOUT = 0.25
_FACTOR = 8  # of the phase shift at the end of the network of slices


def batch_norm(channels: int, modalities: int, axes: int) -> ModalityNorm:
    """K batch norms with the constants of the release (decay 0.9, eps 0.001), for slices or volumes."""
    kind = nn.BatchNorm3d if axes == 3 else nn.BatchNorm2d
    return ModalityNorm(partial(kind, channels, eps=1e-3, momentum=0.1), modalities)


class NormActConv(nn.Sequential):
    """Norm, leaky ReLU, 3x3 convolution, dropout."""

    def __init__(self, inputs: int, outputs: int, modalities: int, dilation: int = 1) -> None:
        super().__init__(
            batch_norm(inputs, modalities, 2),
            nn.LeakyReLU(LEAK, inplace=True),
            nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False),
            nn.Dropout(DROPOUT),
        )


class Residual(nn.Module):
    """Two `NormActConv` and a shortcut, which gets as many zero channels on either side as it lacks."""

    def __init__(self, inputs: int, outputs: int, modalities: int, dilation: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            NormActConv(inputs, outputs, modalities, dilation),
            NormActConv(outputs, outputs, modalities, dilation),
        )
        self.lacking = (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, P, Q] to [B, outputs, P, Q]."""
        shortcut = F.pad(x, (0, 0, 0, 0, self.lacking, self.lacking)) if self.lacking else x
        added: Tensor = shortcut + self.body(x)
        return added


class SymmetricConv(nn.Module):
    """Convolution without bias whose padding repeats the border in reverse: 1 2 3 becomes 2 1 1 2 3 3 2."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, size, bias=False)
        self.pad = size // 2

    def forward(self, x: Tensor) -> Tensor:
        """Same extent."""
        for axis in (2, 3):
            start = x.narrow(axis, 0, self.pad).flip(axis)
            end = x.narrow(axis, x.shape[axis] - self.pad, self.pad).flip(axis)
            x = torch.cat([start, x, end], dim=axis)
        convolved: Tensor = self.convolution(x)
        return convolved


class PhaseShift(nn.Module):
    """Channels to pixels: [B, 64 M, P, Q] to [B, M, 8P, 8Q].

    Args:
        order: channel of map m that becomes pixel (8a + i, 8b + j): `pixel_shuffle` 64m + 8i + j, `tf`
            64m + 8j + i, as the release has it when it trains.
    """

    def __init__(self, order: str) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        """Eight times the extent, a 64th of the channels."""
        if self.order == "tf":
            x = x.unflatten(1, (-1, _FACTOR, _FACTOR)).transpose(2, 3).flatten(1, 3)  # type: ignore[no-untyped-call]
        return F.pixel_shuffle(x, _FACTOR)


class PublishedSlices(nn.Sequential):
    """The 2D network (cardiac): dilated residual units at an eighth of the extent, 39.3 M kernels at C = 5.

    Takes [n, 3, P, Q] (a slice between its neighbours; P and Q multiples of 8), gives [n, C, P, Q].

    Args:
        classes: C, background counted.
        modalities: K.
        order: see `PhaseShift`.
    """

    def __init__(self, classes: int, modalities: int, order: str = "pixel_shuffle") -> None:
        # (input, output, dilation) of the residual units; None halves the extent
        plan: tuple[tuple[int, int, int] | None, ...] = (
            (16, 16, 1), None, (16, 32, 1), None, (32, 64, 1), (64, 64, 1), None,
            (64, 128, 1), (128, 128, 1), (128, 256, 1), (256, 256, 1), (256, 256, 1), (256, 256, 1),
            (256, 512, 1), (512, 512, 1), (512, 512, 2), (512, 512, 2),
        )  # fmt: skip
        units = [nn.MaxPool2d(2) if p is None else Residual(p[0], p[1], modalities, p[2]) for p in plan]
        maps = 8 * classes
        super().__init__(
            nn.Conv2d(3, 16, 3, padding=1, bias=False),
            *units,
            NormActConv(512, 512, modalities),
            NormActConv(512, 512, modalities),
            SymmetricConv(512, _FACTOR**2 * maps, 3),
            batch_norm(_FACTOR**2 * maps, modalities, 2),
            nn.LeakyReLU(LEAK, inplace=True),
            PhaseShift(order),
            SymmetricConv(maps, classes, 5),
        )
        initialise(self)


class ConvNormAct(nn.Sequential):
    """Convolution 3x3 in plane and `depth` across, norm, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, depth: int, modalities: int) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, (3, 3, depth), padding=(1, 1, depth // 2), bias=False),
            batch_norm(outputs, modalities, 3),
            nn.LeakyReLU(LEAK, inplace=True),
        )


class Doubling(nn.Module):
    """Transposed convolution to twice the extent along all axes, norm, leaky ReLU.

    Output voxel o = 2i + k, and what lies beyond the double extent is cut off (TensorFlow's SAME). With a
    kernel of depth 1 every second plane is exactly zero before the norm, as in the release.
    """

    def __init__(self, inputs: int, outputs: int, depth: int, modalities: int) -> None:
        super().__init__()
        gap = (0, 0, 1 if depth == 1 else 0)
        self.convolution = nn.ConvTranspose3d(
            inputs, outputs, (3, 3, depth), stride=2, output_padding=gap, bias=False
        )
        self.after = nn.Sequential(batch_norm(outputs, modalities, 3), nn.LeakyReLU(LEAK, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, X, Y, Z] to [B, outputs, 2X, 2Y, 2Z]."""
        nx, ny, nz = (2 * n for n in x.shape[2:])
        doubled: Tensor = self.after(self.convolution(x)[:, :, :nx, :ny, :nz])
        return doubled


class PublishedVolumes(nn.Module):
    """The 3D network (abdominal): a U-Net of four levels, the two coarse ones flat; 2.2 M kernels at C = 5.

    Takes [B, 1, X, Y, Z], each extent a multiple of 8; gives [B, C, X, Y, Z].

    Args:
        classes: C, background counted.
        modalities: K.
        transposed_depth: `one` (as released) or `full`: depth of the kernels that double flat levels.
    """

    def __init__(self, classes: int, modalities: int, transposed_depth: str = "one") -> None:
        super().__init__()
        down = [(1, 16, 32, 3), (32, 32, 64, 3), (64, 64, 128, 1), (128, 128, 256, 1)]
        up = [(256, 128, 128, 128, 1), (128, 128, 64, 64, 3), (64, 64, 32, 32, 3)]
        flat = 1 if transposed_depth == "one" else 3
        self.down = nn.ModuleList(
            nn.Sequential(ConvNormAct(i, m, d, modalities), ConvNormAct(m, o, d, modalities))
            for i, m, o, d in down
        )
        # below, out of the doubling, skip, out of the level, depth of its kernels
        self.doublings = nn.ModuleList(
            Doubling(below, out, depth, modalities)
            for (below, out, *_), depth in zip(up, (flat, flat, 3), strict=True)
        )
        self.up = nn.ModuleList(
            nn.Sequential(
                ConvNormAct(doubled + skip, out, depth, modalities), ConvNormAct(out, out, depth, modalities)
            )
            for (_, doubled, skip, out, depth) in up
        )
        self.head = nn.Conv3d(32, classes, 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of an image."""
        skips: list[Tensor] = []
        for level in self.down:
            x = level(F.max_pool3d(x, 2) if skips else x)
            skips.append(x)
        for double, level, skip in zip(self.doublings, self.up, skips[-2::-1], strict=True):
            x = level(torch.cat([double(x), skip], dim=1))
        logits: Tensor = self.head(x)
        return logits


def initialise(network: nn.Module) -> None:
    """Kernels from a normal distribution of standard deviation 0.01, cut at two of them; biases 0."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose3d)):
            nn.init.trunc_normal_(module.weight, std=0.01, a=-0.02, b=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
