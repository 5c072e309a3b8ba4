"""Fields of displacement on the grid of a modality: applied in slabs, and measured where structures lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from parallax.case import Case, Grid, Volume
from parallax.data.normalise import foreground
from parallax.errors import ConfigError

Vector = tuple[float, float, float]
Array = NDArray[np.float64]
#: Voxel indices along the three axes of a grid; a field is evaluated at all their combinations.
Axes = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
#: From indices to displacement in RAS mm, [3, X, Y, Z]: the voxel shows what lay that far away before.
Field = Callable[[Axes], Array]

#: Voxels of a slab; bounds the memory of dense fields (a field of three float64 takes 24 bytes a voxel).
SLAB_VOXELS = 2_000_000
#: Points along each axis at which a field is looked at while its amplitude is sought.
SAMPLE_POINTS = 48
#: Fewest structure voxels among these points; thin structures far apart may fall between them.
LEAST_POINTS = 2000


@dataclass(frozen=True)
class Realised:
    """Displacement in mm over the structures, measured on the applied field.

    Attributes:
        mean_mm, rms_mm, p95_mm: mean, root mean square and 95th percentile of the length.
        over: `label`, or `foreground` of the image where the modality has no label.
    """

    mean_mm: float
    rms_mm: float
    p95_mm: float
    over: str

    def to_json(self) -> dict[str, Any]:
        """Plain values under the names that `transforms.json` has."""
        return {f"realised_{k}": v for k, v in asdict(self).items() if k != "over"} | {
            "measured_over": self.over
        }


def structures(case: Case, moved: str) -> tuple[NDArray[np.bool_], str]:
    """Voxels over which a displacement is measured, and what they are (see `Realised.over`)."""
    label = case.labels.get(moved)
    if label is not None and label.array.any():
        return label.array > 0, "label"
    return foreground(case.images[moved].array), "foreground"


def slabs(ranges: Axes) -> Iterator[Axes]:
    """Indices of a grid or a box in it, in slabs along the last axis."""
    x, y, z = ranges
    thick = max(1, SLAB_VOXELS // (len(x) * len(y)))
    for start in range(0, len(z), thick):
        yield x, y, z[start : start + thick]


def whole(shape: tuple[int, ...]) -> Axes:
    """All indices of a grid."""
    x, y, z = (np.arange(n) for n in shape)
    return x, y, z


def measure(field: Field, case: Case, moved: str) -> Realised:
    """Statistics of a field over all structure voxels of the moved modality."""
    mask, over = structures(case, moved)
    values = _lengths_mm(field, mask)
    rms = float(np.sqrt(np.mean(values**2)))
    return Realised(float(values.mean()), rms, float(np.percentile(values, 95)), over)


def sample_rms_mm(field: Field, mask: NDArray[np.bool_]) -> float:
    """RMS displacement over a regular subset of the voxels of `mask`, or over all where these are too few."""
    ranges = box(mask)
    x, y, z = (r[:: max(1, len(r) // SAMPLE_POINTS)] for r in ranges)
    inside = mask[np.ix_(x, y, z)]
    if np.count_nonzero(inside) < LEAST_POINTS:
        return float(np.sqrt(np.mean(_lengths_mm(field, mask) ** 2)))
    return float(np.sqrt((field((x, y, z)) ** 2).sum(axis=0)[inside].mean()))


def box(mask: NDArray[np.bool_]) -> Axes:
    """Indices of the smallest box that holds the voxels of `mask`."""
    filled = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    x, y, z = (np.arange(f[0], f[-1] + 1) for f in filled)
    return x, y, z


def solve_scale(target_mm: float, rms_mm: Callable[[float], float], *, most: int = 8) -> float:
    """The scale at which `rms_mm(scale)` is the target (to 0.2 %), for an `rms_mm` that is nearly linear."""
    scale = 1.0
    for _ in range(most):
        reached = rms_mm(scale)
        if abs(reached / target_mm - 1) < 2e-3:
            break
        scale *= target_mm / reached
    return scale


def warp(case: Case, moved: str, field: Field) -> Case:
    """Move image (linear) and label (nearest) of one modality on its own grid, edge values outside.

    An image of integers stays one (rounded).
    """
    images, labels = dict(case.images), dict(case.labels)
    images[moved] = _warped(images[moved], field, order=1)
    if moved in labels:
        labels[moved] = _warped(labels[moved], field, order=0)
    return Case(case.id, images, labels)


def needs_pair(case: Case, moved: str, target_rms_mm: float) -> None:
    """Raise `ConfigError` unless the level is 0 or more and there is something to move against."""
    if target_rms_mm < 0:
        raise bad_level("an RMS displacement of 0 mm or more", f"{target_rms_mm:g} mm")
    if target_rms_mm > 0 and (moved not in case.images or len(case.images) < 2):
        raise ConfigError(
            "A synthetic shift needs two modalities of one patient",
            where=f"case {case.id}",
            expected=f"{moved} and at least one other modality",
            found=", ".join(case.images),
            remedy="shift paired datasets only; between different patients a shift has no meaning",
        )


def bad_level(expected: str, found: str, where: str = "misalignment") -> ConfigError:
    """The error of a level that cannot be drawn."""
    return ConfigError(
        "A misalignment cannot be used",
        where=where,
        expected=expected,
        found=found,
        remedy="correct the level in the configuration",
    )


def axis_along(grid: Grid, direction: int) -> int:
    """The axis of a grid that runs most nearly along RAS axis `direction` (0 R, 1 A, 2 S)."""
    cosines = np.abs(grid.affine[direction, :3]) / np.array(grid.spacing_mm)
    return int(np.argmax(cosines))


def slice_axis(grid: Grid) -> int:
    """The axis along which slices are stacked: the one of coarsest spacing, else the one nearest to S."""
    spacing = np.array(grid.spacing_mm)
    coarsest = int(np.argmax(spacing))
    clear = spacing[coarsest] > 1.1 * np.delete(spacing, coarsest).max()
    return coarsest if clear else axis_along(grid, 2)


def unit_vector(rng: np.random.Generator) -> Array:
    """A direction, uniform on the sphere."""
    vector = rng.standard_normal(3)
    unit: Array = vector / np.linalg.norm(vector)
    return unit


def draw_seed(rng: np.random.Generator) -> int:
    """A seed that is short in JSON and from which a field is drawn again."""
    return int(rng.integers(2**31))


def _lengths_mm(field: Field, mask: NDArray[np.bool_]) -> Array:
    lengths = []
    for axes in slabs(box(mask)):
        inside = mask[np.ix_(*axes)]
        if inside.any():
            lengths.append(np.linalg.norm(field(axes), axis=0)[inside])
    return np.concatenate(lengths)


def _warped(volume: Volume, field: Field, *, order: Literal[0, 1]) -> Volume:
    from scipy.ndimage import map_coordinates

    to_index = np.linalg.inv(volume.affine[:3, :3])
    dtype = volume.array.dtype
    result = np.empty_like(volume.array)
    for axes in slabs(whole(volume.array.shape)):
        places = np.einsum("ij,jxyz->ixyz", to_index, field(axes))
        for axis, indices in enumerate(np.ix_(*axes)):
            places[axis] += indices
        values = map_coordinates(
            volume.array, places, np.float32, order=order, mode="nearest", prefilter=False
        )
        result[:, :, axes[2]] = (np.rint(values) if dtype.kind in "iu" else values).astype(dtype)
    return Volume(result, volume.affine)
