import numpy as np
import pytest
from scan_trees import blocks, ramp, write

from parallax.errors import DataError
from parallax.plugin import load_dataset


def write_session(root, patient, session=None):
    ids = [patient, *([session] if session else [])]
    for suffix in ("T1w", "ce-gd_T1w", "T2w"):
        anat = root.joinpath(*ids, "anat")
        name = "_".join([*ids, suffix])
        write(anat / f"{name}.nii.gz", ramp())
        label = root / "derivatives" / "labels" / anat.relative_to(root) / f"{name}_dseg.nii.gz"
        write(label, blocks(range(1, 8)))


def load(root, **options):
    return load_dataset("orbit", {"root": root} | options)


@pytest.fixture
def root(tmp_path):
    write_session(tmp_path, "sub-001")
    write_session(tmp_path, "sub-002", "ses-01")
    write_session(tmp_path, "sub-002", "ses-02")
    return tmp_path


def test_sessions_are_cases_of_one_patient(root):
    dataset = load(root)
    dataset.check()
    assert dataset.case_ids() == ["sub-001", "sub-002_ses-01", "sub-002_ses-02"]
    assert dataset.patients()["sub-002_ses-01"] == dataset.patients()["sub-002_ses-02"] == "sub-002"
    case = dataset.read("sub-002_ses-01", root)
    assert set(case.labels) == {"T1", "T1c", "T2"}
    assert np.unique(case.labels["T1c"].array).tolist() == list(range(8))


def test_images_under_derivatives_are_no_scans(root):
    write(root / "derivatives" / "tool" / "sub-001" / "anat" / "sub-001_T1w.nii.gz", ramp())
    assert len(load(root).scans) == 9


def test_muscles_alone(root):
    label = load(root, protocol="muscles").read("sub-001", root).labels["T1"].array
    assert np.unique(label).tolist() == [0, 1, 2, 3, 4]


def test_the_orbit_phantom_lies_in_this_layout(tmp_path):
    phantom = load_dataset("phantom_orbit", {"cases": 1, "seed": 1, "size": "small"})
    phantom.stage(phantom.case_ids(), tmp_path)
    dataset = load(tmp_path)
    dataset.check()
    ours, theirs = dataset.read("sub-001", tmp_path), phantom.read("orbit001", tmp_path)
    for name in ("T1", "T1c", "T2"):
        np.testing.assert_array_equal(ours.labels[name].array, theirs.labels[name].array)


def test_a_second_contrast_image_is_refused(root):
    write(root / "sub-001" / "anat" / "sub-001_ce-dotarem_T1w.nii.gz", ramp())
    with pytest.raises(DataError, match=r"found twice.*sub-001, T1c"):
        load(root).case_ids()


def test_a_label_map_on_another_grid_names_the_case(root):
    label = root / "derivatives/labels/sub-001/anat/sub-001_T2w_dseg.nii.gz"
    write(label, blocks([1], (6, 5, 3)))
    with pytest.raises(DataError, match="case sub-001, T2"):
        load(root).check()
