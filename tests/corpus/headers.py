"""Headers that lie, leave their place in space open, or hold what is no volume of grey values."""

import struct
from math import inf, nan

import nibabel as nib
import numpy as np

from corpus.bad_input import BadInput
from corpus.files import AFFINE, amos, check_amos, nifti, patched, qform_alone, ramp, score

WHERE, SHORT, READ, FLAT = (
    "where its voxels lie",
    "shorter than its header",
    "cannot be read",
    "three-dimensional",
)
KIND, SIZE = "one number per voxel", "too large"


def _srow(**cells):
    """Rows of the affine with some cells (`r0c1`) overwritten."""
    rows = AFFINE[:3].astype(float).copy()
    for place, value in cells.items():
        rows[int(place[1]), int(place[3])] = value
    return tuple(rows.ravel())


def _pixdim(*spacing, qfac=1.0):
    return (qfac, *spacing, 0.0, 0.0, 0.0, 0.0)


def _dim(*values):
    return (*values, *[1] * (8 - len(values)))


def _typed(kind):
    return lambda: nifti(np.zeros((6, 5, 4), kind))


def _no_rotation():
    return qform_alone(nifti(), quatern=(1.0, 1.0, 1.0))


def _extension_of(size):
    """A header extension that claims `size` bytes."""
    content = bytearray(patched(nifti(), vox_offset=368.0))
    content[348:352] = b"\1\0\0\0"
    content[352:352] = struct.pack("<ii", size, 6) + b"12345678"
    return bytes(content)


def _nifti2(*shape):
    content = bytearray(nifti(ramp(), kind=nib.Nifti2Image))
    struct.pack_into("<8q", content, 16, 3, *shape, 1, 1, 1, 1)
    return bytes(content)


