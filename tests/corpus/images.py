"""Images without content, without end, or cut short; and the same in the formats that SimpleITK reads."""

import gzip
import struct
import zlib
from math import inf, nan

import numpy as np

from corpus.bad_input import BadInput
from corpus.files import SHAPE, amos, check_amos, nifti, patched, ramp, score, stored
from corpus.manifests import folder_run

FINITE, READ, SHORT, SIZE = "not finite", "cannot be read", "shorter than its header", "too large"


def _full(value, kind=np.float32, shape=SHAPE):
    return nifti(np.full(shape, value, kind))


def _one(value):
    array = ramp().astype(np.float32)
    array[2, 2, 2] = value
    return nifti(array)


def _sized(*shape, kind=(4, 16)):
    return patched(nifti(), dim=(3, *shape, 1, 1, 1, 1), datatype=kind[0], bitpix=kind[1])


#: name: what is wrong, bytes of the NIfTI file, what is said.
CONTENTS = {
    "all-nan": ("every voxel is NaN", lambda: _full(nan), FINITE),
    "all-infinite": ("every voxel is infinite", lambda: _full(inf), FINITE),
    "all-minus-infinite": ("every voxel is minus infinity", lambda: _full(-inf), FINITE),
    "one-nan": ("one voxel is NaN", lambda: _one(nan), FINITE),
    "one-infinite": ("one voxel is infinite", lambda: _one(inf), FINITE),
    "nan-in-float64": ("every voxel is NaN, 64 bits", lambda: _full(nan, np.float64), FINITE),
    "beyond-float32": ("values of 1e300", lambda: _full(1e300, np.float64), FINITE),
    "one-voxel-of-nan": ("one voxel, and it is NaN", lambda: _full(nan, shape=(1, 1, 1)), FINITE),
    "huge": ("30000 x 30000 x 30000 in 600 bytes", lambda: _sized(30000, 30000, 30000), SIZE),
    "huge-in-float64": ("the same as float64", lambda: _sized(30000, 30000, 30000, kind=(64, 64)), SIZE),
    "large": ("800 x 800 x 800 in 600 bytes", lambda: _sized(800, 800, 800), SHORT),
    "long": ("32767 x 1 x 1 in 600 bytes, as float64", lambda: _sized(32767, 32767, 1, kind=(64, 64)), ""),
}

