"""Field of view: one modality covers only a part of the body's height."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parallax.case import Case, Volume
from parallax.perturb.displacement import axis_along, bad_level, structures
from parallax.perturb.drawn import Drawn

#: Covered fraction at severities 0 to 4.
SEVERITY_FRACTION = (1.0, 0.9, 0.8, 0.7, 0.6)


@dataclass(frozen=True)
class FovParameters(Drawn):
    """Slices `first` to `first + count - 1` are kept along native axis `axis`; voxel values do not change.

    Attributes:
        moved: the modality that is cut.
        axis: native axis that runs most nearly from inferior to superior.
        first, count: kept slices; `count` 0 means that nothing is cut.
        target_fraction: share of the height that was asked for.
        covered_fraction: share of the slices that is left.
        covered_mm: height that is left.
        structures_fraction: share of the structure voxels (label, else image foreground) that is left.
    """

    axis: int = 2
    first: int = 0
    count: int = 0
    target_fraction: float = 1.0
    covered_fraction: float = 1.0
    covered_mm: float = 0.0
    structures_fraction: float = 1.0

    @property
    def identity(self) -> bool:
        """Whether nothing is cut."""
        return self.count == 0


def draw(rng: np.random.Generator, case: Case, *, moved: str, target_fraction: float) -> FovParameters:
    """Draw which slices are left, uniformly over all places of the window.

    Raises:
        ConfigError: the fraction is not in (0, 1].
    """
    if not 0 < target_fraction <= 1:
        raise bad_level("a covered fraction above 0 and up to 1", f"{target_fraction:g}")
    grid = case.images[moved].grid
    axis = axis_along(grid, 2)
    n = grid.shape[axis]
    count = max(1, round(target_fraction * n))
    if count == n:
        return none(moved)
    first = int(rng.integers(n - count + 1))
    mask, _ = structures(case, moved)
    kept = np.count_nonzero(np.take(mask, range(first, first + count), axis=axis))
    return FovParameters(
        moved,
        axis=axis,
        first=first,
        count=count,
        target_fraction=target_fraction,
        covered_fraction=count / n,
        covered_mm=count * grid.spacing_mm[axis],
        structures_fraction=kept / np.count_nonzero(mask),
    )


def none(moved: str) -> FovParameters:
    """Nothing is cut."""
    return FovParameters(moved)


def apply(case: Case, parameters: FovParameters) -> Case:
    """Cut image and label of one modality; nothing to cut returns `case` itself."""
    if parameters.identity:
        return case
    images, labels = dict(case.images), dict(case.labels)
    for volumes in (images, labels):
        if parameters.moved in volumes:
            volumes[parameters.moved] = _cut(volumes[parameters.moved], parameters)
    return Case(case.id, images, labels)


def _cut(volume: Volume, parameters: FovParameters) -> Volume:
    p = parameters
    window = [slice(None)] * 3
    window[p.axis] = slice(p.first, p.first + p.count)
    affine = volume.affine.copy()
    affine[:3, 3] += p.first * affine[:3, p.axis]
    return Volume(volume.array[tuple(window)].copy(), affine)
