"""Boundary voxels of two masks and the distances between them in mm, computed once per structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Distances = NDArray[np.float64]
Voxels = NDArray[np.intp]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Surface:
    """The boundary of one mask.

    Attributes:
        mask: the mask [X, Y, Z], cut to the joint box and with one layer of background around it.
        voxels: flat indices into `mask`; those that lie on the other boundary, too, come last.
        nearest_mm: distance of each of these voxels to the nearest boundary voxel of the other mask.
    """

    mask: Mask
    voxels: Voxels
    nearest_mm: Distances


@dataclass(frozen=True)
class SurfaceDistances:
    """Two boundaries, and how far each voxel of one lies from the other one."""

    reference: Surface
    prediction: Surface
    spacing_mm: Spacing

    @property
    def prediction_to_reference_mm(self) -> Distances:
        """Distance of each boundary voxel of the prediction to the reference."""
        return self.prediction.nearest_mm

    @property
    def reference_to_prediction_mm(self) -> Distances:
        """Distance of each boundary voxel of the reference to the prediction."""
        return self.reference.nearest_mm


def boundary(mask: Mask) -> Mask:
    """Foreground voxels with a face neighbour outside; beyond the array counts as outside.

    This is the convention of MONAI (erosion, voxel centres, 6-connectivity), which makes the directed-max
    HD95 comparable with theirs.
    """
    padded = np.pad(mask, 1)
    inner: Mask = _edge(padded).reshape(padded.shape)[1:-1, 1:-1, 1:-1]
    return inner


def joint_box(a: Mask, b: Mask) -> tuple[slice, ...]:
    """Bounding box of the union of two masks. Raises ValueError where both are empty."""
    either = a | b
    box = []
    for axis in range(either.ndim):
        others = tuple(other for other in range(either.ndim) if other != axis)
        filled = np.flatnonzero(either.any(axis=others))
        if filled.size == 0:
            raise ValueError("two empty masks have no bounding box")
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return tuple(box)


def surface_distances(reference: Mask, prediction: Mask, spacing_mm: Spacing) -> SurfaceDistances:
    """Distances between the boundaries of two masks [X, Y, Z] of one grid, neither of them empty.

    Raises ValueError where a mask is empty: the empty-mask rule is decided in `parallax.score.metrics`.
    """
    if not reference.any() or not prediction.any():
        raise ValueError("surface distances need two masks with at least one voxel each")
    box = joint_box(reference, prediction)
    # No voxel outside the joint box is foreground, so this layer is all that the boundary needs.
    a, b = (np.pad(mask[box], 1) for mask in (reference, prediction))
    edge_a, edge_b = _edge(a), _edge(b)
    return SurfaceDistances(
        _surface(a, edge_a, edge_b, spacing_mm), _surface(b, edge_b, edge_a, spacing_mm), spacing_mm
    )


def _edge(padded: Mask) -> Mask:
    """Flat flags of the boundary voxels of a mask whose outermost layer is background."""
    flat = padded.reshape(-1)
    core = slice(padded[0].size, flat.size - padded[0].size)
    inside = flat[core].copy()
    for step in (padded[0].size, padded.shape[2], 1):
        inside &= flat[core.start - step : core.stop - step]
        inside &= flat[core.start + step : core.stop + step]
    edge = flat.copy()
    edge[core] ^= inside
    return edge


def _surface(mask: Mask, own: Mask, other: Mask, spacing_mm: Spacing) -> Surface:
    """The boundary `own` of a mask with its distances to the boundary `other` (flat flags both)."""
    voxels = np.flatnonzero(own)
    shared = other[voxels]
    apart, common = voxels[~shared], voxels[shared]
    distances = np.zeros(len(voxels))
    distances[: len(apart)] = _nearest(apart, np.flatnonzero(other), mask.shape, spacing_mm)
    return Surface(mask, np.concatenate([apart, common]), distances)


def _nearest(source: Voxels, target: Voxels, shape: tuple[int, ...], spacing_mm: Spacing) -> Distances:
    """Distance (mm) of each voxel of `source` to the nearest one of `target`."""
    from scipy.spatial import cKDTree

    if len(source) == 0:
        return np.zeros(0)
    # Building an unbalanced tree is several times faster and the points come from a grid anyway.
    tree = cKDTree(_points_mm(target, shape, spacing_mm), balanced_tree=False, compact_nodes=False)
    return np.asarray(tree.query(_points_mm(source, shape, spacing_mm))[0])


def _points_mm(voxels: Voxels, shape: tuple[int, ...], spacing_mm: Spacing) -> Distances:
    """Coordinates [N, 3] of voxels, from the corner of the joint box on."""
    index = np.stack(np.unravel_index(voxels, shape), axis=1) - 1
    return np.asarray(index * np.asarray(spacing_mm, dtype=np.float64))
