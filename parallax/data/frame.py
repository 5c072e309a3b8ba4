"""The common frame of a case: one RAS grid at the spacing of the task, and the way back to native grids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from parallax.case import IGNORE, Case, Grid, Prediction, Task, TestView, Volume
from parallax.data.normalise import foreground_box, normalise
from parallax.errors import DataError

SAME_AFFINE_MM = 1e-4
SAME_SPACING_MM = 1e-3
CROP_MARGIN_MM = 10.0
WHOLE_VOXEL = 1e-5

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class CommonCase:
    """A case in its common frame: float32 [K, X, Y, Z], uint8 [K, X, Y, Z] or None, K flags, and the grid."""

    image: NDArray[np.float32]
    label: NDArray[np.uint8] | None
    available: tuple[bool, ...]
    grid: Grid


def to_common(case: Case, task: Task, *, crop: bool = False) -> CommonCase:
    """Bring a case into its common frame.

    The frame is the grid of the first modality (in the order of the task) that the case has, turned to RAS
    and resampled to `task.spacing_mm`; where it is that already, voxels are taken over bit for bit. With
    `crop` it is cut to the foreground of that image (no label is looked at) with a margin of 10 mm. A
    modality that the case lacks is zero. Outside the field of view of a modality its image holds its least
    value and its label background.

    Raises:
        DataError: the case has none of the modalities of the task.
    """
    names = [name for name in task.modality_names if name in case.images]
    if not names:
        raise DataError(
            "A case has no image",
            where=f"case {case.id}",
            expected=f"at least one of {', '.join(task.modality_names)}",
            found=", ".join(case.images) or "none",
            remedy="check the modality names of the dataset",
        )
    grid = common_grid(case.images[names[0]].grid, task.spacing_mm)
    channels = {m.name: _image_on(grid, case, m.name, task) for m in task.modalities if m.name in names}
    if crop:
        margin = [int(np.ceil(CROP_MARGIN_MM / s)) for s in grid.spacing_mm]
        box = foreground_box(channels[names[0]], (margin[0], margin[1], margin[2]))
        grid, channels = crop_grid(grid, box), {name: array[box] for name, array in channels.items()}
    image = np.zeros((len(task.modalities), *grid.shape), dtype=np.float32)
    for index, name in enumerate(task.modality_names):
        if name in channels:
            image[index] = channels[name]
    available = tuple(name in channels for name in task.modality_names)
    return CommonCase(image, _labels_on(grid, case, task), available, grid)


def common_grid(native: Grid, spacing_mm: tuple[float, float, float]) -> Grid:
    """The RAS grid at `spacing_mm` with the centre and extent of `native`; `native` itself where it is."""
    import nibabel

    orientation = nibabel.io_orientation(native.affine)
    turned = native.affine @ nibabel.orientations.inv_ornt_aff(orientation, native.shape)
    # row i of `orientation` says which RAS axis the native axis i runs along
    order = np.argsort(orientation[:, 0])
    shape = np.array(native.shape)[order]
    spacing = np.linalg.norm(turned[:3, :3], axis=0)
    target = np.array(spacing_mm)
    identical = np.abs(spacing - target).max() < SAME_SPACING_MM
    if identical and np.array_equal(orientation, [[0, 1], [1, 1], [2, 1]]):
        return native
    new_shape = shape if identical else np.maximum(1, np.rint(shape * spacing / target)).astype(int)
    matrix = turned[:3, :3] if identical else turned[:3, :3] / spacing * target
    affine = np.eye(4)
    affine[:3, :3] = matrix
    centre = turned[:3, :3] @ ((shape - 1) / 2) + turned[:3, 3]
    affine[:3, 3] = centre - matrix @ ((new_shape - 1) / 2)
    return Grid((int(new_shape[0]), int(new_shape[1]), int(new_shape[2])), affine)


def crop_grid(grid: Grid, box: tuple[slice, slice, slice]) -> Grid:
    """The part of a grid that `box` cuts out."""
    affine = grid.affine.copy()
    affine[:3, 3] += grid.affine[:3, :3] @ np.array([s.start for s in box], dtype=np.float64)
    return Grid((box[0].stop - box[0].start, box[1].stop - box[1].start, box[2].stop - box[2].start), affine)


def identical_grids(a: Grid, b: Grid) -> bool:
    """Whether voxels of `a` may be taken over to `b` without interpolation."""
    return a.shape == b.shape and bool(np.abs(a.affine - b.affine).max() < SAME_AFFINE_MM)


def resample_image(volume: Volume, grid: Grid, *, fill: float | None = None) -> NDArray[np.float32]:
    """Linear interpolation of an image at the voxels of `grid`; `fill` (default: least value) outside."""
    if identical_grids(volume.grid, grid):
        return volume.array.astype(np.float32)
    mapping = np.linalg.inv(volume.affine) @ grid.affine
    result = interpolate(volume.array, mapping, grid.shape, order=1)
    result[~_inside(mapping, grid.shape, volume.grid.shape)] = volume.array.min() if fill is None else fill
    return result


def resample_labels(volume: Volume, grid: Grid) -> NDArray[np.uint8]:
    """Label map at the voxel centres of `grid`: the id whose linearly interpolated indicator is greatest.

    Unlike nearest neighbour it is not biased to one side where a new centre lies midway between two old ones.
    """
    if identical_grids(volume.grid, grid):
        return volume.array.astype(np.uint8)
    from scipy.ndimage import find_objects

    mapping = np.linalg.inv(volume.affine) @ grid.affine
    background = (volume.array == 0).astype(np.float32)
    best, ids = interpolate(background, mapping, grid.shape, order=1), np.zeros(grid.shape, dtype=np.uint8)
    for value, box in enumerate(find_objects(volume.array), start=1):
        if box is None:
            continue
        # a structure reaches no further than the voxels next to it
        source = (_wider(box[0]), _wider(box[1]), _wider(box[2]))
        target = _reached(mapping, source, grid.shape)
        if not ids[target].size:
            continue
        indicator = (volume.array[source] == value).astype(np.float32)
        part = _between(mapping, source, target)
        score = interpolate(indicator, part, ids[target].shape, order=1)
        better = score > best[target]
        best[target][better], ids[target][better] = score[better], value
    ids[~_inside(mapping, grid.shape, volume.grid.shape)] = 0
    return ids


def native_label_maps(scores: NDArray[np.float32], view: TestView) -> Prediction:
    """Class scores in the common frame to one label map per modality, on that modality's native grid.

    Args:
        scores: [K, C, X, Y, Z] logits or probabilities in the common frame of `view.sample`.
        view: the test case; modalities that it does not have are left out.

    Returns:
        uint8 label maps: scores are interpolated linearly, then the greatest wins (the first on a tie).
        Native voxels outside the common frame are background. Where the grids are equal: plain argmax.

    Raises:
        ValueError: a score is NaN or infinite; the greatest of such scores would be class 0, and look valid.
    """
    if not np.isfinite(scores).all():
        raise ValueError(f"case {view.sample.case}: class scores are NaN or infinite")
    maps = {}
    for index, name in enumerate(view.task.modality_names):
        if view.sample.available[index]:
            maps[name] = _to_native(scores[index], view.sample.grid, view.native[name])
    return Prediction(maps)


def interpolate(
    array: NDArray[Any], mapping: NDArray[np.float64], shape: tuple[int, int, int], *, order: Literal[0, 1]
) -> NDArray[np.float32]:
    """`array` at `mapping @ (i, j, k, 1)` (voxels) for each (i, j, k) of `shape`; the edge value outside.

    Where the mapping only turns and shifts axes by whole voxels, voxels are taken over, not interpolated.
    """
    whole = _whole_voxels(mapping)
    if whole is not None:
        return _reordered(array, whole, shape)
    import SimpleITK  # three times as fast as scipy.ndimage.affine_transform, on one thread

    resample = SimpleITK.ResampleImageFilter()
    resample.SetNumberOfWorkUnits(1)
    resample.SetSize([int(n) for n in shape])
    resample.SetInterpolator(SimpleITK.sitkLinear if order else SimpleITK.sitkNearestNeighbor)
    resample.UseNearestNeighborExtrapolatorOn()
    affine = SimpleITK.AffineTransform(3)
    affine.SetMatrix(mapping[:3, :3].ravel().tolist())
    affine.SetTranslation(mapping[:3, 3].tolist())
    resample.SetTransform(affine)
    # SimpleITK reads memory with x fastest, numpy writes it with the last axis fastest
    image = SimpleITK.GetImageFromArray(array.astype(np.float32, copy=False).T)
    result: NDArray[np.float32] = np.ascontiguousarray(SimpleITK.GetArrayFromImage(resample.Execute(image)).T)
    return result


def _whole_voxels(mapping: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """The mapping in integers where it is a signed permutation with whole shifts; else None."""
    rounded = np.rint(mapping).astype(np.int64)
    turns_only = (np.abs(rounded[:3, :3]).sum(axis=0) == 1).all() and (
        np.abs(rounded[:3, :3]).sum(axis=1) == 1
    ).all()
    return rounded if turns_only and np.abs(mapping - rounded).max() < WHOLE_VOXEL else None


def _reordered(
    array: NDArray[Any], mapping: NDArray[np.int64], shape: tuple[int, int, int]
) -> NDArray[np.float32]:
    order = np.abs(mapping[:3, :3]).argmax(
        axis=0
    )  # axis of the source that each axis of the result runs along
    steps = [
        np.clip(mapping[axis, i] * np.arange(shape[i]) + mapping[axis, 3], 0, array.shape[axis] - 1)
        for i, axis in enumerate(order)
    ]
    taken: NDArray[np.float32] = array.transpose(order)[np.ix_(*steps)].astype(np.float32, copy=False)
    return taken


def _to_native(scores: NDArray[np.float32], common: Grid, native: Grid) -> NDArray[np.uint8]:
    if identical_grids(common, native):
        winner: NDArray[np.uint8] = np.argmax(scores, axis=0).astype(np.uint8)
        return winner
    return _winner(enumerate(scores), common, native)


def _winner(
    channels: Iterable[tuple[int, NDArray[np.float32]]], source: Grid, target: Grid
) -> NDArray[np.uint8]:
    # one channel at a time: native grids are large, and C float volumes at once would not fit
    mapping = np.linalg.inv(source.affine) @ target.affine
    best = np.full(target.shape, -np.inf, dtype=np.float32)
    ids = np.zeros(target.shape, dtype=np.uint8)
    for value, channel in channels:
        score = interpolate(channel, mapping, target.shape, order=1)
        better = score > best
        best[better], ids[better] = score[better], value
    ids[~_inside(mapping, target.shape, source.shape)] = 0
    return ids


def _wider(side: slice) -> slice:
    return slice(max(0, side.start - 1), side.stop + 1)


def _reached(mapping: NDArray[np.float64], source: Box, shape: tuple[int, int, int]) -> Box:
    """The voxels of the result that draw on a box of the source."""
    corners = np.array([[*corner, 1.0] for corner in product(*((s.start, s.stop) for s in source))])
    reach = corners @ np.linalg.inv(mapping).T[:, :3]
    low, high = np.floor(reach.min(axis=0)).astype(int), np.ceil(reach.max(axis=0)).astype(int) + 1
    box = [slice(*np.clip((lo, hi), 0, n).tolist()) for lo, hi, n in zip(low, high, shape, strict=True)]
    return (box[0], box[1], box[2])


def _between(mapping: NDArray[np.float64], source: Box, target: Box) -> NDArray[np.float64]:
    """The mapping from voxels counted within one box to voxels counted within the other."""
    inner = mapping.copy()
    inner[:3, 3] += mapping[:3, :3] @ [s.start for s in target] - [s.start for s in source]
    return inner


def _inside(
    mapping: NDArray[np.float64], shape: tuple[int, int, int], source: tuple[int, int, int]
) -> NDArray[np.bool_]:
    axes = np.ogrid[: shape[0], : shape[1], : shape[2]]
    inside: NDArray[np.bool_] = np.ones((1, 1, 1), dtype=bool)
    for row, size in zip(mapping[:3], source, strict=True):
        # axes that a row does not depend on are left to broadcasting, which makes parallel grids cheap
        position = row[3] + sum(row[a] * axes[a] for a in range(3) if row[a] != 0)
        # a voxel reaches half its width beyond its centre; a hair more for rounding
        inside = inside & (position > -0.5 - 1e-4) & (position < size - 0.5 + 1e-4)
    return np.broadcast_to(inside, shape)


def _image_on(grid: Grid, case: Case, name: str, task: Task) -> NDArray[np.float32]:
    modality = task.modalities[task.modality_names.index(name)]
    volume = case.images[name]
    return resample_image(Volume(normalise(volume.array, modality), volume.affine), grid)


def _labels_on(grid: Grid, case: Case, task: Task) -> NDArray[np.uint8] | None:
    if not case.labels:
        return None
    label = np.full((len(task.modalities), *grid.shape), IGNORE, dtype=np.uint8)
    for index, name in enumerate(task.modality_names):
        if name in case.labels:
            label[index] = resample_labels(case.labels[name], grid)
    return label
