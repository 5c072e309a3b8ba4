"""Boundary voxels of two masks and the distances between them in mm, computed once per structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Distances = NDArray[np.float64]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class SurfaceDistances:
    """Distance (mm) of each boundary voxel of one mask to the nearest boundary voxel of the other one."""

    prediction_to_reference_mm: Distances
    reference_to_prediction_mm: Distances


def boundary(mask: Mask) -> Mask:
    """Foreground voxels with a face neighbour outside; beyond the array counts as outside.

    This is the convention of MONAI (erosion, voxel centres, 6-connectivity), which makes the directed-max
    HD95 comparable with theirs.
    """
    padded = np.pad(mask, 1)
    inside = mask.copy()
    for axis in range(mask.ndim):
        for start in (0, 2):
            window = [slice(1, -1)] * mask.ndim
            window[axis] = slice(start, start + mask.shape[axis])
            inside &= padded[tuple(window)]
    return mask & ~inside


def crop_to_joint_box(a: Mask, b: Mask) -> tuple[Mask, Mask]:
    """Both masks cut to the bounding box of their union. Raises ValueError where both are empty."""
    either = a | b
    box = []
    for axis in range(either.ndim):
        others = tuple(other for other in range(either.ndim) if other != axis)
        filled = np.flatnonzero(either.any(axis=others))
        if filled.size == 0:
            raise ValueError("two empty masks have no bounding box")
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return a[tuple(box)], b[tuple(box)]


def surface_distances(reference: Mask, prediction: Mask, spacing_mm: Spacing) -> SurfaceDistances:
    """Distances between the boundaries of two masks [X, Y, Z] of one grid, neither of them empty.

    Raises ValueError where a mask is empty: the empty-mask rule is decided in `parallax.score.metrics`.
    """
    if not reference.any() or not prediction.any():
        raise ValueError("surface distances need two masks with at least one voxel each")
    # No voxel outside the joint box is foreground in either mask, so the layer of background that
    # `boundary` pads is the "one voxel more" that boundary detection needs.
    reference, prediction = crop_to_joint_box(reference, prediction)
    edge_r, edge_p = boundary(reference), boundary(prediction)
    return SurfaceDistances(
        _nearest(edge_p, edge_r, spacing_mm),
        _nearest(edge_r, edge_p, spacing_mm),
    )


def _nearest(source: Mask, target: Mask, spacing_mm: Spacing) -> Distances:
    """Distances from each voxel of `source` to the nearest one of `target`; voxels on both cost no query."""
    from scipy.spatial import cKDTree

    distances = np.zeros(int(source.sum()), dtype=np.float64)
    apart = np.argwhere(source & ~target)
    if len(apart):
        spacing = np.asarray(spacing_mm, dtype=np.float64)
        # Building an unbalanced tree is several times faster and the points come from a grid anyway.
        tree = cKDTree(np.argwhere(target) * spacing, balanced_tree=False, compact_nodes=False)
        distances[: len(apart)] = tree.query(apart * spacing)[0]
    return distances
