"""Boundary voxels of two masks and the distances between them in mm, computed once per structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.score.nearest import REACH, Spacing, Voxels, nearest_mm

Mask = NDArray[np.bool_]
Distances = NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """The boundary of one mask.

    Attributes:
        mask: the mask [X, Y, Z], cut to the joint box and with `REACH` layers of background around it.
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
    edge = _edge(_padded(mask))
    inner: Mask = edge[REACH:-REACH, REACH:-REACH, REACH:-REACH]
    return inner


def joint_box(a: Mask, b: Mask) -> tuple[slice, slice, slice]:
    """Bounding box of the union of two masks. Raises ValueError where both are empty."""
    if not a.flags.c_contiguous and a.flags.f_contiguous:
        z, y, x = joint_box(a.T, b.T)  # what lies together in memory is gone through several times faster
        return x, y, z
    # A slice of background is read once and one with foreground to its first voxel; the rest is small.
    filled = np.array([bool(own.any() or other.any()) for own, other in zip(a, b, strict=True)])
    if not filled.any():
        raise ValueError("two empty masks have no bounding box")
    x = _extent(filled)
    plane = np.asarray(a[x].any(axis=0) | b[x].any(axis=0))
    return x, _extent(plane.any(axis=1)), _extent(plane.any(axis=0))


def surface_distances(reference: Mask, prediction: Mask, spacing_mm: Spacing) -> SurfaceDistances:
    """Distances between the boundaries of two masks [X, Y, Z] of one grid, neither of them empty.

    Raises ValueError where a mask is empty: the empty-mask rule is decided in `parallax.score.metrics`.
    """
    # No voxel outside the joint box is foreground, so what lies around it does not matter to the boundary.
    box = joint_box(reference, prediction)
    if not reference[box].any() or not prediction[box].any():
        raise ValueError("surface distances need two masks with at least one voxel each")
    a, b = _padded(reference[box]), _padded(prediction[box])
    edge_a, edge_b = _edge(a), _edge(b)
    return SurfaceDistances(
        _surface(a, edge_a, edge_b, spacing_mm), _surface(b, edge_b, edge_a, spacing_mm), spacing_mm
    )


def _extent(filled: Any) -> slice:
    places = np.flatnonzero(filled)
    return slice(int(places[0]), int(places[-1]) + 1)


def _padded(mask: Mask) -> Mask:
    padded = np.zeros([n + 2 * REACH for n in mask.shape], dtype=bool)
    padded[REACH:-REACH, REACH:-REACH, REACH:-REACH] = mask
    return padded


def _edge(padded: Mask) -> Mask:
    """Flags of the boundary voxels of a mask whose outermost layers are background."""
    flat = padded.reshape(-1)
    core = slice(padded[0].size, flat.size - padded[0].size)
    inside = flat[core].copy()
    for step in (padded[0].size, padded.shape[2], 1):
        inside &= flat[core.start - step : core.stop - step]
        inside &= flat[core.start + step : core.stop + step]
    edge = padded.copy()
    edge.reshape(-1)[core] ^= inside
    return edge


def _surface(mask: Mask, own: Mask, other: Mask, spacing_mm: Spacing) -> Surface:
    """The boundary `own` of a mask with its distances to the boundary `other`."""
    voxels = np.flatnonzero(own)
    shared = other.reshape(-1)[voxels]
    apart, common = voxels[~shared], voxels[shared]
    distances = np.zeros(len(voxels))
    distances[: len(apart)] = nearest_mm(apart, other, spacing_mm)
    return Surface(mask, np.concatenate([apart, common]), distances)
