"""Sform and qform that disagree: counted and told wherever a file is read, or refused where sides change."""

import json

import nibabel as nib
import numpy as np
import pytest
from data_scripts import run
from scan_trees import blocks
from typer.testing import CliRunner

from parallax.cli import app
from parallax.data.files import read_json, write_json
from parallax.data.repairs import count_repairs
from parallax.data.volumes import load_volume, read_grid
from parallax.errors import GeometryError
from parallax.plugin import load_dataset

SFORM = np.diag([2.0, 2.0, 3.0, 1.0])
WHAT = "sform and qform disagree, sform is used"


def moved(x_mm):
    qform = SFORM.copy()
    qform[0, 3] += x_mm
    return qform


def turned(degrees):
    angle, turn = np.deg2rad(degrees), np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ SFORM


def write(path, qform):
    image = nib.Nifti1Image(blocks((1,)), SFORM)
    image.set_sform(SFORM, 1)
    image.set_qform(qform, 1)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("read", [load_volume, read_grid])
@pytest.mark.parametrize(
    ("qform", "apart"), [(SFORM @ np.diag([-1.0, 1, 1, 1]), "180 degrees"), (turned(60), "60 degrees")]
)
def test_forms_that_name_other_sides_are_refused_with_file_and_remedy(tmp_path, read, qform, apart):
    path = write(tmp_path / "a.nii.gz", qform)
    with pytest.raises(GeometryError, match=r"sform RAS, qform .* degrees apart") as refused:
        read(path)
    assert str(path) in refused.value.where
    assert apart in refused.value.found
    assert "set_qform" in refused.value.remedy


@pytest.mark.parametrize("qform", [moved(7), turned(30), SFORM @ np.diag([1.0, 1.0, 2.0, 1.0])])
def test_the_sform_is_used_where_both_name_the_same_sides(tmp_path, qform):
    path = write(tmp_path / "a.nii.gz", qform)
    np.testing.assert_array_equal(load_volume(path).affine, SFORM)


@pytest.fixture
def scans(tmp_path):
    """Two cases, of which the image of one lies 7 mm elsewhere by its qform; the options that read them."""
    (tmp_path / "scans").mkdir()
    for name in ("a", "b"):
        write(tmp_path / "scans" / f"{name}.nii.gz", moved(7) if name == "b" else SFORM)
        write(tmp_path / "scans" / f"{name}_l.nii.gz", SFORM)
    rows = ("case,CT,CT_label", *(f"{c},{c}.nii.gz,{c}_l.nii.gz" for c in "ab"))
    (tmp_path / "scans" / "m.csv").write_text("\n".join(rows) + "\n")
    return {
        "root": str(tmp_path / "scans"),
        "manifest": "m.csv",
        "modalities": {"CT": {"kind": "ct"}},
        "classes": {"liver": 1},
        "spacing_mm": [2, 2, 3],
    }


def test_a_conflict_is_logged_written_and_counted(scans, tmp_path, capsys):
    out = tmp_path / "data" / "liver" / "prepared" / "train"
    write_json({"train": ["a", "b"], "test": []}, tmp_path / "split.json")
    places = {"split": tmp_path / "split.json", "raw": tmp_path / "raw", "out": out}
    run("prepare", dataset="folder", options=json.dumps(scans), part="train", **places)
    (entry,) = read_json(out / "repairs.json")["b"]
    assert entry["what"] == f"image: {WHAT}"
    assert entry["detail"] == "a corner up to 7 mm apart, b.nii.gz"
    assert f"b: CT: image: {WHAT} (a corner up to 7 mm apart, b.nii.gz)" in capsys.readouterr().out
    assert count_repairs(tmp_path) == {("liver", f"image: {WHAT}"): 1}
    written = nib.load(next((out / "images").glob("b__CT*")))
    np.testing.assert_array_equal(written.get_sform(), written.get_qform())


def test_a_plan_tells_it_before_anything_runs(scans, tmp_path):
    own = {"plugin": "folder", "options": scans, "split": {"train": 1, "test": 1}}
    values = {
        "run": "own",
        "datasets": {"own": own},
        "methods": ["supervised"],
        "conditions": [{"labels": [1.0]}],
        "budget": {"steps": 1, "patch": [16, 16, 16], "widths": [4, 8]},
    }
    (tmp_path / "run.yaml").write_text(json.dumps(values))
    told = " ".join(CliRunner().invoke(app, ["plan", str(tmp_path / "run.yaml")]).stdout.split())
    assert f"Header, own: {WHAT}, in 1 of 5 files" in told
    assert "b.nii.gz (a corner up to 7 mm apart)" in told


def test_a_mirrored_scan_stops_before_anything_is_written(scans, tmp_path):
    write(tmp_path / "scans" / "b.nii.gz", SFORM @ np.diag([-1.0, 1.0, 1.0, 1.0]))
    with pytest.raises(GeometryError, match=r"line 3, case b.*b\.nii\.gz.*Remedy"):
        run("index", dataset="folder", options=json.dumps(scans), out=tmp_path / "cases.json")
    assert not (tmp_path / "cases.json").exists()


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_scoring_says_so_beside_the_numbers(scans, tmp_path, form):
    folder = tmp_path / "scans"
    files = [str(folder / name) for name in ("a_l.nii.gz", "b.nii.gz")]
    told = CliRunner().invoke(app, ["score", *files, *form])
    assert told.exit_code == 0
    assert told.stderr.startswith(f"Header: {WHAT}, in 1 of 2 files, the first is {files[1]} (")
    assert WHAT not in told.stdout
    good = CliRunner().invoke(app, ["score", files[0], files[0], *form])
    assert good.stderr == ""


def test_a_release_is_checked_by_case(tmp_path):
    from parallax.data import layouts
    from parallax.data.inspect import inspect_dataset, remarks

    image, label = layouts.amos_files(tmp_path, 1)
    for path, qform in ((image, moved(7)), (label, SFORM)):
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, qform)
    lines = remarks(inspect_dataset(load_dataset("amos", {"root": tmp_path})))
    assert f"repair in 1 of 1 scans: image: {WHAT}" in lines
    assert f"image: {WHAT}, case amos_0001, CT: a corner up to 7 mm apart, amos_0001.nii.gz" in lines
