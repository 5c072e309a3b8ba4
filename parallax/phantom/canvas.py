"""Where anatomy is painted: a grid finer than the scan, tissue by tissue, later paint over earlier paint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parallax.case import Grid
from parallax.phantom.fields import Array, Axes, smooth_field
from parallax.phantom.geometry import Points, Shape, vector

#: Parts into which a voxel is split along x, y and z: partial volume comes in steps of 1/8.
SPLIT = (2, 2, 2)
#: Largest number of parts that are painted at once; bounds the memory of fine grids.
_SLAB_PARTS = 12_000_000

Split = tuple[int, int, int]


@dataclass(frozen=True)
class Painted:
    """A finished anatomy.

    Attributes:
        grid: of the scan, RAS and centred.
        tissue: uint8 on the fine grid, index into `names`.
        names: tissue names.
        label: uint8 on the scan's grid, the structure that fills most of each voxel.
        split: parts per voxel of the fine grid along each axis; many along a thick slice.
    """

    grid: Grid
    tissue: NDArray[np.uint8]
    names: tuple[str, ...]
    label: NDArray[np.uint8]
    split: Split = SPLIT

    def mixed(self, values: Sequence[float]) -> Array:
        """Mean over each voxel of a value per tissue (in the order of `names`), float32 on `grid`."""
        table = np.asarray(values, dtype=np.float32)
        parts = _slabs(self.grid.shape, self.split)
        cut = [self.tissue[:, :, part.start * self.split[2] : part.stop * self.split[2]] for part in parts]
        return np.concatenate([block_mean(table[tissue], self.split) for tissue in cut], axis=2)


def centred_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    """The RAS grid whose centre is the origin."""
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * s for n, s in zip(shape, spacing_mm, strict=True)]
    return Grid(shape, affine)


def _slabs(shape: tuple[int, int, int], split: Split) -> list[slice]:
    """Runs of slices along z, each small enough to be painted at once."""
    slice_parts = shape[0] * shape[1] * int(np.prod(split))
    thick = max(1, _SLAB_PARTS // slice_parts)
    return [slice(start, min(start + thick, shape[2])) for start in range(0, shape[2], thick)]


def paint_in_slabs(paint: Callable[[Grid], Painted], grid: Grid, split: Split) -> Painted:
    """A large scan painted slab by slab along z.

    Args:
        paint: paints the part of the anatomy that a grid covers; must draw alike for every part.
        grid: RAS.
        split: parts per voxel that `paint` uses.
    """
    painted = []
    for part in _slabs(grid.shape, split):
        affine = grid.affine.copy()
        affine[2, 3] += part.start * grid.affine[2, 2]
        painted.append(paint(Grid((*grid.shape[:2], part.stop - part.start), affine)))
    if len(painted) == 1:
        return painted[0]
    tissue = np.concatenate([part.tissue for part in painted], axis=2)
    label = np.concatenate([part.label for part in painted], axis=2)
    return Painted(grid, tissue, painted[0].names, label, split)


def block_mean(array: Array, split: Split = SPLIT) -> Array:
    """Mean over blocks of `split` parts: [aX, bY, cZ] to [X, Y, Z]."""
    for axis in (2, 1, 0):
        n = array.shape[axis] // split[axis]
        shape = [*array.shape[:axis], n, split[axis], *array.shape[axis + 1 :]]
        array = array.reshape(shape).mean(axis=axis + 1, dtype=np.float32)
    return array


def axes_mm(grid: Grid, split: Split = (1, 1, 1)) -> Axes:
    """Coordinates (mm) of the voxels of a RAS grid along x, y and z, each voxel split into parts."""
    x, y, z = (
        (first + ((np.arange(n * k) + 0.5) / k - 0.5) * s).astype(np.float32)
        for n, s, k, first in zip(grid.shape, grid.spacing_mm, split, grid.affine[:3, 3], strict=True)
    )
    return (x, y, z)


@dataclass(frozen=True)
class Island:
    """What lies scattered in a host tissue, and the share of the host that it takes."""

    tissue: str
    share: float


class Canvas:
    """The fine grid of one scan, filled with one tissue at first.

    Args:
        grid: the scan's grid, RAS.
        background: tissue that fills it.
        split: parts per voxel along each axis.
        reach_mm: half the region of which this grid may show a part (see `smooth_field`).
    """

    def __init__(
        self,
        grid: Grid,
        background: str,
        split: Split = SPLIT,
        reach_mm: tuple[float, float, float] | None = None,
    ) -> None:
        self.grid, self.split, self.reach_mm = grid, split, reach_mm
        self.names = [background]
        shape = tuple(n * k for n, k in zip(grid.shape, split, strict=True))
        self.tissue = np.zeros(shape, dtype=np.uint8)
        self.label = np.zeros(shape, dtype=np.uint8)
        self.axes_mm = axes_mm(grid, split)

    def brush(
        self,
        turn: NDArray[np.float64],
        shift_mm: ArrayLike,
        scale: ArrayLike,
        rng: np.random.Generator,
        *warps_mm: tuple[float, float],
    ) -> Brush:
        """A brush for anatomy coordinates q, which lie at scanner coordinates shift + scale * turn @ (q - u).

        Args:
            turn: rotation from anatomy to scanner axes.
            shift_mm: scanner position of the anatomy's origin.
            scale: size of this subject relative to the template, one number or one along each axis.
            rng: source of the deformation u, a smooth function of the scanner coordinates.
            warps_mm: of each part of u, the RMS of a component and the length over which it varies; an RMS
                of about an eighth of that length or less keeps the deformation one-to-one.
        """
        x, y, z = np.meshgrid(*self.axes_mm, indexing="ij", sparse=True)
        size = np.broadcast_to(vector(scale), 3)
        inverse, shift = (turn.T / size[:, None]).astype(np.float32), vector(shift_mm).astype(np.float32)
        points, reach = [], np.zeros(3)
        for axis, row in enumerate(inverse):
            fields = (r * smooth_field(rng, self.axes_mm, c, self.reach_mm) for r, c in warps_mm)
            u = np.asarray(sum(fields), dtype=np.float32)
            reach[axis] = np.abs(u).max()
            points.append(row[0] * (x - shift[0]) + row[1] * (y - shift[1]) + row[2] * (z - shift[2]) + u)
        to_world = np.eye(4)
        to_world[:3, :3], to_world[:3, 3] = turn * size, shift
        return Brush(self, (points[0], points[1], points[2]), to_world, reach)

    def speckle(self, rng: np.random.Generator, correlation_mm: float, islands: Mapping[str, Island]) -> None:
        """Islands of one tissue in another where nothing is labelled: fat in muscle, strands in fat.

        Args:
            rng: source of one field for all of them; they do not overlap since their hosts do not.
            correlation_mm: size of an island.
            islands: host tissue to what lies in it.
        """
        field = smooth_field(rng, self.axes_mm, correlation_mm, self.reach_mm)
        for host, island in islands.items():
            inside = (self.tissue == self.index(host)) & (self.label == 0)
            # the field is normal with unit variance
            inside &= field > NormalDist().inv_cdf(1 - island.share)
            self.tissue[inside] = self.index(island.tissue)

    def finish(self) -> Painted:
        """Tissues on the fine grid, majority label on the scan's grid (a tie goes to background)."""
        x, y, z = self.grid.shape
        a, b, c = self.split
        blocks = self.label.reshape(x, a, y, b, z, c).transpose(0, 2, 4, 1, 3, 5).reshape(x, y, z, a * b * c)
        label, most = np.zeros((x, y, z), np.uint8), (blocks == 0).sum(axis=-1, dtype=np.uint8)
        for value in range(1, int(self.label.max()) + 1):
            count = (blocks == value).sum(axis=-1, dtype=np.uint8)
            label[count > most] = value
            np.maximum(most, count, out=most)
        return Painted(self.grid, self.tissue, tuple(self.names), label, self.split)

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
        reach_mm: largest deformation along each anatomy axis.
    """

    canvas: Canvas
    points: Points
    to_world: NDArray[np.float64]
    reach_mm: NDArray[np.float64]

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
        margin = np.abs(self.to_world[:3, :3]) @ self.reach_mm + max(self.canvas.grid.spacing_mm)
        low, high = world.min(axis=0) - margin, world.max(axis=0) + margin
        cuts = [np.searchsorted(axis, (lo, hi)) for axis, lo, hi in zip(axes, low, high, strict=True)]
        return (slice(*cuts[0]), slice(*cuts[1]), slice(*cuts[2]))
