"""Label maps as a hurried annotator would leave them: boundaries moved at random, slices or detail left out.

All functions take and give a label map [X, Y, Z] in the common frame (third axis axial). Each has a size at
which it changes nothing, and `scaled` finds the size at which a Dice to the truth is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from parallax.phantom.fields import smooth_field

LabelMap = NDArray[np.uint8]
Spacing = tuple[float, float, float]
Redraw = Callable[[float], LabelMap]

#: Boundary noise is correlated over 8 mm: errors of annotators are smooth, not flips of single voxels
#: (Yao et al., ICLR 2023).
CORRELATION_MM = 8.0
#: Largest boundary noise, in mm, and largest distance of annotated slices or side of a block, in voxels.
SIGMA_MOST_MM, EVERY_MOST = 10.0, 32.0

_REFINEMENTS = 14


def noisy(label: LabelMap, spacing_mm: Spacing, seed: Sequence[int]) -> Redraw:
    """sigma_mm -> label map whose boundaries are moved by a smooth random field of that standard deviation.

    Foreground is where SDF(foreground) + sigma_mm * field < 0 (`field`: unit variance, `CORRELATION_MM`). In
    it each voxel takes the structure with the least SDF + sqrt(2) sigma_mm * its own field, so that a
    boundary between two structures moves by sigma_mm too and no gap opens between them.

    Args:
        label: the truth.
        spacing_mm: of its grid.
        seed: of the fields; equal seeds give equal fields.
    """
    box = _box(label, [int(np.ceil(3 * SIGMA_MOST_MM / s)) for s in spacing_mm])
    if box is None:
        return lambda _: label.copy()
    inner, rng = label[box], np.random.default_rng(list(seed))
    x, y, z = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(inner.shape, spacing_mm, strict=True))
    axes = (x.astype(np.float32), y.astype(np.float32), z.astype(np.float32))
    values = _structures(inner)
    outline = (signed_distance_mm(inner > 0, spacing_mm), smooth_field(rng, axes, CORRELATION_MM))
    single = [
        (signed_distance_mm(inner == v, spacing_mm), smooth_field(rng, axes, CORRELATION_MM)) for v in values
    ]

    def at(sigma_mm: float) -> LabelMap:
        distances = (distance + np.float32(np.sqrt(2) * sigma_mm) * field for distance, field in single)
        nearest = _least(distances, values, inner.shape)
        foreground = outline[0] + np.float32(sigma_mm) * outline[1] < 0
        return _pasted(label, box, np.where(foreground, nearest, 0).astype(np.uint8))

    return at


def blocks(label: LabelMap, phase: Sequence[float]) -> Redraw:
    """every -> label map down-sampled to blocks of `every` voxels a side, by majority (ties: the least id).

    `phase` in [0, 1) per axis says where the first block begins. `every` need not be whole: blocks then
    alternate between two sizes. 1 changes nothing.
    """
    box = _box(label, [int(EVERY_MOST)] * 3)
    if box is None:
        return lambda _: label.copy()
    inner = label[box]
    values = [0, *_structures(inner)]

    def at(every: float) -> LabelMap:
        index = [
            np.floor((np.arange(s.start, s.stop) + p * every) / every).astype(np.int64)
            for s, p in zip(box, phase, strict=True)
        ]
        places = [np.unique(i, return_index=True, return_inverse=True)[1:] for i in index]
        counts = (-_block_counts(inner == v, [starts for starts, _ in places]) for v in values)
        shape = (len(places[0][0]), len(places[1][0]), len(places[2][0]))
        winner = _least(counts, values, shape)
        return _pasted(label, box, winner[np.ix_(*(inverse for _, inverse in places))])

    return at


def slices(label: LabelMap, spacing_mm: Spacing, phase: float, between: str) -> Redraw:
    """every -> label map of which one axial slice in `every` is annotated. 1 changes nothing.

    Args:
        label: the truth.
        spacing_mm: of its grid.
        phase: in [0, 1), where the first annotated slice lies.
        between: `hold` copies the nearest annotated slice; `interpolate` interpolates the signed distances of
            each structure linearly between annotated slices (shape-based, Raya and Udupa 1990). Beyond the
            first and the last annotated slice both hold.
    """
    fill = _interpolated if between == "interpolate" else _held

    def at(every: float) -> LabelMap:
        depth = label.shape[2]
        known = np.unique(np.floor((np.arange(depth) + phase) * every).astype(np.int64))
        known = known[known < depth] if known[0] < depth else np.array([depth - 1])
        return fill(label, known, spacing_mm)

    return at


def scaled(dice_at: Callable[[float], float], target: float, least: float, most: float) -> float:
    """The size between `least` (no change) and `most` at which the Dice comes closest to the target.

    Dice falls with the size, though not at every step, so the search brackets on a grid and then bisects.
    """
    tried = {least: 1.0}
    low, high = least, most
    for size in least + (most - least) * np.geomspace(0.01, 1, 12):
        tried[float(size)] = dice_at(float(size))
        if tried[float(size)] < target:
            high = float(size)
            break
        low = float(size)
    for _ in range(_REFINEMENTS if tried.get(high, 1.0) < target else 0):
        middle = (low + high) / 2
        tried[middle] = dice_at(middle)
        low, high = (low, middle) if tried[middle] < target else (middle, high)
    return min(tried, key=lambda size: (abs(tried[size] - target), size))


def dice_by_structure(truth: LabelMap, other: LabelMap, classes: Mapping[str, int]) -> dict[str, float]:
    """Dice of each structure that the truth shows."""
    found = {}
    for name, value in classes.items():
        a, b = truth == value, other == value
        if a.any():
            found[name] = 2.0 * int((a & b).sum()) / (int(a.sum()) + int(b.sum()))
    return found


def signed_distance_mm(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    """Distance to the boundary of a mask, negative inside; it lies half a voxel from the centres."""
    half = min(spacing_mm) / 2
    if mask.all() or not mask.any():
        return np.full(mask.shape, -np.inf if mask.any() else np.inf, dtype=np.float32)
    outside = distance_transform_edt(~mask, sampling=spacing_mm)
    inside = distance_transform_edt(mask, sampling=spacing_mm)
    return np.where(mask, half - inside, outside - half).astype(np.float32)


def _held(label: LabelMap, known: NDArray[np.int64], spacing_mm: Spacing) -> LabelMap:  # noqa: ARG001
    z = np.arange(label.shape[2])
    return label[:, :, known[np.abs(z[:, None] - known).argmin(axis=1)]]


def _interpolated(label: LabelMap, known: NDArray[np.int64], spacing_mm: Spacing) -> LabelMap:
    result = _held(label, known, spacing_mm)
    values = [0, *_structures(label)]
    for first, last in pairwise(known):
        gap = int(last - first)
        if gap == 1 or not (label[:, :, first].any() or label[:, :, last].any()):
            continue
        # A structure that one of the two slices lacks ends between them: it is a gap away from that slice.
        far_mm = gap * spacing_mm[2]
        ends = [
            [
                np.clip(signed_distance_mm(label[:, :, z] == v, spacing_mm[:2]), -far_mm, far_mm)
                for v in values
            ]
            for z in (first, last)
        ]
        for step in range(1, gap):
            share = np.float32(step / gap)
            mixed = ((1 - share) * a + share * b for a, b in zip(*ends, strict=True))
            result[:, :, first + step] = _least(mixed, values, label.shape[:2])
    return result


def _block_counts(mask: NDArray[np.bool_], starts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    counts = mask.astype(np.int64)
    for axis, first in enumerate(starts):
        counts = np.add.reduceat(counts, first, axis=axis)
    return counts


def _least(maps: Iterable[NDArray[Any]], values: Sequence[int], shape: tuple[int, ...]) -> LabelMap:
    """The value whose map is least at each voxel, the first on a tie; one map in memory at a time."""
    best: NDArray[Any] | None = None
    winner = np.zeros(shape, dtype=np.uint8)
    for value, distance in zip(values, maps, strict=True):
        if best is None:
            best, winner[...] = distance.copy(), value
            continue
        better = distance < best
        best[better], winner[better] = distance[better], value
    return winner


def _structures(label: LabelMap) -> list[int]:
    return [int(v) for v in np.unique(label) if v]


def _box(label: LabelMap, margin: Sequence[int]) -> tuple[slice, slice, slice] | None:
    """The part of the grid that can change: the foreground and a margin (voxels); None without foreground."""
    if not label.any():
        return None
    sides = []
    for axis, extra in enumerate(margin):
        held = np.flatnonzero(label.any(axis=tuple(a for a in range(3) if a != axis)))
        sides.append(slice(max(int(held[0]) - extra, 0), min(int(held[-1]) + extra + 1, label.shape[axis])))
    return (sides[0], sides[1], sides[2])


def _pasted(label: LabelMap, box: tuple[slice, slice, slice], inner: LabelMap) -> LabelMap:
    result = label.copy()
    result[box] = inner
    return result
