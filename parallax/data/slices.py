"""Stacks of slices in a folder: DICOM files and the PNG label maps that belong to them, file by file."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.case import Grid, Volume
from parallax.data.reading import Loaded, Note
from parallax.errors import DataError, GeometryError

STEP_TOLERANCE_MM = 0.1  # positions are decimal text; a missing slice is off by millimetres


def slice_files(folder: Path, suffix: str) -> list[Path]:
    """Files with this suffix, in the order of the numbers in their names."""
    return sorted((p for p in folder.glob(f"*{suffix}") if not p.name.startswith(".")), key=_natural)


def series_grid(folder: Path) -> Grid:
    """The grid of a DICOM series from its headers; slices stay in the order of their file names.

    The step between slices is the difference of ImagePositionPatient: SliceThickness may be another number.

    Raises:
        DataError: fewer than two slices, or one that cannot be read.
        GeometryError: slices of another size or direction, or at uneven distances (one is missing).
    """
    return _grid([_header(path) for path in _dicoms(folder)], folder)


def load_series(folder: Path) -> Loaded:
    """The voxels of a DICOM series (rescaled, as in HU) along the axes of `series_grid`."""
    paths = _dicoms(folder)
    readers = [_header(path) for path in paths]
    grid = _grid(readers, folder)
    array = np.empty(grid.shape, dtype=np.float32)
    for k, (path, reader) in enumerate(zip(paths, readers, strict=True)):
        array[:, :, k] = _pixels(_guarded(path, reader.Execute))
    whole = array.astype(np.int16) if _fits_int16(array) else array
    return Loaded(folder, Volume(whole, grid.affine), _notes(readers))


def load_png_stack(folder: Path, grid: Grid) -> Loaded:
    """The label map of a series as stored: PNG number k belongs to slice k of `grid`.

    Raises:
        DataError: another number or size of slices, a PNG that cannot be read, or one in colour.
    """
    import SimpleITK

    paths = slice_files(folder, ".png")
    if len(paths) != grid.shape[2]:
        raise _unfit(folder, f"{grid.shape[2]} PNG files, one per DICOM slice", str(len(paths)))
    array = np.empty(grid.shape, dtype=np.int16)
    for k, path in enumerate(paths):
        values = _pixels(_guarded(path, partial(SimpleITK.ReadImage, str(path))))
        if values.shape != grid.shape[:2]:
            raise _unfit(path, f"{grid.shape[0]} x {grid.shape[1]} grey pixels", f"shape {values.shape}")
        array[:, :, k] = values
    return Loaded(folder, Volume(array, grid.affine))


def _dicoms(folder: Path) -> list[Path]:
    paths = slice_files(folder, ".dcm")
    if len(paths) < 2:
        raise _unfit(folder, "a series of two or more .dcm files", f"{len(paths)} files")
    return paths


def _header(path: Path) -> Any:
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    _guarded(path, reader.ReadImageInformation)
    return reader


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except RuntimeError as error:
        text = str(error).strip().splitlines()[-1]
        raise _unfit(path, "a DICOM or PNG file that can be read", text) from error


def _pixels(image: Any) -> NDArray[Any]:
    import SimpleITK

    array = SimpleITK.GetArrayFromImage(image)
    return np.asarray(array.reshape(array.shape[-2:]).T if array.ndim == 3 and len(array) == 1 else array.T)


def _grid(readers: list[Any], folder: Path) -> Grid:
    first = readers[0]
    places = np.array([reader.GetOrigin()[:3] for reader in readers])
    steps = np.diff(places, axis=0)
    step = (places[-1] - places[0]) / (len(places) - 1)
    uneven = float(np.abs(steps - step).max())
    turned = any(r.GetDirection() != first.GetDirection() for r in readers)
    resized = any(r.GetSize()[:2] != first.GetSize()[:2] for r in readers)
    direction = np.array(first.GetDirection()).reshape(3, 3)[:, :2] * np.array(first.GetSpacing()[:2])
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([direction, step])
    affine[:3, 3] = places[0]
    flat = abs(np.linalg.det(affine[:3, :3])) < 1e-9
    if turned or resized or uneven > STEP_TOLERANCE_MM or flat:
        raise GeometryError(
            "The slices of a DICOM series do not form a volume in the order of their names",
            where=str(folder),
            expected=f"one size, one direction, even steps (within {STEP_TOLERANCE_MM} mm)",
            found=f"{len(readers)} slices, steps off by up to {uneven:.3g} mm"
            + (", several directions" if turned else "")
            + (", several sizes" if resized else ""),
            remedy="fetch the series again; a slice may be missing or another series be mixed in",
        )
    x, y = first.GetSize()[:2]
    return Grid((x, y, len(readers)), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)  # DICOM is LPS


def _notes(readers: list[Any]) -> tuple[Note, ...]:
    numbers = [int(r.GetMetaData("0020|0013")) for r in readers if r.HasMetaDataKey("0020|0013")]
    rising = all(a < b for a, b in pairwise(numbers))
    return () if rising else (Note("instance numbers do not rise with file names, file names are used"),)


def _fits_int16(array: NDArray[np.float32]) -> bool:
    return bool((array == np.rint(array)).all() and np.abs(array).max() < 32768)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(t), "") if t.isdigit() else (0, t) for t in re.split(r"(\d+)", path.name)]


def _unfit(path: Path, expected: str, found: str) -> DataError:
    return DataError(
        "A stack of slices cannot be read",
        where=str(path),
        expected=expected,
        found=found,
        remedy="fetch the folder again",
    )
