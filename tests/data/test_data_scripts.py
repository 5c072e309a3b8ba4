"""The five scripts of the data stages, one after the other, on a small folder of paired scans."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from balls import ball_volumes, centred_affine
from data_scripts import SCRIPTS, run

from parallax.case import Volume
from parallax.data.files import read_json
from parallax.data.repairs import count_repairs
from parallax.data.store import load_test_views, load_train_view
from parallax.data.volumes import write_volume
from parallax.errors import ConfigError
from parallax.score.runs import read_test_cases

N_CASES = 8


def write_scans(root):
    shape = (20, 18, 16)
    rows = ["case,CT,MR,CT_label,MR_label"]
    for index in range(N_CASES):
        for modality in ("CT", "MR"):
            image, label = ball_volumes(centred_affine(np.diag([3.0, 3.0, 3.0]), shape), shape)
            image = Volume(image.array + index, image.affine)
            write_volume(image, root / f"{index}_{modality}.nii.gz")
            write_volume(label, root / f"{index}_{modality}_l.nii.gz")
        rows.append(
            f"p{index}," + ",".join(f"{index}_{m}{e}.nii.gz" for e in ("", "_l") for m in ("CT", "MR"))
        )
    (root / "m.csv").write_text("\n".join(rows) + "\n")
    return {
        "root": str(root),
        "manifest": "m.csv",
        "modalities": {"CT": {"kind": "ct"}, "MR": {"kind": "mr"}},
        "classes": {"large": 1, "small": 2},
        "spacing_mm": [3, 3, 3],
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    scans = tmp_path_factory.mktemp("scans")
    options = json.dumps(write_scans(scans))
    run("index", dataset="folder", options=options, out=out / "cases.json")
    split = json.dumps({"seed": 4, "train": 5, "test": 3})
    where = {"out_dir": out / "splits", "out": out / "split.json"}
    run("split", cases=out / "cases.json", split=split, fractions="0.2,1.0", draws=2, **where)
    level = json.dumps({"name": "shifted", "severity": 2})
    for part in ("train", "test"):
        prepared, moved = out / "prepared" / part, out / "shifted" / part
        places = {"split": out / "split.json", "raw": out / "raw", "out": prepared}
        run("prepare", dataset="folder", options=options, part=part, **places)
        run("misalign", prepared=prepared, misalignment=level, part=part, seed=4, out=moved)
    run("view", data=out / "shifted/train", labels=out / "splits/f020-d1.json", out=out / "view")
    return out


def test_label_subsets_are_nested_and_cover_the_training_cases(done):
    split = read_json(done / "split.json")
    subsets = {p.stem: read_json(p) for p in (done / "splits").glob("*.json")}
    assert sorted(subsets) == ["f020-d0", "f020-d1", "f100-d0", "f100-d1"]
    for one in subsets.values():
        assert sorted(one["labelled"] + one["unlabelled"]) == split["train"]
    assert len(subsets["f020-d0"]["labelled"]) == 1


def test_repairs_are_written_beside_the_prepared_part_and_counted(done, capsys, tmp_path):
    split = read_json(done / "split.json")
    for part in ("train", "test"):
        assert read_json(done / "prepared" / part / "repairs.json") == {}
    scans = write_scans(tmp_path)
    label = nib.load(tmp_path / "0_CT_l.nii.gz")
    nib.save(nib.Nifti1Image(label.get_fdata(), label.affine), tmp_path / "0_CT_l.nii.gz")
    side = next(part for part in ("train", "test") if "p0" in split[part])
    out = tmp_path / "data" / "liver" / "prepared" / side
    places = {"split": done / "split.json", "raw": tmp_path / "raw", "out": out}
    run("prepare", dataset="folder", options=json.dumps(scans), part=side, **places)
    what = "label map: stored as floats, read as integers"
    assert read_json(out / "repairs.json") == {"p0": [{"modality": "CT", "what": what, "detail": ""}]}
    lines = capsys.readouterr().out.splitlines()
    assert f"p0: CT: {what}" in lines
    assert len(lines) == len(split[side])
    assert sum(line.endswith("nothing repaired") for line in lines) == len(lines) - 1
    assert count_repairs(tmp_path) == {("liver", what): 1}


def test_view_loads_and_holds_one_mask(done):
    view = load_train_view(done / "view")
    assert (len(view.labelled), len(view.unlabelled)) == (1, 4)
    assert len(list((done / "view").glob("*.label.npy"))) == 1
    assert view.labelled[0].label.shape == view.labelled[0].image.shape == (2, 20, 18, 16)


def test_only_the_moved_modality_is_written_anew(done):
    for case, parameters in read_json(done / "shifted/train/transforms.json").items():
        assert parameters["realised_rms_mm"] == pytest.approx(4, rel=0.01)
        fixed, moved = (done / f"shifted/train/images/{case}__{m}.nii.gz" for m in ("CT", "MR"))
        assert fixed.stat().st_nlink == 2
        assert moved.read_bytes() != (done / f"prepared/train/images/{case}__MR.nii.gz").read_bytes()


def test_test_part_has_no_label_arrays_and_its_truth_moved_too(done):
    assert not list((done / "shifted/test/arrays").glob("*label*"))
    for view in load_test_views(done / "shifted/test", with_truth=True):
        assert (view.truth["CT"].array != view.truth["MR"].array).any()
        assert view.sample.label is None


def test_a_second_run_gives_the_same_bytes(done, tmp_path):
    level = json.dumps({"name": "shifted", "severity": 2})
    run(
        "misalign",
        prepared=done / "prepared/test",
        misalignment=level,
        part="test",
        seed=4,
        out=tmp_path / "again",
    )
    first = {
        p.relative_to(done / "shifted/test"): p.read_bytes() for p in (done / "shifted/test").rglob("*.*")
    }
    second = {p.relative_to(tmp_path / "again"): p.read_bytes() for p in (tmp_path / "again").rglob("*.*")}
    assert first == second


def misaligned(done, folder, part="train", **level):
    values = json.dumps({"name": "s", **level})
    run("misalign", prepared=done / "prepared" / part, misalignment=values, part=part, seed=4, out=folder)
    return read_json(folder / "transforms.json")


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_donor_is_another_case_of_the_same_part(done, tmp_path, part):
    drawn = misaligned(done, tmp_path / "out", part, family="subject", severity=4)
    ids = set(read_json(done / "split.json")[part])
    assert set(drawn) == {parameters["donor"] for parameters in drawn.values()} == ids
    for case, parameters in drawn.items():
        assert parameters["donor"] != case
        assert parameters["swapped_fraction"] == 1
        now = tmp_path / f"out/images/{case}__MR.nii.gz"
        assert (
            now.read_bytes()
            == (done / f"prepared/{part}/images/{parameters['donor']}__MR.nii.gz").read_bytes()
        )


def test_a_changed_grid_reaches_the_test_views_and_the_truth(done, tmp_path):
    drawn = misaligned(done, tmp_path / "out", "test", family="fov", covered_fraction=0.5)
    for view in load_test_views(tmp_path / "out", with_truth=True):
        assert drawn[view.sample.case]["covered_fraction"] == 0.5
        assert view.native["MR"].shape == view.truth["MR"].array.shape == (20, 18, 8)
        assert view.native["CT"].shape == view.sample.image.shape[1:] == (20, 18, 16)


@pytest.mark.parametrize("family", ["elastic", "respiratory", "composite"])
def test_the_shift_of_the_scores_is_the_measured_one(done, tmp_path, family):
    drawn = misaligned(done, tmp_path / "out", "test", family=family, rms_mm=5)
    shifts = {case.id: case.shift_mm for case in read_test_cases(tmp_path / "out")[1]}
    assert shifts == {case: parameters["realised_rms_mm"] for case, parameters in drawn.items()}
    assert all(shift == pytest.approx(5, rel=0.05) for shift in shifts.values())


def test_a_user_error_is_one_paragraph_and_exit_code_2(done, tmp_path):
    command = [
        sys.executable,
        SCRIPTS / "split.py",
        "--cases",
        done / "cases.json",
        "--split",
        '{"test": 99}',
    ]
    rest = ["--fractions", "1.0", "--out-dir", tmp_path, "--out", tmp_path / "s.json"]
    result = subprocess.run([*command, *rest], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "test 99" in result.stderr
    with pytest.raises(ConfigError):
        run("index", dataset="folder", options="{}", out=tmp_path / "cases.json")
