"""Spacing: one modality has thicker slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.case import Case, Volume
from parallax.perturb.displacement import Array, bad_level, slice_axis
from parallax.perturb.drawn import Drawn

#: Slice thickness over that of the case at severities 0 to 4; the last makes 8 mm of 2 mm.
SEVERITY_FACTOR = (1.0, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class SpacingParameters(Drawn):
    """Slices of `slice_mm` along native axis `axis`, each the average of what it covers.

    Attributes:
        moved: the modality whose slices are made thicker.
        axis: native axis along which slices are stacked.
        count: slices of the result; 0 means that nothing changes.
        native_slice_mm: slice thickness before.
        target_slice_mm: slice thickness that was asked for.
        slice_mm: slice thickness of the result.
    """

    axis: int = 2
    count: int = 0
    native_slice_mm: float = 0.0
    target_slice_mm: float = 0.0
    slice_mm: float = 0.0

    @property
    def identity(self) -> bool:
        """Whether nothing changes."""
        return self.count == 0


def draw(
    rng: np.random.Generator,  # noqa: ARG001  (every family is drawn alike; here nothing is left to chance)
    case: Case,
    *,
    moved: str,
    factor: float = 1.0,
    slice_mm: float = 0.0,
) -> SpacingParameters:
    """Slices `factor` times as thick, or `slice_mm` thick; slices that are that thick already are left alone.

    Raises:
        ConfigError: the factor is below 1, or the thickness is negative.
    """
    if factor < 1 or slice_mm < 0:
        raise bad_level("a factor of 1 or more, or a thickness above 0 mm", f"{factor:g}, {slice_mm:g} mm")
    grid = case.images[moved].grid
    axis = slice_axis(grid)
    native_mm, n = grid.spacing_mm[axis], grid.shape[axis]
    target_mm = slice_mm or factor * native_mm
    if target_mm <= native_mm * 1.001:
        return none(moved)
    # the stack keeps its middle and never reaches beyond what was scanned
    count = max(1, int(n * native_mm / target_mm + 1e-6))
    realised_mm = min(target_mm, n * native_mm)
    return SpacingParameters(moved, axis, count, native_mm, target_mm, realised_mm)


def none(moved: str) -> SpacingParameters:
    """Nothing changes."""
    return SpacingParameters(moved)


def apply(case: Case, parameters: SpacingParameters) -> Case:
    """Average image slices, and give each label voxel the id that fills most of it.

    Nothing to change returns `case` itself. An image of integers stays one (rounded).
    """
    if parameters.identity:
        return case
    name = parameters.moved
    images, labels = dict(case.images), dict(case.labels)
    images[name] = _stacked(images[name], parameters, _mean)
    if name in labels:
        labels[name] = _stacked(labels[name], parameters, _majority)
    return Case(case.id, images, labels)


def _stacked(volume: Volume, parameters: SpacingParameters, combine: Any) -> Volume:
    p, n = parameters, volume.array.shape[parameters.axis]
    factor = p.slice_mm / p.native_slice_mm
    start = (n - p.count * factor) / 2
    source = np.moveaxis(volume.array, p.axis, 0)
    slices = [combine(source, covers) for covers in _coverage(n, p.count, start, factor)]
    affine = volume.affine.copy()
    affine[:3, 3] += (start + (factor - 1) / 2) * affine[:3, p.axis]
    affine[:3, p.axis] *= factor
    return Volume(np.ascontiguousarray(np.moveaxis(np.stack(slices), 0, p.axis)), affine)


def _coverage(n: int, count: int, start: float, factor: float) -> Iterator[tuple[slice, Array]]:
    """For each new slice the old slices that it overlaps, and the share of it that each fills."""
    for k in range(count):
        low, high = start + k * factor, start + (k + 1) * factor
        first, last = max(0, int(np.floor(low + 1e-9))), min(n, int(np.ceil(high - 1e-9)))
        old = np.arange(first, last)
        weights = np.minimum(old + 1, high) - np.maximum(old, low)
        yield slice(first, last), weights / weights.sum()


def _mean(source: NDArray[Any], covers: tuple[slice, Array]) -> NDArray[Any]:
    window, weights = covers
    mean = np.einsum("i,ijk->jk", weights, source[window])
    rounded = np.rint(mean) if source.dtype.kind in "iu" else mean
    return np.asarray(rounded, dtype=source.dtype)


def _majority(source: NDArray[Any], covers: tuple[slice, Array]) -> NDArray[Any]:
    window, weights = covers
    part = source[window]
    ids = np.unique(part)
    shares = np.stack([np.einsum("i,ijk->jk", weights, (part == value).astype(np.float64)) for value in ids])
    # rounded, so that a tie is one whatever the last bit of the sum, and goes to the smaller id
    winner: NDArray[Any] = ids[np.argmax(np.round(shares, 9), axis=0)]
    return winner
