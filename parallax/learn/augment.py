"""Augmentation of a whole batch at once. Left and right are different structures: nothing is flipped."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_SCALE, _SHIFT, _CURVE = 0.15, 0.15, 0.3


def augment_intensity(
    image: Tensor, available: Tensor, rng: np.random.Generator, *, noise_sd: float = 0.0
) -> Tensor:
    """Change brightness, contrast and tone curve of each modality of each item on its own.

    x' = s (x + q (x - lo)(hi - x) / (hi - lo)) + b with lo, hi the extremes of the crop: a monotone curve
    like a gamma, without its powers. It is evaluated as one quadratic polynomial.

    Args:
        image: float32 [B, K, X, Y, Z], normalised; changed in place.
        available: bool [B, K]; absent modalities stay as they are.
        rng: source of the parameters.
        noise_sd: standard deviation of added Gaussian noise, in units of the normalised image.

    Returns:
        The image.
    """
    shape = tuple(available.shape)
    scale = torch.from_numpy(rng.uniform(1 - _SCALE, 1 + _SCALE, shape).astype(np.float32))
    shift = torch.from_numpy(rng.uniform(-_SHIFT, _SHIFT, shape).astype(np.float32))
    curve = torch.from_numpy(rng.uniform(-_CURVE, _CURVE, shape).astype(np.float32))
    low, high = image.flatten(2).aminmax(dim=2)
    bend = curve / (high - low).clamp_min(1e-6)
    square = torch.where(available, -scale * bend, 0.0)
    slope = torch.where(available, scale * (1 + bend * (low + high)), 1.0)
    offset = torch.where(available, shift - scale * bend * low * high, 0.0)
    image.mul_(_wide(square).mul(image).add_(_wide(slope))).add_(_wide(offset))
    if noise_sd > 0:
        noise = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
        image.add_(noise * _wide(available.float()), alpha=noise_sd)
    return image


def clipped_noise(image: Tensor, generator: torch.Generator, *, sd: float, limit: float) -> Tensor:
    """Gaussian noise of the shape of `image`, cut at +-`limit`, both in its units.

    Source: what SSL4MIS@06df604 and yulequan/UA-MT@88ed29a add to the image of a teacher.
    """
    noise = torch.randn(image.shape, generator=generator, device=image.device)
    return noise.mul_(sd).clamp_(-limit, limit)


def _wide(values: Tensor) -> Tensor:
    return values[:, :, None, None, None]
