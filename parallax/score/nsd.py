"""Normalised surface distance (NSD): how much of two boundaries lies within a tolerance, by area.

Areas follow the design of DeepMind's `surface-distance` (google-deepmind/surface-distance@1f805ce): the 2x2x2
neighbourhood at each voxel corner has one of 256 patterns of inside and outside, and each pattern the area
of its marching-cubes surface at the spacing. Distances are those between boundary voxels (voxel centres,
face neighbours) that HD95 and ASSD use, so the area of a corner is shared out evenly among the voxels at
that corner that have a face neighbour outside there. The total area of a mask is kept.

DeepMind measures distances between the corners instead; docs/metrics.md states how much the two differ.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from parallax.score.nearest import Spacing
from parallax.score.surface import Mask, Surface, SurfaceDistances

_CORNERS = tuple(product((0, 1), repeat=3))

#: Distances of whole voxels meet a tolerance exactly on paper, but not after rounding in a header (float32).
_ROUNDING = 1e-6


def nsd(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Part of both boundaries that lies within `tolerance_mm` of the other one, weighted by area; 0 to 1.

    Raises ValueError for a tolerance that is not above 0: an NSD means nothing without one.
    """
    if not tolerance_mm > 0:
        raise ValueError(f"the NSD needs a tolerance in mm above 0, not {tolerance_mm}")
    near_mm2 = total_mm2 = 0.0
    for surface in (distances.reference, distances.prediction):
        area_mm2 = boundary_areas_mm2(surface, distances.spacing_mm)
        near_mm2 += float(area_mm2[surface.nearest_mm <= tolerance_mm * (1 + _ROUNDING)].sum())
        total_mm2 += float(area_mm2.sum())
    return near_mm2 / total_mm2


def boundary_areas_mm2(surface: Surface, spacing_mm: Spacing) -> NDArray[np.float64]:
    """Area of each boundary voxel, in the order of `surface.voxels`."""
    shares = corner_shares_mm2(spacing_mm)
    patterns = _corner_patterns(surface.mask, surface.voxels)
    area_mm2 = np.zeros(len(surface.voxels))
    for corner, pattern in patterns.items():
        # seen from the corner before it, a voxel is the last one of the neighbourhood, and so on
        area_mm2 += shares[pattern, _bit(tuple(1 - step for step in corner))]
    return area_mm2


@lru_cache(maxsize=64)
def corner_shares_mm2(spacing_mm: Spacing) -> NDArray[np.float64]:
    """[256, 8]: area that each of the 8 voxels at a corner gets, by the pattern of the neighbourhood."""
    cubes = _cubes()
    edge = np.zeros_like(cubes)
    for axis in (1, 2, 3):
        edge |= cubes & ~np.flip(cubes, axis)
    counted = edge.reshape(256, 8).astype(np.float64)
    each_mm2 = pattern_areas_mm2(spacing_mm) / np.maximum(counted.sum(axis=1), 1)
    return np.asarray(counted * each_mm2[:, None])


def pattern_areas_mm2(spacing_mm: Spacing) -> NDArray[np.float64]:
    """[256]: area of the marching-cubes surface of each pattern of a 2x2x2 neighbourhood.

    Bit i of a pattern is voxel i of the neighbourhood in C order. Some patterns allow several surfaces; the
    mean over all turns and mirror images of the neighbourhood is taken, so that no axis is preferred.
    """
    triangles, pattern = _triangles()
    total = np.zeros(256)
    for axes in permutations(range(3)):
        sides = np.diff(triangles * np.asarray(spacing_mm)[list(axes)], axis=1)
        areas = 0.5 * np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
        own = np.bincount(pattern, areas, minlength=256)
        for mirrored in product((slice(None), slice(None, None, -1)), repeat=3):
            turned = _cubes().transpose(0, *(axis + 1 for axis in axes))[:, *mirrored]
            total += own[_number(turned)]
    return total / 48


@lru_cache(maxsize=1)
def _triangles() -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Corners [T, 3, 3] of the surface triangles of all patterns, and the pattern [T] of each triangle."""
    from skimage.measure import marching_cubes

    found, pattern = [], []
    for number, cube in enumerate(_cubes()[1:-1].astype(np.float64), start=1):
        corners, faces = marching_cubes(cube, 0.5, method="lorensen")[:2]  # type: ignore[no-untyped-call]
        found.append(corners[faces].astype(np.float64))
        pattern += [number] * len(faces)
    return np.concatenate(found), np.array(pattern)


def _cubes() -> Mask:
    """[256, 2, 2, 2]: every pattern."""
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    return bits.astype(bool).reshape(256, 2, 2, 2)


def _number(cubes: Mask) -> NDArray[np.intp]:
    weights = 1 << np.arange(8)
    return np.asarray(cubes.reshape(len(cubes), 8) @ weights)


def _bit(corner: tuple[int, ...]) -> int:
    return 4 * corner[0] + 2 * corner[1] + corner[2]


def _corner_patterns(mask: Mask, voxels: NDArray[np.intp]) -> dict[tuple[int, ...], NDArray[np.uint8]]:
    """Pattern of the neighbourhood at each of the 8 corners of each voxel; 0 is the corner before it."""
    flat, steps = mask.reshape(-1).view(np.uint8), (mask[0].size, mask.shape[2], 1)
    patterns = {corner: np.zeros(len(voxels), dtype=np.uint8) for corner in _CORNERS}
    for offset in product((-1, 0, 1), repeat=3):
        held = flat[voxels + sum(o * step for o, step in zip(offset, steps, strict=True))]
        for corner, pattern in patterns.items():
            place = tuple(o - c + 1 for o, c in zip(offset, corner, strict=True))
            if min(place) >= 0 and max(place) <= 1:
                pattern |= held << _bit(place)
    return patterns
