"""Names, label values and axes of the data set layouts."""

import numpy as np
import pytest

from parallax.case import Volume
from parallax.data import layouts
from parallax.errors import DataError, GeometryError

AFFINE = np.array([[2.0, 0, 0, -5], [0, 3.0, 0, 7], [0, 0, 4.0, 1], [0, 0, 0, 1]])


def _volume(dtype=np.int16, affine=AFFINE):
    return Volume(np.arange(24, dtype=dtype).reshape(2, 3, 4), affine)


def test_file_names(tmp_path):
    def names(files):
        return [f.relative_to(tmp_path).as_posix() for f in files]

    assert names(layouts.mmwhs_files(tmp_path, "CT", 1001)) == [
        "ct_train/ct_train_1001_image.nii.gz",
        "ct_train/ct_train_1001_label.nii.gz",
    ]
    assert names(layouts.amos_files(tmp_path, 7)) == [
        "imagesTr/amos_0007.nii.gz",
        "labelsTr/amos_0007.nii.gz",
    ]
    assert names(layouts.orbit_files(tmp_path, "001", "T1c")) == [
        "sub-001/anat/sub-001_ce-gadolinium_T1w.nii.gz",
        "derivatives/labels/sub-001/anat/sub-001_ce-gadolinium_T1w_dseg.nii.gz",
    ]


def test_mmwhs_values_and_the_stray_left_atrium(tmp_path):
    values = layouts.mmwhs_values()
    classes = {name: i for i, name in enumerate(values.structures, start=1)}
    raw = np.array([0, 205, 420, 421, 500, 550, 600, 820, 850, 0, 0, 0], dtype=np.int16).reshape(2, 2, 3)
    files = layouts.mmwhs_files(tmp_path, "MR", 1002)
    layouts.write_scan(files, Volume(raw, AFFINE), Volume(raw, AFFINE))
    label = layouts.read_scan(*files, values, classes).label
    assert label.array.ravel().tolist() == [0, 1, 2, 2, 3, 4, 5, 6, 7, 0, 0, 0]
    assert label.array.dtype == np.uint8


def test_unknown_value_is_an_error(tmp_path):
    files = layouts.mmwhs_files(tmp_path, "CT", 1001)
    layouts.write_scan(files, _volume(), Volume(np.full((2, 3, 4), 7, np.int16), AFFINE))
    with pytest.raises(DataError, match="7"):
        layouts.read_scan(*files, layouts.mmwhs_values(), {})


def test_organs_outside_the_task_become_background():
    table = layouts.amos_values().to_ids({"spleen": 1, "liver": 2})
    assert (table[1], table[6], table[4], table[15]) == (1, 2, 0, 0)


@pytest.mark.parametrize(("number", "modality"), [(1, "CT"), (410, "CT"), (507, "MR"), (600, "MR")])
def test_amos_modality(number, modality):
    assert layouts.amos_modality(number) == modality


@pytest.mark.parametrize("number", [0, 500, 601, 5514])
def test_amos_numbers_without_a_modality(number):
    with pytest.raises(DataError):
        layouts.amos_modality(number)


@pytest.mark.parametrize("codes", ["LAS", "RAS", "LSA", "PIR"])
def test_reordered_axes_keep_world_positions(codes):
    import nibabel

    before, after = _volume(), layouts.reorder_axes(_volume(), codes)
    assert "".join(nibabel.aff2axcodes(after.affine)) == codes
    for value in (0, 5, 23):
        places = [v.affine @ [*np.argwhere(v.array == value)[0], 1] for v in (before, after)]
        assert np.array_equal(*places)
    back = layouts.reorder_axes(after, "RAS")
    assert np.array_equal(back.array, before.array)
    assert np.array_equal(back.affine, before.affine)


def test_scan_round_trip_and_absent_label(tmp_path):
    files = layouts.amos_files(tmp_path, 3)
    label = Volume((np.arange(24) % 16).astype(np.uint8).reshape(2, 3, 4), AFFINE)
    layouts.write_scan(files, _volume(), label)
    values = layouts.amos_values()
    scan = layouts.read_scan(*files, values, values.structures)
    assert np.array_equal(scan.image.array, _volume().array)
    assert np.array_equal(scan.label.array, label.array)
    assert np.array_equal(scan.label.affine, AFFINE)
    files[1].unlink()
    assert layouts.read_scan(*files, values, values.structures).label is None


def test_image_and_label_on_different_grids_are_refused(tmp_path):
    files = layouts.amos_files(tmp_path, 3)
    moved = AFFINE.copy()
    moved[0, 3] += 1
    layouts.write_scan(files, _volume(), Volume(np.zeros((2, 3, 4), np.uint8), moved))
    with pytest.raises(GeometryError, match="amos_0003"):
        layouts.read_scan(*files, layouts.amos_values(), {})


def test_pairs_round_trip(tmp_path):
    rows = {"a1": {"CT": "amos_0001", "MR": "amos_0501"}, "a2": {"CT": "amos_0002", "MR": "amos_0502"}}
    layouts.write_pairs(rows, tmp_path / "pairs.csv")
    assert layouts.read_pairs(tmp_path / "pairs.csv") == rows
    with pytest.raises(DataError, match="elsewhere"):
        layouts.read_pairs(tmp_path / "elsewhere.csv")
