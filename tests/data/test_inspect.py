"""`parallax check-data`: a whole download is read, and whatever a run could not use is named."""

import json

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from parallax.case import Volume
from parallax.cli import app
from parallax.data import layouts
from parallax.data.inspect import inspect_dataset, structure_rows
from parallax.errors import ConfigError
from parallax.plugin import load_dataset

AFFINE = np.diag([-2.0, 2.0, 3.0, 1.0])
SHAPE = (6, 5, 4)


@pytest.fixture
def amos(tmp_path):
    raw = np.zeros(SHAPE, np.int16)
    raw[1:3, 1:3, 1:3] = 6
    image = Volume(np.arange(raw.size, dtype=np.int16).reshape(SHAPE), AFFINE)
    for number in (1, 2, 507):
        layouts.write_scan(layouts.amos_files(tmp_path, number), image, Volume(raw, AFFINE))
    return tmp_path


def _inspect(root):
    return inspect_dataset(load_dataset("amos", {"root": root}))


def test_volumes_sizes_and_axes(amos):
    found = _inspect(amos)
    assert found.usable
    assert [scan.modality for scan in found.scans] == ["CT", "CT", "MR"]
    assert found.scans[0].volumes_ml == {"liver": pytest.approx(8 * 12 / 1000, abs=0.005)}
    assert found.repairs() == {"axes LAS are turned to RAS": 3}
    assert ("liver", "CT", "2 of 2", "0.1 / 0.1 / 0.1") in structure_rows(found.scans, ["liver"])


def test_float_labels_and_headers_that_disagree_are_named(amos):
    _, label = layouts.amos_files(amos, 1)
    image = nib.load(label)
    floats = nib.Nifti1Image(np.asarray(image.dataobj).astype(np.float64), AFFINE)
    other = AFFINE.copy()
    other[0, 3] = 5.0
    floats.set_sform(AFFINE, 1)
    floats.set_qform(other, 1)
    nib.save(floats, label)
    repairs = [repair.what for repair in _inspect(amos).scans[0].repairs]
    assert "label map: stored as floats, read as integers" in repairs
    assert "label map: sform and qform disagree, sform is used" in repairs


def _broken(kind, path):
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "text":
        path.write_text("no image")
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        shape = {"flat": (6, 5), "series": (*SHAPE, 2), "nan": SHAPE}[kind]
        values = np.full(shape, np.nan if kind == "nan" else 1.0, np.float32)
        nib.save(nib.Nifti1Image(values, AFFINE), path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", "cannot be read"),
        ("text", "cannot be read"),
        ("empty", "cannot be read"),
        ("flat", "not three-dimensional"),
        ("series", "not three-dimensional"),
        ("nan", "not finite"),
    ],
)
def test_an_image_that_a_run_could_not_use_is_named(amos, kind, message):
    image, _ = layouts.amos_files(amos, 2)
    _broken(kind, image)
    found = _inspect(amos)
    assert not found.usable
    assert message in found.scans[1].problem
    assert "amos_0002" in found.scans[1].problem


def test_the_command_prints_tables_and_answers_with_its_status(amos):
    good = CliRunner().invoke(app, ["check-data", "amos", str(amos)])
    assert good.exit_code == 0
    assert "A run would work." in good.output
    _broken("text", layouts.amos_files(amos, 507)[0])
    bad = CliRunner().invoke(app, ["check-data", "amos", str(amos), "--json"])
    assert bad.exit_code == 1
    assert not json.loads(bad.output)["usable"]


def test_a_phantom_is_no_download(tmp_path):
    result = CliRunner().invoke(app, ["check-data", "phantom_heart", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)


def test_real_amos_label_maps_are_read(real_data, tmp_path):
    folder = real_data / "noncommercial" / "amos-labels"
    floats = folder / "as-shipped-float64" / "amos_0002_MRI_gt.nii.gz"
    sources = {13: folder / "amos_0013.nii.gz", 502: floats}
    for number, source in sources.items():
        for path in layouts.amos_files(tmp_path, number):  # no image is at hand: the map stands for both
            path.parent.mkdir(exist_ok=True)
            path.symlink_to(source)
    ct, mr = _inspect(tmp_path).scans
    assert not ct.problem + mr.problem
    assert 900 < ct.volumes_ml["liver"] < 2500
    assert mr.volumes_ml["right_kidney"] > 50
    assert "label map: stored as floats, read as integers" in [repair.what for repair in mr.repairs]
