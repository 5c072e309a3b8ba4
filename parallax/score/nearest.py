"""Distance of voxels to the nearest voxel of a boundary: exact, and fast where boundaries lie close together.

Most boundary voxels of a prediction lie within a few voxels of the truth. Offsets are therefore tried from
the nearest one on, for all voxels at once; the few voxels that are left go to a k-d tree. Both ways subtract
coordinates in mm as float64, so a distance does not depend on the way by which it was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

Voxels = NDArray[np.intp]
Spacing = tuple[float, float, float]

#: Offsets of up to so many voxels along each axis are tried; masks carry as many layers of background.
REACH = 3


def nearest_mm(voxels: Voxels, target: NDArray[np.bool_], spacing_mm: Spacing) -> NDArray[np.float64]:
    """Distance (mm) of each voxel (flat index) to the nearest one of `target` [X, Y, Z].

    `target` holds at least one voxel, and neither it nor `voxels` lie in the outermost `REACH` layers.
    """
    distances = np.full(len(voxels), np.nan)
    left = np.arange(len(voxels))
    flat, steps = target.reshape(-1), np.array([target[0].size, target.shape[2], 1])
    for offsets in _shells(spacing_mm):
        if len(left) == 0:
            return distances
        hits = flat[voxels[left] + (offsets @ steps)[:, None]]
        found = hits.any(axis=0)
        where = left[found]
        distances[where] = _least_mm(voxels[where], hits[:, found], offsets, target.shape, spacing_mm)
        left = left[~found]
    distances[left] = _by_tree(voxels[left], np.flatnonzero(flat), target.shape, spacing_mm)
    return distances


def _shells(spacing_mm: Spacing) -> Iterator[NDArray[np.intp]]:
    """Offsets [K, 3] of equal length, the shortest first, up to the length at which `REACH` cuts some off."""
    offsets = np.array(list(product(range(-REACH, REACH + 1), repeat=3)))
    lengths_mm = np.linalg.norm(offsets * np.asarray(spacing_mm), axis=1)
    order = np.argsort(lengths_mm, kind="stable")
    # Lengths that differ by rounding alone are one shell.
    starts = np.flatnonzero(np.diff(lengths_mm[order], prepend=-1.0) > 1e-9 * max(spacing_mm))
    for shell in np.split(order, starts[1:])[1:]:
        if lengths_mm[shell].max() * (1 + 1e-6) >= (REACH + 1) * min(spacing_mm):
            return
        yield offsets[shell]


def _least_mm(
    voxels: Voxels,
    hits: NDArray[np.bool_],
    offsets: NDArray[np.intp],
    shape: tuple[int, ...],
    spacing_mm: Spacing,
) -> NDArray[np.float64]:
    """Least distance over the offsets that hit: they differ by rounding, and a tree takes the least one."""
    squared = np.zeros(hits.shape)
    for place, steps, n, spacing in zip(
        np.unravel_index(voxels, shape), offsets.T, shape, spacing_mm, strict=True
    ):
        here = np.arange(n) - REACH
        squared += np.square(here * spacing - (here + steps[:, None]) * spacing)[:, place]
    return np.asarray(np.sqrt(np.where(hits, squared, np.inf).min(axis=0)))


def _by_tree(
    voxels: Voxels, target: Voxels, shape: tuple[int, ...], spacing_mm: Spacing
) -> NDArray[np.float64]:
    if len(voxels) == 0:
        return np.zeros(0)
    from scipy.spatial import cKDTree

    # Building an unbalanced tree is several times faster and the points come from a grid anyway.
    tree = cKDTree(_points_mm(target, shape, spacing_mm), balanced_tree=False, compact_nodes=False)
    return np.asarray(tree.query(_points_mm(voxels, shape, spacing_mm))[0])


def _points_mm(voxels: Voxels, shape: tuple[int, ...], spacing_mm: Spacing) -> NDArray[np.float64]:
    """Coordinates [N, 3] of voxels, from the corner of the joint box on."""
    index = np.stack(np.unravel_index(voxels, shape), axis=1) - REACH
    return np.asarray(index * np.asarray(spacing_mm, dtype=np.float64))
