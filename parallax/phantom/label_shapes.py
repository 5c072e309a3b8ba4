"""Structures of a label map as smooth shapes in millimetres, so that any grid can be painted from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from parallax.phantom.fields import Array, Axes

#: Voxels that a structure's box reaches beyond it, so that the distance falls below zero on every side.
_MARGIN = 2


@dataclass(frozen=True)
class LabelMap:
    """A label map along RAS voxel axes; millimetres count from the centre of the field of view.

    Attributes:
        ids: uint8 [X, Y, Z], 0 = unlabelled.
        spacing_mm: of the voxels.
    """

    ids: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]

    @property
    def axes_mm(self) -> Axes:
        """Voxel centres along x, y and z."""
        x, y, z = (
            ((np.arange(n) + 0.5 - n / 2) * s).astype(np.float32)
            for n, s in zip(self.ids.shape, self.spacing_mm, strict=True)
        )
        return (x, y, z)

    @property
    def half_mm(self) -> tuple[float, float, float]:
        """Half the field of view."""
        x, y, z = (n * s / 2 for n, s in zip(self.ids.shape, self.spacing_mm, strict=True))
        return (x, y, z)

    def coarse(self, pitch_mm: float) -> tuple[NDArray[np.uint8], Axes]:
        """Every n-th voxel, about `pitch_mm` apart, and where these lie."""
        steps = [max(1, round(pitch_mm / s)) for s in self.spacing_mm]
        cuts = [slice(step // 2, None, step) for step in steps]
        x, y, z = (axis[cut] for axis, cut in zip(self.axes_mm, cuts, strict=True))
        return self.ids[cuts[0], cuts[1], cuts[2]], (x, y, z)


@dataclass(frozen=True)
class LabelShape:
    """One structure: signed distance (mm, positive inside) on the voxels of its box."""

    value: int
    depth_mm: Array
    axes_mm: Axes

    def sample(self, axes_mm: Axes) -> tuple[tuple[slice, slice, slice], Array] | None:
        """The part of a grid that the box covers and the depth there; None where they do not meet."""
        cuts, depth = [], self.depth_mm
        for axis, (own, wanted) in enumerate(zip(self.axes_mm, axes_mm, strict=True)):
            half = 0.5 * float(own[1] - own[0]) if own.size > 1 else 0.5 * float(wanted[1] - wanted[0])
            cut = slice(*np.searchsorted(wanted, (own[0] - half, own[-1] + half)).tolist())
            if cut.start == cut.stop:
                return None
            depth = _along(depth, axis, np.interp(wanted[cut], own, np.arange(own.size)))
            cuts.append(cut)
        return (cuts[0], cuts[1], cuts[2]), depth


def _along(values: Array, axis: int, at: NDArray[np.floating]) -> Array:
    """Linear interpolation at fractional indices along one axis."""
    low = np.minimum(at.astype(np.intp), max(values.shape[axis] - 2, 0))
    shape = [1, 1, 1]
    shape[axis] = at.size
    part = (at - low).astype(np.float32).reshape(shape)
    first = values.take(low, axis)
    second = values.take(np.minimum(low + 1, values.shape[axis] - 1), axis)
    return np.asarray(first + part * (second - first), dtype=np.float32)


def label_shapes(label: LabelMap) -> list[LabelShape]:
    """Every structure of a label map, in the order of the ids.

    Distances are Euclidean in millimetres. Between voxels they are interpolated, so that borders are smooth
    across thick slices (shape-based interpolation, Raya and Udupa, IEEE TMI 1990 9:32).
    """
    shapes = []
    for index, box in enumerate(ndimage.find_objects(label.ids)):
        if box is not None:
            wide = [
                slice(max(0, cut.start - _MARGIN), min(cut.stop + _MARGIN, n))
                for cut, n in zip(box, label.ids.shape, strict=True)
            ]
            inside = label.ids[wide[0], wide[1], wide[2]] == index + 1
            x, y, z = (axis[cut] for axis, cut in zip(label.axes_mm, wide, strict=True))
            shapes.append(LabelShape(index + 1, _signed_mm(inside, label.spacing_mm), (x, y, z)))
    return shapes


def _signed_mm(inside: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Array:
    if inside.all():
        return np.full(inside.shape, max(spacing_mm), dtype=np.float32)
    within = ndimage.distance_transform_edt(inside, sampling=spacing_mm)
    beyond = ndimage.distance_transform_edt(~inside, sampling=spacing_mm)
    return np.asarray(within - beyond, dtype=np.float32)


def sample_shapes(shapes: Sequence[LabelShape], axes_mm: Axes) -> tuple[NDArray[np.uint8], Array]:
    """On a grid: the structure of each voxel (0 = none) and how deep inside it lies (mm, 0 outside)."""
    shape = tuple(axis.size for axis in axes_mm)
    ids, depth = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    for one in shapes:
        met = one.sample(axes_mm)
        if met is not None:
            box, own = met
            deeper = own > depth[box]
            ids[box][deeper] = one.value
            np.maximum(depth[box], own, out=depth[box])
    return ids, depth
