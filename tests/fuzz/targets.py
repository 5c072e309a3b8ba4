"""What the fuzzer runs: bytes in, and either an answer or a `UserError`; anything else is a bug.

python -m fuzz.targets NAME [options of libFuzzer, such as -runs=1000 -seed=1 -max_total_time=60]
"""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["parallax"]):
    from parallax.data.given import given_json, given_yaml
    from parallax.data.header import check_affine
    from parallax.data.manifest import read_manifest
    from parallax.data.volumes import read_volume
    from parallax.errors import UserError
    from parallax.run.resolve import resolve
    from parallax.score.metrics import score_label_maps

import numpy as np

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))


def refused_or_read(function, *given):
    try:
        return function(*given)
    except UserError:
        return None


def _written(data, name):
    path = FOLDER / name
    path.write_bytes(data)
    return path


def nifti(data):
    """A good header with bytes overwritten, so that the fuzzer gets behind the first check."""
    from corpus.files import nifti as good

    content = bytearray(good())
    for place, value in zip(data[::2], data[1::2], strict=False):
        content[(place * 2 + value % 2) % 352] = value
    volume = refused_or_read(read_volume, _written(bytes(content), "a.nii"))
    if volume is not None:
        check_affine(volume.affine, FOLDER / "a.nii")
        assert np.isfinite(volume.array).all()


def manifest(data):
    for name in ("cases.csv", "list.json"):
        refused_or_read(read_manifest, FOLDER, _written(data, name), ["CT", "MR"])
    refused_or_read(given_json, FOLDER / "list.json")


def config(data):
    values = refused_or_read(given_yaml, _written(data, "run.yaml"))
    if values is not None:
        refused_or_read(resolve, {"run": "fuzz"} | values)


def metrics(data):
    """Two label maps out of the bytes: in range, and the same the other way round."""
    source = atheris.FuzzedDataProvider(data)
    shape = tuple(source.ConsumeIntInRange(1, 5) for _ in range(3))
    spacing = tuple(source.ConsumeIntInRange(1, 40) / 10 for _ in range(3))
    size = int(np.prod(shape))
    maps = [
        np.resize(np.frombuffer(source.ConsumeBytes(size) or b"\0", np.uint8) % 3, shape) for _ in range(2)
    ]
    one, other = (
        score_label_maps(*pair, {"a": 1, "b": 2}, spacing, 50.0, {"a": 1.0, "b": 2.0})
        for pair in (maps, maps[::-1])
    )
    for name in ("a", "b"):
        for metric, value in one[name].values.items():
            back = other[name].values[metric]
            assert np.isnan(value) == np.isnan(back)
            sign = -1 if metric == "volume_difference_ml" else 1
            assert np.isnan(value) or np.isclose(value, sign * back)
            assert metric not in ("dice", "nsd") or np.isnan(value) or 0 <= value <= 1
            assert metric not in ("hd95_mm", "assd_mm") or np.isnan(value) or value >= 0


TARGETS = {"nifti": nifti, "manifest": manifest, "config": config, "metrics": metrics}

if __name__ == "__main__":
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
