"""What a header must say before any voxel is read: one number each, and no more than its file can hold."""

from __future__ import annotations

import gzip
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.errors import DataError, GeometryError

#: 512 x 512 x 2048: a whole body at half a millimetre. More is a broken header rather than a scan.
MOST_VOXELS = 1 << 29

#: Distances between voxels that a medical image can have.
SPACING_MM = (1e-3, 1e3)

_MOST_INFLATION = 1032  # deflate packs no better (zlib, Technical Details)
_MOST_TURN_DEG = 45.0  # beyond it two axes do not mean the same side any more
_LEAST_ANGLE = 1e-3  # volume of the parallelepiped of three unit axes; 0 where they lie in one plane
_HEAD_BYTES = 1 << 16
_HEADER_BYTES = (348, 540)  # of Analyze and NIfTI-1, of NIfTI-2
_RAW = re.compile(r"CompressedData\s*=\s*False|encoding:\s*raw", re.IGNORECASE)
_DETACHED = re.compile(r"^\s*(?:ElementDataFile\s*=|data ?file:)\s*(.*?)\s*$", re.IGNORECASE | re.MULTILINE)


def check_voxels(shape: tuple[int, ...], kind: np.dtype[Any], held_bytes: int, path: Path) -> None:
    """Raise `DataError` where a header promises what is no volume, or more than the file can hold.

    Args:
        shape: of everything in the file.
        kind: data type of one voxel as it is stored.
        held_bytes: the most bytes that the file can give (see `most_bytes`).
        path: named in the error.
    """
    size = "x".join(map(str, shape))
    if kind.kind not in "biuf":
        found, remedy = f"voxels of type {kind}", "write one real number per voxel (a channel, a magnitude)"
        raise _error("A volume does not hold one number per voxel", path, "a grey value", found, remedy)
    if min(shape, default=0) < 1:
        remedy = "fetch or write the file again"
        raise _error("A volume has no voxels", path, "at least one voxel an axis", f"shape {size}", remedy)
    voxels = math.prod(shape[:3])
    if voxels > MOST_VOXELS:
        expected, remedy = f"at most {MOST_VOXELS} voxels", "resample it, or repair the header"
        raise _error("A volume is too large", path, expected, f"{voxels} voxels, shape {size}", remedy)
    promised = math.prod(shape) * kind.itemsize
    if promised > held_bytes:
        expected = f"{promised} bytes of voxels, as shape {size} of {kind} has"
        found, remedy = f"a file that holds at most {held_bytes}", "fetch or write the file again"
        raise _error("A file is shorter than its header says", path, expected, found, remedy)


def most_bytes(path: Path) -> int:
    """The most bytes of voxels that a file, with the file of voxels that it names, can give."""
    text = _text_header(path)
    packed = path.name.endswith(".gz") or (text and not _RAW.search(text))
    files = [path, *detached_files(path)]
    if path.suffix == ".hdr":
        files.append(path.with_suffix(".img"))
    held = sum(file.stat().st_size for file in files if file.is_file())
    return held * _MOST_INFLATION if packed else held


def detached_files(path: Path) -> list[Path]:
    """The file of voxels that a text header (`.mhd`, `.nrrd`) names; empty where it holds them itself.

    Raises:
        DataError: the named file lies outside the folder of the header, or is a list of files.
    """
    named = _DETACHED.search(_text_header(path))
    if named is None or named[1] == "LOCAL":
        return []
    file, folder = path.parent / named[1], path.parent.resolve()
    if not file.resolve().is_relative_to(folder) or named[1].split()[:1] == ["LIST"]:
        expected, remedy = "one file of voxels beside its header", "write header and voxels into one file"
        raise _error("A header names voxels that lie elsewhere", path, expected, named[1][:200], remedy)
    return [file]


def check_start(path: Path) -> None:
    """Raise `DataError` unless a NIfTI or Analyze file starts as one; nibabel reads on where it does not."""
    opened: Any = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rb") as stream:
        start = stream.read(4)
    if not {int.from_bytes(start, "little"), int.from_bytes(start, "big")} & set(_HEADER_BYTES):
        expected, remedy = "a header of 348 or 540 bytes", "check the path, or fetch or write the file again"
        raise _error("A volume cannot be read", path, expected, f"a file that starts with {start!r}", remedy)


