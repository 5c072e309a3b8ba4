"""Smooth one-to-one deformations: the flow of a stationary velocity that is a cubic B-spline.

The velocity lives on a lattice of knots along the axes of a grid. Its flow over unit time is found by scaling
and squaring (Arsigny et al., MICCAI 2006) on a lattice four times finer. That displacement is again a cubic
B-spline, so that field and derivatives are known at every voxel without a dense field in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from parallax.case import Grid
from parallax.perturb.displacement import Array, Axes, slabs, whole

if TYPE_CHECKING:
    from scipy.sparse import csr_array

#: Points of the finer lattice per knot of the velocity.
FINER = 4
#: Cells of the finer lattice beyond the grid on each side, so that no voxel sees the lattice end.
MARGIN = 6
#: Mean square of a sum of cubic B-splines whose coefficients have unit variance, along one axis.
MEAN_SQUARE = 151 / 315
#: Longest first step of the flow, as a part of a cell of the finer lattice.
FIRST_STEP = 0.25


@dataclass(frozen=True)
class Flow:
    """A deformation y -> y + d(y) of a grid.

    Attributes:
        grid: the grid that it is defined on.
        coefficients: float64 [3, A, B, C], B-spline coefficients of the displacement in RAS mm.
        cell_mm: spacing of the lattice along the axes of the grid.
    """

    grid: Grid
    coefficients: Array
    cell_mm: float

    def field(self, axes: Axes) -> Array:
        """Displacement in RAS mm, [3, X, Y, Z], at the voxels `axes`."""
        bases = self._bases(axes)
        return np.stack([_tensor(component, bases) for component in self.coefficients])

    def least_jacobian(self) -> float:
        """Least determinant of d(y + d) / dy over the grid; above 0, neither the flow nor its voxels fold.

        By exact derivatives at all voxel centres, and by the differences to the next voxels on each side: on
        voxels that are coarse beside the knots, the cell between eight centres may fold where no centre does.
        """
        found = []
        for x, y, z in slabs(whole(self.grid.shape)):
            found.append(float(self._jacobian((x, y, z)).min()))
            cells = (x, y, np.arange(z[0], min(z[-1] + 2, self.grid.shape[2])))
            if min(len(indices) for indices in cells) > 1:
                found.append(self._least_corner(cells))
        return min(found)

    @property
    def _directions(self) -> Array:
        directions: Array = self.grid.affine[:3, :3] / np.array(self.grid.spacing_mm)
        return directions

    def _least_corner(self, axes: Axes) -> float:
        """Least determinant of the three edges that meet at a corner, over all 8 corners of all cells."""
        moved, directions = self.field(axes), self._directions
        edges = [
            np.diff(moved, axis=axis + 1) / spacing + directions[:, axis, None, None, None]
            for axis, spacing in enumerate(self.grid.spacing_mm)
        ]
        least = np.inf
        for corner in product((slice(None, -1), slice(1, None)), repeat=3):
            a, b, c = (
                edge[:, *(slice(None) if other == axis else corner[other] for other in range(3))]
                for axis, edge in enumerate(edges)
            )
            volumes = (a * np.cross(b, c, axis=0)).sum(axis=0) / np.linalg.det(directions)
            least = min(least, float(volumes.min()))
        return least

    def _jacobian(self, axes: Axes) -> Array:
        directions = self._directions
        value, slope = self._bases(axes), self._bases(axes, derivative=1)
        columns = []
        for axis in range(3):
            bases = [slope[a] if a == axis else value[a] for a in range(3)]
            along = np.stack([_tensor(component, bases) for component in self.coefficients])
            columns.append(along / self.cell_mm + directions[:, axis, None, None, None])
        a, b, c = columns
        determinant: Array = (a * np.cross(b, c, axis=0)).sum(axis=0) / np.linalg.det(directions)
        return determinant

    def _bases(self, axes: Axes, derivative: int = 0) -> list[csr_array[Any]]:
        sizes, shape = self.coefficients.shape[1:], self.grid.shape
        places = [
            (indices - (n - 1) / 2) * spacing / self.cell_mm + (m - 1) / 2
            for indices, n, spacing, m in zip(axes, shape, self.grid.spacing_mm, sizes, strict=True)
        ]
        return [_basis(place, m, derivative) for place, m in zip(places, sizes, strict=True)]


def random_flow(grid: Grid, *, seed: int, knot_mm: float, amplitude_mm: float) -> Flow:
    """The flow of a random velocity.

    Args:
        grid: grid of the modality that is moved.
        seed: of the values at the knots, which are independent and normal.
        knot_mm: distance of knots.
        amplitude_mm: expected RMS length of the velocity, so about that of the displacement.
    """
    from scipy.ndimage import spline_filter

    cell_mm = knot_mm / FINER
    extent = np.array(grid.shape) * np.array(grid.spacing_mm)
    sizes = np.ceil(extent / cell_mm).astype(int) + 2 * MARGIN
    knots = np.ceil(sizes / FINER).astype(int) + 4
    sd_mm = amplitude_mm / np.sqrt(3 * MEAN_SQUARE**3)
    values = np.random.default_rng(seed).standard_normal((3, *knots)) * sd_mm
    places = [(np.arange(n) - (n - 1) / 2) / FINER + (k - 1) / 2 for n, k in zip(sizes, knots, strict=True)]
    bases = [_basis(place, k) for place, k in zip(places, knots, strict=True)]
    velocity = np.stack([_tensor(component, bases) for component in values])
    displacement = _flow(velocity, grid.affine[:3, :3] / np.array(grid.spacing_mm) * cell_mm)
    coefficients = np.stack([spline_filter(component, 3, mode="mirror") for component in displacement])
    return Flow(grid, coefficients, cell_mm)


def _flow(velocity_mm: Array, cell_to_mm: Array) -> Array:
    """Displacement after unit time: a small first step, then doubled by composing it with itself."""
    from scipy.ndimage import map_coordinates

    to_cells = np.linalg.inv(cell_to_mm)
    longest = float(np.linalg.norm(np.einsum("ij,jxyz->ixyz", to_cells, velocity_mm), axis=0).max())
    doublings = max(0, int(np.ceil(np.log2(max(longest, 1e-9) / FIRST_STEP))))
    places = np.indices(velocity_mm.shape[1:], dtype=np.float64)
    displacement = velocity_mm / 2**doublings
    for _ in range(doublings):
        there = places + np.einsum("ij,jxyz->ixyz", to_cells, displacement)
        further = [map_coordinates(c, there, order=1, mode="nearest") for c in displacement]
        displacement = displacement + np.stack(further)
    return np.asarray(displacement, dtype=np.float64)


def _basis(places: Array, size: int, derivative: int = 0) -> csr_array[Any]:
    """Cubic B-splines centred on 0 .. size - 1, or their derivative, at `places`: sparse [places, size]."""
    from scipy.interpolate import BSpline
    from scipy.sparse import csr_array

    spline = BSpline(np.arange(-2.0, size + 2), np.eye(size), 3, extrapolate=False)
    return csr_array(spline(places, derivative))


def _tensor(coefficients: Array, bases: list[csr_array[Any]]) -> Array:
    """Tensor-product spline [X, Y, Z] of coefficients [A, B, C]; the last axis first, as slabs are thin."""
    x, y, z = bases
    result = np.moveaxis(coefficients, 2, 0)
    for basis in (z, x, y):
        # each turn contracts the first axis and puts the result last
        flat = basis @ result.reshape(result.shape[0], -1)
        result = np.moveaxis(flat.reshape(-1, *result.shape[1:]), 0, -1)
    return np.moveaxis(result, 0, -1)
