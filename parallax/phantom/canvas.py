"""Where anatomy is painted: a grid finer than the scan, tissue by tissue, later paint over earlier paint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parallax.case import Grid
from parallax.phantom.fields import Array, Axes, smooth_field
from parallax.phantom.geometry import Points, Shape, vector

#: Supersampling per axis: partial volume comes in steps of 1/8.
FINE = 2


@dataclass(frozen=True)
class Painted:
    """A finished anatomy.

    Attributes:
        grid: of the scan, RAS and centred.
        tissue: uint8 on the fine grid, index into `names`.
        names: tissue names.
        label: uint8 on the scan's grid, the structure that fills most of each voxel.
    """

    grid: Grid
    tissue: NDArray[np.uint8]
    names: tuple[str, ...]
    label: NDArray[np.uint8]


def centred_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    """The RAS grid whose centre is the origin."""
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * s for n, s in zip(shape, spacing_mm, strict=True)]
    return Grid(shape, affine)


def block_mean(array: Array) -> Array:
    """Mean over blocks of FINE voxels per axis: [2X, 2Y, 2Z] to [X, Y, Z]."""
    x, y, z = (n // FINE for n in array.shape)
    for axis, n in ((2, z), (1, y), (0, x)):
        shape = [*array.shape[:axis], n, FINE, *array.shape[axis + 1 :]]
        array = array.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return array


def axes_mm(grid: Grid, fine: int = 1) -> Axes:
    """Coordinates (mm) along x, y and z of a centred grid, split `fine` times per axis."""
    x, y, z = (
        ((np.arange(n * fine) - (n * fine - 1) / 2) * s / fine).astype(np.float32)
        for n, s in zip(grid.shape, grid.spacing_mm, strict=True)
    )
    return (x, y, z)


class Canvas:
    """The fine grid of one scan, filled with one tissue at first.

    Args:
        grid: the scan's grid, RAS and centred.
        background: tissue that fills it.
    """

    def __init__(self, grid: Grid, background: str) -> None:
        self.grid = grid
        self.names = [background]
        shape = tuple(n * FINE for n in grid.shape)
        self.tissue = np.zeros(shape, dtype=np.uint8)
        self.label = np.zeros(shape, dtype=np.uint8)
        self.axes_mm = axes_mm(grid, FINE)

    def brush(
        self,
        turn: NDArray[np.float64],
        shift_mm: ArrayLike,
        scale: float,
        rng: np.random.Generator,
        warp_rms_mm: float,
        correlation_mm: float,
    ) -> Brush:
        """A brush for anatomy coordinates q, which lie at scanner coordinates shift + scale * turn @ (q - u).

        Args:
            turn: rotation from anatomy to scanner axes.
            shift_mm: scanner position of the anatomy's origin.
            scale: size of this subject relative to the template.
            rng: source of the deformation u, a smooth function of the scanner coordinates.
            warp_rms_mm: RMS of each component of u; about correlation / 8 or less keeps it one-to-one.
            correlation_mm: length over which u varies.
        """
        x, y, z = np.meshgrid(*self.axes_mm, indexing="ij", sparse=True)
        inverse, shift = (turn.T / scale).astype(np.float32), vector(shift_mm).astype(np.float32)
        points, reach = [], 0.0
        for row in inverse:
            u = np.float32(warp_rms_mm) * smooth_field(rng, self.axes_mm, correlation_mm)
            reach = max(reach, float(np.abs(u).max()))
            points.append(row[0] * (x - shift[0]) + row[1] * (y - shift[1]) + row[2] * (z - shift[2]) + u)
        to_world = np.eye(4)
        to_world[:3, :3], to_world[:3, 3] = turn * scale, shift
        return Brush(self, (points[0], points[1], points[2]), to_world, reach * scale)

    def finish(self) -> Painted:
        """Tissues on the fine grid, majority label on the scan's grid (a tie goes to background)."""
        x, y, z = self.grid.shape
        blocks = self.label.reshape(x, FINE, y, FINE, z, FINE).transpose(0, 2, 4, 1, 3, 5)
        blocks = blocks.reshape(x, y, z, FINE**3)
        counts = [(blocks == k).sum(axis=-1, dtype=np.uint8) for k in range(int(self.label.max()) + 1)]
        label = np.argmax(counts, axis=0).astype(np.uint8)
        return Painted(self.grid, self.tissue, tuple(self.names), label)

    def index(self, tissue: str) -> int:
        """Number of a tissue on this canvas, given on first use."""
        if tissue not in self.names:
            self.names.append(tissue)
        return self.names.index(tissue)


@dataclass(frozen=True)
class Brush:
    """A pose and a smooth one-to-one deformation in which shapes are painted onto a canvas.

    Attributes:
        canvas: painted on.
        points: anatomy coordinates (mm) of every fine voxel.
        to_world: 4x4, anatomy to scanner coordinates without the deformation.
        reach_mm: largest deformation.
    """

    canvas: Canvas
    points: Points
    to_world: NDArray[np.float64]
    reach_mm: float

    def fill(
        self,
        shapes: Shape | Sequence[Shape],
        tissue: str,
        label: int | None = 0,
        over: Sequence[str] | None = None,
    ) -> None:
        """Fill shapes with a tissue, each evaluated inside its bounding box only.

        Args:
            shapes: one shape, or several that are filled alike.
            tissue: name of the tissue.
            label: label id to write; None leaves the labels as they are (a vessel inside the liver).
            over: only where one of these tissues is; None = everywhere.
        """
        canvas, index = self.canvas, self.canvas.index(tissue)
        allowed = None if over is None else [canvas.index(name) for name in over]
        for shape in [shapes] if isinstance(shapes, Shape) else shapes:
            box = self._box(shape)
            points = (self.points[0][box], self.points[1][box], self.points[2][box])
            if points[0].size == 0:
                continue
            inside = shape.level(points) < 0
            if allowed is not None:
                inside &= np.isin(canvas.tissue[box], allowed)
            canvas.tissue[box][inside] = index
            if label is not None:
                canvas.label[box][inside] = label

    def _box(self, shape: Shape) -> tuple[slice, slice, slice]:
        axes = self.canvas.axes_mm
        ends = np.stack([shape.low, shape.high])
        corners = np.stack(np.meshgrid(ends[:, 0], ends[:, 1], ends[:, 2], indexing="ij"), -1).reshape(-1, 3)
        world = corners @ self.to_world[:3, :3].T + self.to_world[:3, 3]
        margin = np.sqrt(3) * self.reach_mm + max(float(axis[1] - axis[0]) for axis in axes)
        low, high = world.min(axis=0) - margin, world.max(axis=0) + margin
        cuts = [np.searchsorted(axis, (lo, hi)) for axis, lo, hi in zip(axes, low, high, strict=True)]
        return (slice(*cuts[0]), slice(*cuts[1]), slice(*cuts[2]))