def _forms(qform):
    """Both codes above 0, and a qform of its own."""
    image = nib.Nifti1Image(ramp(), AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(qform, 1)
    return image.to_bytes()


def _shifted():
    moved = AFFINE.copy()
    moved[0, 3] = 5.0
    return _forms(moved)


def _mirrored():
    return _forms(AFFINE @ np.diag([-1.0, 1.0, 1.0, 1.0]))


def _turned():
    turn = np.eye(4)
    turn[:2, :2] = [[0, -1], [1, 0]]
    return _forms(turn @ AFFINE)


#: name: what is wrong, the bytes, what is said.
DAMAGES = {
    "sform-nan": ("NaN in the sform", lambda: patched(nifti(), srow=_srow(r0c0=nan)), WHERE),
    "sform-infinite": ("an infinite origin", lambda: patched(nifti(), srow=_srow(r1c3=inf)), WHERE),
    "sform-zero-row": ("an axis of length 0", lambda: patched(nifti(), srow=_srow(r2c2=0.0)), WHERE),
    "sform-zero": ("an affine of zeros", lambda: patched(nifti(), srow=(0.0,) * 12), WHERE),
    "sform-flat": ("two axes along one line", lambda: patched(nifti(), srow=_srow(r0c1=2.0, r1c1=1e-5)), WHERE),
    "sform-huge": ("1e30 mm between voxels", lambda: patched(nifti(), srow=_srow(r0c0=1e30)), WHERE),
    "sform-tiny": ("1e-8 mm between voxels", lambda: patched(nifti(), srow=_srow(r0c0=1e-8)), WHERE),
    "spacing-nan": ("NaN as spacing of a lone qform", lambda: qform_alone(nifti(), pixdim=_pixdim(nan, 2, 3)), WHERE),
    "spacing-nan-beside-sform": ("NaN as spacing", lambda: patched(nifti(), pixdim=_pixdim(nan, 2, 3)), WHERE),
    "spacing-infinite": ("infinite spacing", lambda: qform_alone(nifti(), pixdim=_pixdim(2, inf, 3)), WHERE),
    "spacing-huge": ("1e20 mm as spacing", lambda: qform_alone(nifti(), pixdim=_pixdim(2, 1e20, 3)), WHERE),
    "quaternion-nan": ("NaN as quaternion of a lone qform", lambda: qform_alone(nifti(), quatern=(nan, 0, 0)), ""),
    "quaternion-no-rotation": ("a quaternion longer than 1", _no_rotation, ""),
    "forms-mirrored": ("sform and qform name two sides", _mirrored, "axes to different sides"),
    "forms-turned": ("sform and qform a quarter turn apart", _turned, "axes to different sides"),
    "no-codes": ("neither sform nor qform", lambda: patched(nifti(), sform_code=0, qform_code=0), WHERE),
    "metres": ("lengths in metres", lambda: patched(nifti(), xyzt_units=1), WHERE),
    "micrometres": ("lengths in micrometres", lambda: patched(nifti(), xyzt_units=3), WHERE),
    "two-axes": ("a 2-D image", lambda: nifti(np.zeros((6, 5), np.int16)), FLAT),
    "four-axes": ("a series of two volumes", lambda: nifti(np.zeros((6, 5, 4, 2), np.int16)), FLAT),
    "five-axes": ("a 5-D file", lambda: nifti(np.zeros((6, 5, 4, 1, 3), np.int16)), FLAT),
    "no-axes": ("dim[0] is 0", lambda: patched(nifti(), dim=_dim(0, 6, 5, 4)), ""),
    "nine-axes": ("dim[0] is 9", lambda: patched(nifti(), dim=_dim(9, 6, 5, 4)), ""),
    "negative-size": ("a negative size", lambda: patched(nifti(), dim=_dim(3, -6, 5, 4)), ""),
    "all-negative-sizes": ("three negative sizes", lambda: patched(nifti(), dim=_dim(3, -6, -5, -4)), ""),
    "size-zero": ("an axis without voxels", lambda: patched(nifti(), dim=_dim(3, 6, 0, 4)), ""),
    "complex64": ("complex voxels", _typed(np.complex64), KIND),
    "complex128": ("complex voxels of 128 bits", _typed(np.complex128), KIND),
    "rgb": ("red, green and blue in one voxel", _typed([("R", "u1"), ("G", "u1"), ("B", "u1")]), KIND),
    "rgba": ("colours with opacity", _typed([(c, "u1") for c in "RGBA"]), KIND),
    "binary-type": ("one bit a voxel", lambda: patched(nifti(), datatype=1, bitpix=1), ""),
    "unknown-type": ("a data type that nobody defined", lambda: patched(nifti(), datatype=999), READ),
    "wider-type": ("a header of float64 over int16", lambda: patched(nifti(), datatype=64, bitpix=64), ""),
    "slope-overflows": ("scl_slope leads beyond 32 bits", lambda: patched(nifti(ramp() + 1), scl_slope=3e38), ""),
    "inter-nan": ("scl_inter is NaN", lambda: patched(nifti(), scl_slope=2.0, scl_inter=nan), ""),
    "inter-infinite": ("scl_inter is infinite", lambda: patched(nifti(), scl_slope=1.0, scl_inter=inf), ""),
    "offset-negative": ("voxels start before the file", lambda: patched(nifti(), vox_offset=-9e9), ""),
    "offset-nan": ("voxels start at NaN", lambda: patched(nifti(), vox_offset=nan), ""),
    "offset-beyond": ("voxels start behind the end", lambda: patched(nifti(), vox_offset=1e9), ""),
    "magic": ("no NIfTI at all", lambda: patched(nifti(), magic=b"none"), ""),
    "length-of-header": ("a header of another length", lambda: patched(nifti(), sizeof_hdr=7), READ),
    "extension-negative": ("an extension of negative length", lambda: _extension_of(-16), ""),
    "extension-endless": ("an extension of 2 GB", lambda: _extension_of(2**31 - 16), ""),
    "header-alone": ("no voxels", lambda: nifti()[:352], ""),
    "half-a-header": ("100 bytes", lambda: nifti()[:100], READ),
    "nifti2-huge": ("a NIfTI-2 header of 2^40 voxels an axis", lambda: _nifti2(2**40, 5, 4), SIZE),
    "nifti2-overflow": ("a size that overflows 64 bits", lambda: _nifti2(2**62, 2**62, 2**62), SIZE),
}  # fmt: skip


#: Headers that can be used, and what `check-data` says of them.
ODD = {
    "forms-apart": ("sform and qform name two places", _shifted, "sform and qform disagree"),
    "quaternion-nan-beside-sform": (
        "NaN as quaternion", lambda: patched(nifti(), quatern=(nan, 0.0, 0.0)), "sform and qform disagree"
    ),
    "quaternion-too-long-beside-sform": (
        "a quaternion longer than 1", lambda: patched(nifti(), quatern=(1.0, 1.0, 1.0)), "sform and qform disagree"
    ),
    "spacing-zero-beside-sform": (
        "0 mm as spacing", lambda: patched(nifti(), pixdim=_pixdim(0, 0, 0), qform_code=0), "pixdim and sform disagree"
    ),
    "spacing-negative-beside-sform": (
        "-9 mm as spacing", lambda: patched(nifti(), pixdim=_pixdim(-9, 2, 3), qform_code=0), "pixdim and sform disagree"
    ),
    "no-sform": ("the qform alone", lambda: qform_alone(nifti()), "no sform, qform is used"),
    "slope-infinite": ("scl_slope is infinite", lambda: patched(nifti(), scl_slope=inf), "A run would work"),
    "int64": ("int64 voxels", lambda: nifti(ramp().astype(np.int64)), "A run would work"),
    "slope-nan": ("scl_slope is NaN: no scaling", lambda: patched(nifti(), scl_slope=nan), "A run would work"),
    "slope-zero": ("scl_slope is 0: no scaling", lambda: patched(nifti(), scl_slope=0.0), "A run would work"),
}  # fmt: skip


def _as_image(content):
    def build(folder):
        amos(folder, image=content())
        return check_amos(folder)

    return build


def _as_label(content):
    def build(folder):
        amos(folder, label=content())
        return check_amos(folder)

    return build


def _as_prediction(content, ending):
    return lambda folder: score(folder, prediction=content(), ending=ending)


def cases():
    for name, (wrong, content, says) in DAMAGES.items():
        yield BadInput("headers", f"{name}/image", wrong, _as_image(content), ("amos_0001.nii.gz", says))
        yield BadInput("headers", f"{name}/label", wrong, _as_label(content), ("amos_0001.nii.gz", says))
        for ending in (".nii", ".nii.gz"):
            build = _as_prediction(content, ending)
            yield BadInput("headers", f"{name}/score{ending}", wrong, build, (f"prediction{ending}", says))
    for name, (wrong, content, says) in ODD.items():
        yield BadInput("headers", f"{name}/image", wrong, _as_image(content), (says,), "named")