#: The same, as the bytes on disk.
STREAMS = {
    "truncated-gzip": ("the second half is missing", lambda: _gz()[: len(_gz()) // 2], READ),
    "truncated-by-one-byte": ("the last byte of gzip's sum is missing", lambda: _gz()[:-1], READ),
    "wrong-sum": ("gzip's sum is another one", lambda: _gz()[:-8] + b"\0" * 8, READ),
    "garbled-gzip": ("0xff from the middle on", lambda: _gz()[:150] + b"\xff" * 150, READ),
    "gzip-of-nothing": ("an empty stream", lambda: gzip.compress(b"", mtime=0), READ),
    "not-gzip": ("NIfTI that is not compressed, called .gz", nifti, ""),
    "empty": ("no bytes", lambda: b"", READ),
    "text": ("a text", lambda: b"no image\n" * 50, READ),
    "web-page": ("what a failed download leaves", lambda: b"<!DOCTYPE html><html>404</html>", READ),
    "large-file-pointer": (
        "a pointer of Git LFS", lambda: b"version https://git-lfs.github.com/spec/v1\nsize 9\n", READ
    ),
    "bomb": ("600 MB of zeros in 600 kB, 3 x 2^30 voxels", lambda: _bomb((3, 1024, 1024, 3072, 1, 1, 1, 1)), SIZE),
    "bomb-of-bombs": ("gzip within gzip", lambda: gzip.compress(_gz(), mtime=0), READ),
}  # fmt: skip


def _gz():
    return gzip.compress(nifti(), mtime=0)


def _bomb(dim, megabytes=600):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(patched(nifti()[:352], dim=dim, datatype=2, bitpix=8))
    block = bytes(1 << 20)
    return head + b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()


#: What can be used, and what `check-data` says of it.
ODD = {
    "constant": ("every voxel is 7", lambda: _gz_of(_full(7.0)), "the image is constant"),
    "constant-integer": ("every voxel is 0", lambda: _gz_of(_full(0, np.int16)), "the image is constant"),
    "bomb-behind-the-voxels": (
        "600 MB of zeros behind the voxels: never read", lambda: _bomb((3, *SHAPE, 1, 1, 1, 1)), "constant"
    ),
}  # fmt: skip


def _gz_of(content):
    return gzip.compress(content, mtime=0)


def _one_voxel(folder):
    amos(folder, image=_full(1, np.int16, (1, 1, 1)), label=_full(6, np.int16, (1, 1, 1)))
    return check_amos(folder)


def _as_image(content):
    def build(folder):
        places = amos(folder)
        places[0].write_bytes(content())
        return check_amos(folder)

    return build


def _as_prediction(content, ending=".nii.gz"):
    def build(folder):
        command = score(folder, ending=ending)
        (folder / f"prediction{ending}").write_bytes(content())
        return command

    return build


MHA = (
    "ObjectType = Image\nNDims = {dims}\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    "CompressedData = False\nTransformMatrix = {matrix}\nOffset = 0 0 0\nElementSpacing = {spacing}\n"
    "DimSize = {size}\n{more}ElementType = {kind}\nElementDataFile = {file}\n"
)
GOOD = {
    "dims": 3, "matrix": "-1 0 0 0 -1 0 0 0 1", "spacing": "2 2 3", "size": "6 5 4", "more": "",
    "kind": "MET_SHORT", "file": "LOCAL",
}  # fmt: skip

#: name: what is wrong, what differs from a good .mha, bytes behind the header, what is said.
META = {
    "meta-short": ("half of the voxels", {}, 120, READ),
    "meta-huge": ("30000 voxels an axis", {"size": "30000 30000 30000"}, 240, SIZE),
    "meta-large": ("800 voxels an axis", {"size": "800 800 800"}, 240, SHORT),
    "meta-negative": ("a negative size", {"size": "-6 5 4"}, 240, ""),
    "meta-spacing-zero": ("0 mm between voxels", {"spacing": "0 2 3"}, 240, ""),
    "meta-spacing-nan": ("NaN as spacing", {"spacing": "nan 2 3"}, 240, ""),
    "meta-singular": ("a direction of zeros", {"matrix": "0 0 0 0 1 0 0 0 1"}, 240, ""),
    "meta-two-axes": ("a 2-D image", {"dims": 2, "matrix": "1 0 0 1", "size": "6 5"}, 240, ""),
    "meta-two-axes-channels": (
        "a 2-D image of four values a pixel",
        {"dims": 2, "matrix": "1 0 0 1", "size": "6 5", "more": "ElementNumberOfChannels = 4\n"}, 240,
        "three-dimensional",
    ),
    "meta-channels": ("three values a voxel", {"more": "ElementNumberOfChannels = 3\n"}, 720, ""),
    "meta-unknown-type": ("a type that nobody defined", {"kind": "MET_NONE_SUCH"}, 240, ""),
    "meta-outside": ("voxels in a file above the folder", {"file": "../secret.raw"}, 0, "lie elsewhere"),
    "meta-absolute": ("voxels at an absolute path", {"file": "/etc/passwd"}, 0, "lie elsewhere"),
    "meta-list": ("a list of files of voxels", {"file": "LIST"}, 0, "lie elsewhere"),
    "meta-pattern": ("a pattern of files of voxels", {"file": "%03d.raw 1 4 1"}, 0, ""),
    "meta-absent": ("voxels in a file that is not there", {"file": "absent.raw"}, 0, ""),
}  # fmt: skip

NRRD = (
    "NRRD0004\ntype: {kind}\ndimension: {dims}\nspace: right-anterior-superior\nsizes: {size}\n"
    "space directions: {directions}\nspace origin: (0,0,0)\nkinds: {kinds}\nendian: little\nencoding: raw\n{file}\n"
)
GOOD_NRRD = {
    "kind": "short", "dims": 3, "size": "6 5 4", "directions": "(2,0,0) (0,2,0) (0,0,3)",
    "kinds": "domain domain domain", "file": "",
}  # fmt: skip
NRRDS = {
    "nrrd-short": ("half of the voxels", {}, 120, READ),
    "nrrd-huge": ("30000 voxels an axis", {"size": "30000 30000 30000"}, 240, SIZE),
    "nrrd-singular": ("two axes along one line", {"directions": "(2,0,0) (2,0,0) (0,0,3)"}, 240, ""),
    "nrrd-nan": ("NaN as direction", {"directions": "(nan,0,0) (0,2,0) (0,0,3)"}, 240, ""),
    "nrrd-outside": ("voxels in a file above the folder", {"file": "data file: ../secret.raw\n"}, 0, "lie elsewhere"),
    "nrrd-absolute": ("voxels at an absolute path", {"file": "datafile: /etc/passwd\n"}, 0, "lie elsewhere"),
    "nrrd-list": ("a list of files of voxels", {"file": "data file: LIST\nb.raw\n"}, 0, "lie elsewhere"),
    "nrrd-block": ("voxels of no type", {"kind": "block"}, 240, ""),
}  # fmt: skip


def nrrd_image(changes, size):
    return NRRD.format(**(GOOD_NRRD | changes)).encode() + struct.pack("<h", 1) * (size // 2)


def meta_image(changes, size):
    return (MHA.format(**(GOOD | changes))).encode() + struct.pack("<h", 1) * (size // 2)


def _manifest_case(name, content):
    """A list of one case whose image is its label map too, so that its voxels are read."""

    def build(folder):
        stored(folder / "scans" / name, content())
        stored(folder / "secret.raw", bytes(240))
        return folder_run(folder, f"case,CT,CT_label\na,{name},{name}\n")

    return build


def cases():
    for name, (wrong, content, says) in CONTENTS.items():
        image = _as_image(lambda content=content: _gz_of(content()))
        yield BadInput("images", f"{name}/image", wrong, image, ("amos_0001.nii.gz", says))
        if says in (SIZE, SHORT):
            plain = _as_prediction(content, ".nii")
            yield BadInput("images", f"{name}/score", wrong, plain, ("prediction.nii", says))
    for name, (wrong, content, says) in STREAMS.items():
        yield BadInput("images", f"{name}/image", wrong, _as_image(content), ("amos_0001.nii.gz", says))
        build = _as_prediction(content)
        yield BadInput("images", f"{name}/score", wrong, build, ("prediction.nii.gz", says))
    for name, (wrong, content, says) in ODD.items():
        yield BadInput("images", f"{name}/image", wrong, _as_image(content), (says,), "named")
    yield BadInput("images", "one-voxel/image", "one voxel in all", _one_voxel, ("constant",), "named")
    for name, (wrong, changes, size, says) in META.items():
        file = "a.mhd" if "file" in changes else "a.mha"
        build = _manifest_case(file, lambda changes=changes, size=size: meta_image(changes, size))
        yield BadInput("images", name, wrong, build, (file, says))
    for name, (wrong, changes, size, says) in NRRDS.items():
        build = _manifest_case("a.nrrd", lambda changes=changes, size=size: nrrd_image(changes, size))
        yield BadInput("images", name, wrong, build, ("a.nrrd", says))