def check_affine(affine: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    """The affine itself (voxel to mm). Raises `GeometryError` unless its axes span a space of finite mm."""
    matrix, (least, most) = affine[:3, :3], SPACING_MM
    with np.errstate(all="ignore"):
        spacing = np.linalg.norm(matrix, axis=0)
        angle = abs(np.linalg.det(matrix / spacing))
    usable = bool(np.isfinite(affine).all()) and bool(((spacing >= least) & (spacing <= most)).all())
    if usable and angle > _LEAST_ANGLE:
        return affine
    raise placeless(
        path,
        f"an invertible affine of finite numbers, {least:g} to {most:g} mm between voxels",
        f"affine {affine.round(4).tolist()}",
    )


def check_codes(header: Any, path: Path, allow_no_codes: bool) -> None:
    """Raise `GeometryError` where a NIfTI header leaves the place of its voxels open, or counts no mm."""
    codes = [int(header.get(f"{form}_code", 1)) for form in ("sform", "qform")]  # Analyze has none
    if not any(codes) and not allow_no_codes:
        raise placeless(
            path, "sform_code or qform_code above 0", f"sform_code {codes[0]}, qform_code {codes[1]}"
        )
    spacing = header.get_zooms()[:3]
    if not np.isfinite(spacing).all():
        raise placeless(path, "a finite spacing", f"pixdim {', '.join(map(str, spacing))}")
    unit = {1: "metres", 3: "micrometres"}.get(int(header.get("xyzt_units", 0)) & 7)
    if unit:
        raise placeless(path, "lengths in mm", f"xyzt_units that say {unit}")


def forms_of(header: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Affines of sform and qform where a NIfTI header has both; NaN where the quaternion is no rotation."""
    from nibabel.spatialimages import HeaderDataError

    if not (int(header.get("sform_code", 0)) and int(header.get("qform_code", 0))):
        return None
    try:
        qform = np.asarray(header.get_qform(), dtype=np.float64)
    except (ValueError, HeaderDataError):
        qform = np.full((4, 4), np.nan)
    return np.asarray(header.get_sform(), dtype=np.float64), qform


def check_forms(header: Any, path: Path) -> None:
    """Raise `GeometryError` where sform and qform turn the axes to other sides: left may then be right.

    Forms that differ by less are a repair (`parallax.data.reading.header_notes`).
    """
    import nibabel

    forms = forms_of(header)
    if forms is None:
        return
    with np.errstate(all="ignore"):
        sform, qform = (form[:3, :3] / np.linalg.norm(form[:3, :3], axis=0) for form in forms)
    cosines = np.sum(sform * qform, axis=0)
    if (cosines >= math.cos(math.radians(_MOST_TURN_DEG))).all() or not np.isfinite(cosines).all():
        return
    codes: list[Any] = [nibabel.aff2axcodes(form) for form in forms]
    turned_deg = math.degrees(math.acos(max(-1.0, float(cosines.min()))))
    raise GeometryError(
        "Sform and qform of a header turn its axes to different sides",
        where=str(path),
        expected="one orientation, as both codes are above 0",
        found=f"sform {''.join(codes[0])}, qform {''.join(codes[1])}, {turned_deg:.0f} degrees apart",
        remedy="find out which is right (left may be right in the other), then write it into both: with "
        "nibabel `image.set_qform(image.get_sform(), 1)`, or the other way round, and save",
    )


def _text_header(path: Path) -> str:
    """The header of a format that ITK reads; empty for others."""
    if path.suffix not in (".mha", ".mhd", ".nrrd") or not path.is_file():
        return ""
    with path.open("rb") as stream:
        return stream.read(_HEAD_BYTES).split(b"\n\n")[0].decode("latin-1")


def placeless(path: Path, expected: str, found: str) -> GeometryError:
    """The error of a header from which no place in mm follows."""
    return GeometryError(
        "A header does not say where its voxels lie",
        where=str(path),
        expected=expected,
        found=found,
        remedy="write the affine of the scanner data into the header",
    )


def _error(what: str, path: Path, expected: str, found: str, remedy: str) -> DataError:
    return DataError(what, where=str(path), expected=expected, found=found, remedy=remedy)
