"""From the values in a label map to the ids of a task: integers only, and none that is not known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.errors import DataError

LABEL_TOLERANCE = 1e-6
_MOST_BINS = 1 << 16
_LARGEST = 1 << 53  # beyond it floats have no units


def integers(array: NDArray[Any], path: Path) -> NDArray[Any]:
    """The values of a label map as integers; `DataError` where one is further than 1e-6 from any."""
    if array.dtype.kind in "iub":
        return array
    rounded = np.rint(array)
    with np.errstate(invalid="ignore"):  # infinity from infinity
        whole = (np.abs(array - rounded) <= LABEL_TOLERANCE) & (np.abs(rounded) <= _LARGEST)
    bad = int(array.size - np.count_nonzero(whole))  # NaN counts as wrong
    if bad:
        raise DataError(
            "A label map holds values that are not integers",
            where=str(path),
            expected="integers (within 1e-6)",
            found=f"{bad} of {array.size} voxels between two integers, not finite or beyond 2^53",
            remedy="write the label map with nearest-neighbour interpolation",
        )
    result: NDArray[np.int64] = rounded.astype(np.int64)
    return result


def map_values(values: NDArray[Any], table: Mapping[int, int], path: Path) -> NDArray[np.uint8]:
    """Ids (uint8) by a table from value to id; `DataError` with counts for a value that is not in it."""
    low, high = int(values.min()), int(values.max())
    if high - low >= _MOST_BINS:
        raw, position = np.unique(values, return_inverse=True)
        ids = _ids(raw.tolist(), values, table, path)
        return ids[position].reshape(values.shape)
    # slab by slab: whole volumes of 64-bit indices would cost gigabytes, and sorting ten times the time
    slabs = values.T if values.flags.f_contiguous else values  # in the order in which they lie in memory
    held = np.zeros(high - low + 1, dtype=bool)
    for slab in slabs:
        held[slab.astype(np.intp) - low] = True
    places = np.flatnonzero(held)
    lookup = np.zeros(len(held), dtype=np.uint8)
    lookup[places] = _ids((places + low).tolist(), values, table, path)
    result = np.empty(slabs.shape, dtype=np.uint8)
    for index, slab in enumerate(slabs):
        result[index] = lookup[slab.astype(np.intp) - low]
    return result.T if slabs is not values else result


def _ids(found: list[int], values: NDArray[Any], table: Mapping[int, int], path: Path) -> NDArray[np.uint8]:
    unknown = [value for value in found if value not in table]
    if unknown:
        counts = [f"{value} ({np.count_nonzero(values == value)} voxels)" for value in unknown[:12]]
        raise DataError(
            "A label map holds values that the task does not know",
            where=str(path),
            expected=f"only {', '.join(map(str, sorted(table)))}",
            found=", ".join(counts) + (" and more" if len(unknown) > 12 else ""),
            remedy="add the value to a structure of the task, or list it as one to leave out",
        )
    return np.array([table[value] for value in found], dtype=np.uint8)
