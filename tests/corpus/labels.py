"""Label maps that are none, or of another task or grid."""

from math import inf, nan

import numpy as np

from corpus.bad_input import BadInput
from corpus.files import AFFINE, SHAPE, amos, blocks, check_amos, good_label, nifti, patched, score

WHOLE, UNKNOWN, GRID, MAP = "not integers", "does not know", "one grid", "does not look like a label map"


def _floats(value, kind=np.float32):
    array = blocks((6,)).astype(kind)
    array[0, 0, 0] = value
    return nifti(array)


def _moved(place, value):
    affine = AFFINE.copy()
    affine[place] = value
    return nifti(blocks((6,)), affine)


def _with(*values, kind=np.int32):
    array = np.zeros(SHAPE, kind)
    array.flat[: len(values)] = values
    return nifti(array)


#: name: what is wrong, the bytes, what `check-data` says, what `score` says (None: a label map to score).
DAMAGES = {
    "between-integers": ("one voxel is 5.5", lambda: _floats(5.5), WHOLE, WHOLE),
    "nearly-an-integer": ("one voxel is 6.00001", lambda: _floats(6.00001, np.float64), WHOLE, WHOLE),
    "nan": ("one voxel is NaN", lambda: _floats(nan), WHOLE, WHOLE),
    "infinite": ("one voxel is infinite", lambda: _floats(inf), WHOLE, WHOLE),
    "beyond-int64": ("one voxel is 1e30", lambda: _floats(1e30), WHOLE, WHOLE),
    "probabilities": ("values between 0 and 1", lambda: nifti(np.linspace(0, 1, 120, dtype="f4").reshape(SHAPE)), WHOLE, WHOLE),
    "interpolated": ("scl_slope halves the values", lambda: patched(_with(1, 3), scl_slope=0.5), WHOLE, WHOLE),
    "negative": ("one voxel is -1", lambda: _with(-1), UNKNOWN, MAP),
    "least-int64": ("one voxel is -2^63", lambda: _with(-(2**63), kind=np.int64), UNKNOWN, MAP),
    "most-uint64": ("one voxel is 2^64 - 1", lambda: _with(2**64 - 1, kind=np.uint64), UNKNOWN, MAP),
    "unknown": ("one voxel is 99", lambda: _with(99), UNKNOWN, None),
    "wraps-to-a-label": ("one voxel is 256 + 6", lambda: _with(262), UNKNOWN, None),
    "many-unknown": ("voxels from 1000 to 1119", lambda: nifti(np.arange(1000, 1120, dtype="i2").reshape(SHAPE)), UNKNOWN, None),
    "an-image": ("the image in place of the label map", lambda: nifti(np.arange(-60, 60, dtype="i2").reshape(SHAPE)), UNKNOWN, MAP),
    "shifted-origin": ("5 mm beside its image", lambda: _moved((0, 3), 5.0), GRID, GRID),
    "other-spacing": ("2.5 mm where the image has 2", lambda: _moved((0, 0), 2.5), GRID, GRID),
    "flipped": ("the first axis runs the other way", lambda: _moved((0, 0), -2.0), GRID, GRID),
    "turned": ("two axes changed places", lambda: nifti(blocks((6,)).transpose(1, 0, 2).copy()), GRID, GRID),
    "other-size": ("one slice less", lambda: nifti(blocks((6,))[:, :, :3].copy()), GRID, GRID),
    "one-voxel": ("one voxel", lambda: nifti(np.full((1, 1, 1), 6, np.int16)), GRID, GRID),
}  # fmt: skip

_LIVER = ("--labels", "liver=6")


def _as_label(content):
    def build(folder):
        amos(folder, label=content())
        return check_amos(folder)

    return build


def _empty(folder):
    amos(folder, label=good_label(()))
    return check_amos(folder)


def _options(*given):
    return lambda folder: (*score(folder), *(part.format(folder=folder) for part in given))


def _names(text):
    def build(folder):
        (folder / "dataset.json").write_bytes(text.encode() if isinstance(text, str) else text)
        return (*score(folder), "--labels", str(folder / "dataset.json"))

    return build


