"""Read and write volumes with strict header rules: a wrong affine is an error here, not a low score later."""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.case import Grid, Volume
from parallax.data.files import write_bytes
from parallax.data.header import check_affine, check_codes, check_forms, check_start, check_voxels, most_bytes
from parallax.data.label_values import integers, map_values
from parallax.errors import DataError, GeometryError, UserError

ORIGIN_TOLERANCE_MM = 1e-2
DIRECTION_TOLERANCE = 1e-3


def read_volume(path: Path, *, allow_no_codes: bool = False) -> Volume:
    """Read an image: floats become float32, integers stay as they are.

    Args:
        path: as in `load_volume`.
        allow_no_codes: as in `load_volume`.

    Raises:
        DataError: the file is absent, unreadable, not 3-D, or holds NaN or infinite values.
        GeometryError: no usable affine.
    """
    return as_image(load_volume(path, allow_no_codes=allow_no_codes), path)


def read_grid(path: Path, *, channel: int | None = None, allow_no_codes: bool = False) -> Grid:
    """The grid of a volume from its header alone (same rules and errors as `load_volume`)."""
    if _is_nibabel(path):
        image, shape = _open_nibabel(path, channel)
        return Grid(shape, _affine(image, path, allow_no_codes))
    reader = _open_itk(path)
    return Grid(_shape3(tuple(reader.GetSize()), path), _itk_affine(reader, path))


def read_label_map(path: Path, allowed: Mapping[int, int] | Collection[int]) -> Volume:
    """Read a label map as uint8.

    Args:
        path: as in `load_volume`.
        allowed: raw value -> id, or the ids themselves. Background (0) is always allowed and stays 0.

    Raises:
        DataError: a voxel is no integer (beyond 1e-6) or its value is not allowed; the counts are named.
        GeometryError: no usable affine.
    """
    return as_label_map(load_volume(path), allowed, path)


def load_volume(path: Path, *, channel: int | None = None, allow_no_codes: bool = False) -> Volume:
    """Read a file as it is: no value is changed or judged. The sform is used where its code is not 0, else
    the qform.

    Args:
        path: `.nii`, `.nii.gz`, Analyze or NIfTI pairs (`.hdr` beside `.img`), or (through SimpleITK)
            `.mha`, `.mhd`, `.nrrd`.
        channel: which 3-D image of a 4-D file; None for a file that holds one.
        allow_no_codes: accept a NIfTI whose two codes are 0 (its place in space is then a guess).

    Raises:
        DataError: the file is absent, unreadable, not 3-D, too large or no real number a voxel.
        GeometryError: no usable affine, or two that turn the axes to different sides.
    """
    if not _is_nibabel(path):
        return _load_itk(path)
    image, shape = _open_nibabel(path, channel)
    affine = _affine(image, path, allow_no_codes)
    with _parsing(path):
        array = np.asarray(image.dataobj if channel is None else image.dataobj[..., channel])
    return Volume(array.reshape(shape), affine)


def as_image(volume: Volume, path: Path) -> Volume:
    """A loaded volume as an image (see `read_volume`). `DataError` where a value is not finite."""
    if volume.array.dtype.kind != "f":
        return volume
    with np.errstate(over="ignore"):  # beyond 32 bits is infinite, and said so
        array = volume.array.astype(np.float32, copy=False)
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise DataError(
            "An image holds values that are not finite",
            where=str(path),
            expected="numbers only",
            found=f"{bad} of {array.size} voxels are NaN or infinite",
            remedy="replace them in the file (for instance by the background value)",
        )
    return Volume(array, volume.affine)


def as_label_map(volume: Volume, allowed: Mapping[int, int] | Collection[int], path: Path) -> Volume:
    """A loaded volume as a label map (see `read_label_map`)."""
    table = dict(allowed) if isinstance(allowed, Mapping) else {int(v): int(v) for v in allowed}
    return Volume(map_values(integers(volume.array, path), {0: 0} | table, path), volume.affine)


def write_volume(volume: Volume, path: Path) -> None:
    """Write `.nii.gz` (or `.nii`): equal volumes give equal bytes, and no half-written file is ever left."""
    import nibabel

    array = volume.array.astype(np.uint8) if volume.array.dtype == bool else volume.array
    image = nibabel.Nifti1Image(np.asarray(array), volume.affine, dtype=array.dtype)
    image.set_sform(volume.affine, 1)
    image.set_qform(volume.affine, 1)
    content = image.to_bytes()
    if path.name.endswith(".gz"):
        content = gzip.compress(content, compresslevel=1, mtime=0)
    write_bytes(path, content)


def same_grid(a: Grid, b: Grid) -> bool:
    """Whether grids agree: origin and spacing to 0.01 mm, axes to 0.001, every corner to half a voxel."""
    if a.shape != b.shape:
        return False
    spacing_a, spacing_b = np.array(a.spacing_mm), np.array(b.spacing_mm)
    direction = np.abs(a.affine[:3, :3] / spacing_a - b.affine[:3, :3] / spacing_b).max()
    shift_mm = np.abs(a.affine[:3, 3] - b.affine[:3, 3]).max()
    corners = np.array([[*corner, 1] for corner in product(*((0, n) for n in a.shape))])
    drift_mm = np.linalg.norm((corners @ (a.affine - b.affine).T)[:, :3], axis=1).max()
    return bool(
        shift_mm <= ORIGIN_TOLERANCE_MM
        and np.abs(spacing_a - spacing_b).max() <= ORIGIN_TOLERANCE_MM
        and direction <= DIRECTION_TOLERANCE
        and drift_mm <= 0.5 * spacing_a.min()
    )


