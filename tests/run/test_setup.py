"""Whatever can be wrong with data is found before the first job: file, case, expected, found, remedy."""

import nibabel as nib
import numpy as np
import pytest

from parallax.errors import ConfigError, DataError
from parallax.run.setup import make_setup

SIZE = (12, 10, 8)


def _write(path, array, shift_mm=0.0):
    affine = np.eye(4)
    affine[0, 3] = shift_mm
    nib.save(nib.Nifti1Image(array, affine), path)


@pytest.fixture
def scans(tmp_path):
    """Four cases with CT and label."""
    label = np.zeros(SIZE, np.uint8)
    label[3:8, 3:7, 2:6] = 1
    rows = ["case,CT,CT_label"]
    for i in range(4):
        _write(tmp_path / f"c{i}.nii.gz", np.random.default_rng(i).normal(size=SIZE).astype(np.float32))
        _write(tmp_path / f"c{i}_label.nii.gz", label)
        rows.append(f"c{i},c{i}.nii.gz,c{i}_label.nii.gz")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def _given(scans, **changes):
    options = {
        "root": str(scans),
        "manifest": "cases.csv",
        "modalities": {"CT": {"kind": "ct"}},
        "classes": {"ball": 1},
        "pairing": "registered",
        "spacing_mm": [1.0, 1.0, 1.0],
    }
    base = {
        "run": "mine",
        "datasets": {"mine": {"plugin": "folder", "options": options, "split": {"train": 2, "test": 2}}},
        "methods": ["oracle", "early_fusion"],
        "conditions": [{"labels": [1.0]}],
        "budget": {"steps": 1},
    }
    return base | changes


def test_good_data_gives_a_plan_and_says_what_is_skipped(scans):
    setup = make_setup(_given(scans))
    assert [run.method for run in setup.plan.runs] == ["oracle"]
    assert setup.skipped()[0]["reason"] == "needs 2 modalities, mine has 1"


def test_an_annotation_that_fits_no_dataset_is_refused(scans):
    condition = {"labels": [1.0], "annotation": ["mr_only"]}
    given = _given(scans, conditions=[condition], annotations={"mr_only": {"modalities": ["MR"]}})
    with pytest.raises(ConfigError, match=r"fits none.*mine has no modality MR to label"):
        make_setup(given)


def test_a_written_split_is_read_and_a_patient_on_two_sides_is_found_before_any_job(scans):
    given = _given(scans)
    lines = ["case,patient,part", "c0,,train", "c1,p,train", "c2,,test"]
    (scans / "split.csv").write_text("\n".join(lines) + "\n")
    given["datasets"]["mine"]["split"] = {"list": str(scans / "split.csv")}
    setup = make_setup(given)
    assert setup.split("mine")["train"] == ["c0", "c1"]
    assert setup.split("mine")["seed"] == 0
    (scans / "split.csv").write_text("\n".join([*lines, "c3,p,test"]) + "\n")
    with pytest.raises(ConfigError, match=r"datasets\.mine.*patient p on 2: train c1; test c3"):
        make_setup(given)


def test_missing_folder(scans):
    given = _given(scans)
    given["datasets"]["mine"]["options"]["root"] = str(scans / "nowhere")
    with pytest.raises((DataError, ConfigError), match="nowhere"):
        make_setup(given)


def test_row_whose_file_is_absent(scans):
    (scans / "c2.nii.gz").unlink()
    with pytest.raises(DataError, match=r"c2"):
        make_setup(_given(scans))


def test_image_and_label_on_different_grids(scans):
    label = np.zeros(SIZE, np.uint8)
    label[4, 4, 4] = 1
    _write(scans / "c1_label.nii.gz", label, shift_mm=5.0)
    with pytest.raises(DataError, match=r"c1"):
        make_setup(_given(scans))


def test_label_value_outside_the_task(scans):
    label = np.full(SIZE, 7, np.uint8)
    _write(scans / "c3_label.nii.gz", label)
    with pytest.raises(DataError, match=r"c3.*7"):
        make_setup(_given(scans))


def test_fraction_that_leaves_no_labelled_case(scans):
    with pytest.raises(ConfigError, match="leaves no labelled case"):
        make_setup(_given(scans, conditions=[{"labels": [0.1]}]))


def test_split_that_asks_for_too_many_cases(scans):
    given = _given(scans)
    given["datasets"]["mine"]["split"] = {"train": 3, "test": 2}
    with pytest.raises(ConfigError, match=r"datasets\.mine, split.*at most 4 cases"):
        make_setup(given)


def test_few_labelled_cases_are_counted_not_all_cases(scans):
    manifest = (scans / "cases.csv").read_text().splitlines()
    bare = [line.rsplit(",", 1)[0] + "," if i > 1 else line for i, line in enumerate(manifest)]
    (scans / "cases.csv").write_text("\n".join(bare) + "\n")
    with pytest.raises(ConfigError, match=r"datasets\.mine, split.*with labels"):
        make_setup(_given(scans))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"misalignments": {"far": {"severity": 9}}}, "severity"),
        ({"misalignments": {"far": {}}}, "one of severity"),
        ({"misalignments": {"far": {"severity": 1, "rms_mm": 2.0}}}, "one of severity"),
        (
            {"misalignments": {"far": {"family": "shear", "severity": 1}}},
            r"misalignments\.far\.family.*'elastic'",
        ),
        ({"misalignments": {"far": {"family": "fov", "rms_mm": 2.0}}}, "one of severity, covered_fraction"),
        ({"misalignments": {"far": {"rms_mm": 2.0, "knot_mm": 20}}}, "family rigid"),
    ],
)
def test_levels_are_read_before_a_job_starts(scans, change, message):
    conditions = [{"labels": [1.0], "misalignment": ["far"]}]
    with pytest.raises(ConfigError, match=message):
        make_setup(_given(scans, conditions=conditions, **change))


def test_a_case_on_both_sides_is_refused(scans):
    given = _given(scans)
    given["datasets"]["mine"]["split"] = {"train": ["c1", "c2"], "test": ["c2"]}
    with pytest.raises(ConfigError, match="both: c2"):
        make_setup(given)


def test_a_changed_scan_or_list_changes_the_digest(scans):
    first = make_setup(_given(scans)).scans_digest("mine")
    assert make_setup(_given(scans)).scans_digest("mine") == first
    _write(scans / "c0.nii.gz", np.zeros(SIZE, np.float32))
    second = make_setup(_given(scans)).scans_digest("mine")
    (scans / "cases.csv").write_text((scans / "cases.csv").read_text() + "c9,c1.nii.gz,c1_label.nii.gz\n")
    assert len({first, second, make_setup(_given(scans)).scans_digest("mine")}) == 3