def _absent(name):
    def build(folder):
        command = score(folder)
        (folder / name).unlink()
        return command

    return build


def _folders(truths, predictions):
    def build(folder):
        for part, names in (("truth", truths), ("prediction", predictions)):
            (folder / part).mkdir()
            for name in names:
                (folder / part / name).write_bytes(good_label())
        return ("parallax", "score", str(folder / "truth"), str(folder / "prediction"))

    return build


#: Options of `parallax score` that cannot be used.
OPTIONS = {
    "tolerance-nan": (("--tolerance-mm", "nan"), "--tolerance-mm"),
    "tolerance-zero": (("--tolerance-mm", "0"), "--tolerance-mm"),
    "tolerance-negative": (("--tolerance-mm", "-1"), "--tolerance-mm"),
    "tolerance-infinite": (("--tolerance-mm", "inf"), "--tolerance-mm"),
    "labels-without-value": (("--labels", "liver"), "--labels"),
    "labels-empty": (("--labels", "=6"), "--labels"),
    "labels-background": (("--labels", "liver=0"), "--labels"),
    "labels-negative": (("--labels", "liver=-6"), "--labels"),
    "labels-huge": (("--labels", "liver=99999999"), "--labels"),
    "labels-endless": (("--labels", "liver=" + "9" * 5000), "--labels"),
    "labels-twice": (("--labels", "liver=6,spleen=6"), "--labels"),
    "labels-named-twice": (("--labels", "liver=6,liver=7"), "--labels"),
}

#: Files of names that cannot be used.
NAMES = {
    "json-list": "[]", "json-null": "null", "json-text": "liver", "json-number": "6", "json-empty": "",
    "json-no-labels": "{}", "json-labels-list": '{"labels": [1]}', "json-labels-null": '{"labels": null}',
    "json-label-text": '{"labels": {"liver": "6"}}', "json-label-float": '{"labels": {"liver": 6.5}}',
    "json-label-nan": '{"labels": {"liver": NaN}}', "json-label-true": '{"labels": {"liver": true}}',
    "json-label-huge": '{"labels": {"liver": 1%s}}' % ("0" * 4400), "json-label-list": '{"labels": {"a": [1, 2]}}',
    "json-twice": '{"labels": {"liver": 6, "liver": 7}}', "json-same-value": '{"labels": {"liver": 6, "x": 6}}',
    "json-deep": "[" * 100_000, "json-long": '{"labels": {"%s": "x"}}' % ("a" * 10_000_000),
    "json-task-list": '{"task": []}', "json-latin": b'{"labels": {"\xe9": 6}}',
}  # fmt: skip


def cases():
    for name, (wrong, content, checked, scored) in DAMAGES.items():
        yield BadInput(
            "labels", f"{name}/check-data", wrong, _as_label(content), ("amos_0001.nii.gz", checked)
        )
        if scored:
            build = lambda folder, content=content: score(folder, prediction=content())  # noqa: E731
            yield BadInput("labels", f"{name}/score", wrong, build, ("prediction.nii.gz", scored))
    yield BadInput("labels", "empty", "all background", _empty, ("the label map is all background",), "named")
    for name, (given, says) in OPTIONS.items():
        yield BadInput("labels", name, f"score {' '.join(given)[:60]}", _options(*given), (says,))
    for name, text in NAMES.items():
        yield BadInput("labels", name, f"names of labels: {text[:60]!r}", _names(text), ("dataset.json",))
    for name in ("truth.nii.gz", "prediction.nii.gz"):
        yield BadInput("labels", f"absent/{name}", "a path without a file", _absent(name), (name,))
    folders = {
        "no-names-in-common": (("a.nii",), ("b.nii",)),
        "two-endings": (("a.nii", "a.nii.gz"), ("a.nii",)),
        "nothing-to-score": ((), ("a.nii",)),
        "no-predictions": (("a.nii",), ()),
    }
    for name, (truths, predictions) in folders.items():
        yield BadInput("labels", name, "folders that do not fit", _folders(truths, predictions), ("Where",))
