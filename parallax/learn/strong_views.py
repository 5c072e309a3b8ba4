"""Strong photometric views: every voxel keeps its place, so a label map of the batch still fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

_LEAST_BLUR_SD = 0.1  # voxels; that of both releases that `StrongView` follows


@dataclass(frozen=True)
class StrongView:
    """How far a view may go; every modality of every item draws its own change.

    Grey values v run from 0 to 1, the extremes of the crop. Jitter is b (c v + (1 - c) mean(v)), held between
    0 and 1, as torchvision's `ColorJitter` does it with grey images, but always in this
    order and clipped once, at the end; before it the tone curve
    v + q v (1 - v), which is monotone, like a gamma without its powers. Blur is Gaussian, along all axes.
    Sources: HiLab-git/SSL4MIS@06df604 (dataloaders/dataset.py), LiheYoung/UniMatch@0324f3d (medical,
    dataset/acdc.py); the curve is ours: an instance norm after the first convolution takes back whatever
    is no more than another scale of a single image.

    Attributes:
        jitter: brightness b and contrast c are drawn from 1 - jitter to 1 + jitter; at most 1.
        curve: q is drawn from -curve to curve; at most 1.
        jitter_probability: of a change of jitter and curve.
        blur_sd_voxels: largest standard deviation of the blur; drawn from 0.1 to it.
        blur_probability: of a blur.
    """

    jitter: float
    curve: float
    jitter_probability: float
    blur_sd_voxels: float
    blur_probability: float

    @classmethod
    def of(cls, switches: Mapping[str, Any]) -> StrongView:
        """From the switches of a method, which are called like the attributes."""
        return cls(**{field.name: switches[field.name] for field in fields(cls)})

    def __call__(self, image: Tensor, available: Tensor, generator: torch.Generator) -> Tensor:
        """A view of float32 image [B, K, X, Y, Z]; modalities absent in available [B, K] stay as they are.

        `generator` is one of the CPU, so that the changes are the same on every device.
        """
        shape = tuple(available.shape)
        level, slope, bend = (
            _even(low, high, shape, generator)
            for low, high in (
                (1.0 - self.jitter, 1.0 + self.jitter),
                (1.0 - self.jitter, 1.0 + self.jitter),
                (-self.curve, self.curve),
            )
        )
        jittered = torch.rand(shape, generator=generator) < self.jitter_probability
        sd = _even(_LEAST_BLUR_SD, self.blur_sd_voxels, shape, generator)
        blurred = torch.rand(shape, generator=generator) < self.blur_probability
        view = image
        if bool(jittered.any()):
            view = jitter(view, level, slope, bend).where(_wide(jittered, image), view)
        if bool(blurred.any()):
            view = gaussian_blur(view, sd.where(blurred, 0.0))
        return view.where(_wide(available, image), image)


def jitter(image: Tensor, level: Tensor, slope: Tensor, bend: Tensor) -> Tensor:
    """Tone curve, contrast and brightness of each modality of each item, within the extremes of its crop.

    Args:
        image: float32 [B, K, X, Y, Z].
        level: brightness b [B, K]; 1 changes nothing.
        slope: contrast c [B, K]; 1 changes nothing.
        bend: strength q of the curve [B, K]; 0 changes nothing.
    """
    level, slope, bend = (_wide(values, image) for values in (level, slope, bend))
    low = image.amin(dim=(2, 3, 4), keepdim=True)
    span = (image.amax(dim=(2, 3, 4), keepdim=True) - low).clamp_min(1e-6)
    grey = (image - low) / span
    grey = grey + bend * grey * (1.0 - grey)
    mean = grey.mean(dim=(2, 3, 4), keepdim=True)
    return low + span * (level * (slope * grey + (1.0 - slope) * mean)).clamp(0.0, 1.0)


def gaussian_blur(image: Tensor, sd_voxels: Tensor) -> Tensor:
    """Convolution along X, Y and Z with a Gaussian of its own for each item and modality; 0 changes no bit.

    At the border the part of the Gaussian that lies within the crop counts, with weight 1. One small matrix
    product per axis: all items and any standard deviation at once.

    Args:
        image: float32 [B, K, X, Y, Z].
        sd_voxels: standard deviation [B, K].
    """
    sd = sd_voxels.to(image.device, image.dtype)
    with torch.autocast(image.device.type, enabled=False):  # bfloat16 would cost three digits of the image
        for axis, product in ((2, "bkij,bkjyz->bkiyz"), (3, "bkij,bkxjz->bkxiz"), (4, "bkij,bkxyj->bkxyi")):
            image = torch.einsum(product, _gaussians(sd, image.shape[axis]), image)
    return image


def _gaussians(sd: Tensor, n: int) -> Tensor:
    """[B, K, n, n]; each row is a Gaussian around its voxel, with sum 1."""
    place = torch.arange(n, dtype=sd.dtype, device=sd.device)
    distance = (place[:, None] - place) / sd.clamp_min(1e-3)[:, :, None, None]
    return (-0.5 * distance.square()).softmax(dim=3)


def _even(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """[B, K] as [B, K, 1, 1, 1], on the device of `like`."""
    return values.to(like.device)[:, :, None, None, None]
