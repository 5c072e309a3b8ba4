"""Intensity normalisation per modality kind, and what counts as foreground of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.case import Modality
from parallax.errors import ConfigError

MR_PERCENTILES = (0.5, 99.5)
FOREGROUND_CONTRAST = 0.1
MIN_SLICE_FRACTION = 1e-3


def normalise(array: NDArray[Any], modality: Modality) -> NDArray[np.float32]:
    """Bring intensities to a common scale, from this image alone (no statistic crosses cases).

    `ct`: clipped to `window_hu`, scaled to [-1, 1]. `mr`: clipped to the percentiles 0.5 and 99.5, then
    z-scored; a constant image becomes zeros.

    Raises:
        ConfigError: an unknown kind or an empty window.
    """
    if modality.kind == "ct":
        return _scale_ct(array, modality)
    if modality.kind == "mr":
        return _scale_mr(array)
    raise ConfigError(
        "A modality is of an unknown kind",
        where=f"modality {modality.name}",
        expected="ct or mr",
        found=repr(modality.kind),
        remedy="use `ct` for Hounsfield units and `mr` for everything else",
    )


def foreground(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Voxels that stand out from the border of the image by a tenth of its intensity range.

    Works for CT (border = air) and MR (border = noise or padding) alike; a volume without contrast is all
    foreground, so that no caller has to treat an empty set.
    """
    border = np.concatenate([np.take(array, i, axis=a).ravel() for a in range(3) for i in (0, -1)])
    low, high = np.percentile(array, MR_PERCENTILES)
    mask: NDArray[np.bool_] = np.abs(array - np.median(border)) > FOREGROUND_CONTRAST * (high - low)
    return mask if mask.any() else np.ones(array.shape, dtype=bool)


def foreground_box(array: NDArray[Any], margin: tuple[int, int, int]) -> tuple[slice, slice, slice]:
    """Bounding box of `foreground`, grown by `margin` voxels; stray noise voxels do not widen it."""
    mask = foreground(array)
    slices = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        filled = np.flatnonzero(mask.mean(axis=others) > MIN_SLICE_FRACTION)
        first, last = (int(filled[0]), int(filled[-1])) if filled.size else (0, mask.shape[axis] - 1)
        slices.append(slice(max(0, first - margin[axis]), min(mask.shape[axis], last + 1 + margin[axis])))
    return (slices[0], slices[1], slices[2])


def _scale_ct(array: NDArray[Any], modality: Modality) -> NDArray[np.float32]:
    low, high = modality.window_hu
    if not low < high:
        raise ConfigError(
            "A CT window is empty",
            where=f"modality {modality.name}",
            expected="window_hu = [low, high] with low < high",
            found=str([low, high]),
            remedy="give the window in Hounsfield units, for instance [-175, 250]",
        )
    clipped = np.clip(array.astype(np.float32), low, high)
    return ((clipped - low) * (2.0 / (high - low)) - 1.0).astype(np.float32)


def _scale_mr(array: NDArray[Any]) -> NDArray[np.float32]:
    low, high = np.percentile(array, MR_PERCENTILES)
    clipped = np.clip(array.astype(np.float32), low, high)
    mean, deviation = float(clipped.mean(dtype=np.float64)), float(clipped.std(dtype=np.float64))
    if deviation < 1e-12:
        return np.zeros(array.shape, dtype=np.float32)
    return ((clipped - mean) / deviation).astype(np.float32)