def check_same_grid(a: Volume | Grid, b: Volume | Grid, where: str) -> None:
    """Raise `GeometryError`, showing both grids, unless they agree (see `same_grid`)."""
    grid_a, grid_b = (v.grid if isinstance(v, Volume) else v for v in (a, b))
    if same_grid(grid_a, grid_b):
        return
    raise GeometryError(
        "Two volumes that must lie on one grid do not",
        where=where,
        expected=describe_grid(grid_a),
        found=describe_grid(grid_b),
        remedy="resample the label map onto its image, or repair the header that is wrong",
    )


def describe_grid(grid: Grid) -> str:
    """A grid in one line: shape, spacing, axis codes, origin."""
    import nibabel

    spacing = "x".join(f"{s:.4g}" for s in grid.spacing_mm)
    origin = ", ".join(f"{o:.3f}" for o in grid.affine[:3, 3])
    codes = "".join(c or "?" for c in nibabel.aff2axcodes(grid.affine))
    axes = "; ".join(" ".join(f"{v:.4f}" for v in row) for row in grid.affine[:3, :3])
    shape = "x".join(map(str, grid.shape))
    return f"shape {shape}, spacing {spacing} mm, axes {codes}, origin ({origin}) mm, matrix [{axes}]"


def _is_nibabel(path: Path) -> bool:
    return path.name.endswith((".nii", ".nii.gz", ".hdr", ".img"))


@contextmanager
def _parsing(path: Path) -> Iterator[None]:
    """Whatever a parser raises over bytes that are no volume: the list of them is not ours."""
    try:
        with np.errstate(all="ignore"):  # scaled to NaN or infinity, and refused for it later
            yield
    except UserError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error


def _open_nibabel(path: Path, channel: int | None) -> tuple[Any, tuple[int, int, int]]:
    """The image, of which the header alone was read and judged, and the shape of its one volume."""
    import nibabel

    with _parsing(path):
        check_start(path.with_suffix(".hdr") if path.suffix == ".img" else path)
        image: Any = nibabel.load(path)
        shape, kind = tuple(map(int, image.shape)), image.get_data_dtype()
        held = most_bytes(path)
    volume = _shape3(shape, path, channel)
    check_voxels(shape, kind, held, path)
    return image, volume


def _affine(image: Any, path: Path, allow_no_codes: bool) -> NDArray[np.float64]:
    check_codes(image.header, path, allow_no_codes)
    affine = check_affine(np.asarray(image.affine, dtype=np.float64), path)
    check_forms(image.header, path)
    return affine


def _open_itk(path: Path) -> Any:
    """A reader of SimpleITK that has read the header alone, which was judged."""
    import SimpleITK

    with _parsing(path):
        held = most_bytes(path)
        reader = SimpleITK.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        shape, channels = tuple(reader.GetSize()), reader.GetNumberOfComponents()
        kind = SimpleITK.GetArrayViewFromImage(SimpleITK.Image([1] * 3, reader.GetPixelID())).dtype
    _shape3(shape if len(shape) < 3 else (*shape, channels), path)  # channels are no third axis
    check_voxels(shape, kind, held, path)
    return reader


def _load_itk(path: Path) -> Volume:
    import SimpleITK

    reader = _open_itk(path)
    affine = _itk_affine(reader, path)
    with _parsing(path):
        array = SimpleITK.GetArrayFromImage(reader.Execute()).T
    return Volume(array.reshape(_shape3(array.shape, path)), affine)


def _itk_affine(reader: Any, path: Path) -> NDArray[np.float64]:
    n = reader.GetDimension()
    affine = np.eye(4)
    directions = np.array(reader.GetDirection()).reshape(n, n)[:3, :3]
    affine[:3, :3] = directions * np.array(reader.GetSpacing())[:3]
    affine[:3, 3] = reader.GetOrigin()[:3]
    return check_affine(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine, path)  # ITK is LPS


def _shape3(shape: tuple[int, ...], path: Path, channel: int | None = None) -> tuple[int, int, int]:
    if channel is not None:
        return _channel_shape(shape, path, channel)
    trimmed = shape
    while len(trimmed) > 3 and trimmed[-1] == 1:
        trimmed = trimmed[:-1]
    if len(trimmed) != 3:
        raise DataError(
            "A volume is not three-dimensional",
            where=str(path),
            expected="one 3-D volume per file",
            found=f"shape {shape}",
            remedy="split the channels or time points into one file each",
        )
    return (trimmed[0], trimmed[1], trimmed[2])


def _channel_shape(shape: tuple[int, ...], path: Path, channel: int) -> tuple[int, int, int]:
    if len(shape) != 4 or shape[3] <= channel:
        raise DataError(
            "A file does not hold the channels that its dataset has",
            where=str(path),
            expected=f"a 4-D file with at least {channel + 1} channels",
            found=f"shape {shape}",
            remedy="fetch the file again, or point at the release that the dataset names",
        )
    return (shape[0], shape[1], shape[2])


def _unreadable(path: Path, error: BaseException) -> DataError:
    return DataError(
        "A volume cannot be read",
        where=str(path),
        expected="a readable .nii, .nii.gz, .hdr with .img, .mha, .mhd or .nrrd file",
        found="no such file" if not path.exists() else f"{type(error).__name__}: {error}".replace("\n", " "),
        remedy="check the path, or fetch or write the file again",
    )
