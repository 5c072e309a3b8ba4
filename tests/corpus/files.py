"""Small good files, and how to damage them: the same bytes at every call."""

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
from scan_trees import AFFINE, SHAPE, blocks, ramp

from parallax.data import layouts

#: Where the fields of a NIfTI-1 header lie, and how they are packed.
FIELDS = {
    "sizeof_hdr": (0, "<i"), "dim": (40, "<8h"), "datatype": (70, "<h"), "bitpix": (72, "<h"),
    "pixdim": (76, "<8f"), "vox_offset": (108, "<f"), "scl_slope": (112, "<f"), "scl_inter": (116, "<f"),
    "xyzt_units": (123, "<B"), "qform_code": (252, "<h"), "sform_code": (254, "<h"), "quatern": (256, "<3f"),
    "srow": (280, "<12f"), "magic": (344, "<4s"),
}  # fmt: skip


def nifti(array=None, affine=AFFINE, kind=nib.Nifti1Image):
    """Bytes of a good file, with both forms."""
    array = ramp() if array is None else array
    image = kind(array, affine, dtype=array.dtype)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    return image.to_bytes()


def patched(content, **fields):
    """The bytes with some fields of the header overwritten."""
    changed = bytearray(content)
    for name, value in fields.items():
        offset, form = FIELDS[name]
        values = value if isinstance(value, tuple) else (value,)
        struct.pack_into(form, changed, offset, *values)
    return bytes(changed)


def qform_alone(content, **fields):
    return patched(content, sform_code=0, **fields)


def stored(path: Path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)
    return path


def good_label(values=(6,)):
    return nifti(blocks(values))


def amos(folder: Path, number=1, image=None, label=None):
    """A download of AMOS with one case; image and label are bytes of a NIfTI file."""
    places = layouts.amos_files(folder / "amos", number)
    stored(places[0], nifti() if image is None else image)
    stored(places[1], good_label() if label is None else label)
    return places


def check_amos(folder: Path):
    return ("parallax", "check-data", "amos", str(folder / "amos"))


def score(folder: Path, truth=None, prediction=None, ending=".nii.gz"):
    """Two label maps, and the command that scores one against the other and would write a table."""
    places = folder / f"truth{ending}", folder / f"prediction{ending}"
    stored(places[0], good_label() if truth is None else truth)
    stored(places[1], good_label() if prediction is None else prediction)
    return ("parallax", "score", *map(str, places), "--csv", str(folder / "scores.csv"))


def zeros(*shape, kind=np.uint8):
    return np.zeros(shape, kind)


__all__ = ["AFFINE", "FIELDS", "SHAPE", "blocks", "ramp"]
