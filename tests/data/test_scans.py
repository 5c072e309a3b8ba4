"""Real downloads, by their file names: small trees stand for them here."""

import numpy as np
import pytest

from parallax.case import Pairing, Volume
from parallax.data import layouts
from parallax.errors import ConfigError, DataError, GeometryError
from parallax.plugin import load_dataset

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
SHAPE = (6, 5, 4)


def _scan(files, values=(0,), affine=AFFINE, label=True):
    raw = np.resize(np.array(values, dtype=np.int16), SHAPE)
    image = Volume(np.arange(raw.size, dtype=np.int16).reshape(SHAPE), AFFINE)
    layouts.write_scan(files, image, Volume(raw, affine))
    if not label:
        files[1].unlink()


@pytest.fixture
def mmwhs(tmp_path):
    for number in (1001, 1002):
        _scan(layouts.mmwhs_files(tmp_path, "CT", number), (0, 205, 420, 421, 500, 550, 600, 820, 850))
        _scan(layouts.mmwhs_files(tmp_path, "MR", number), (0, 420, 500))
    test = tmp_path / "mr_test" / "mr_test_2001_image.nii.gz"
    _scan((test, test.with_name("mr_test_2001_label.nii.gz")), label=False)
    return tmp_path


@pytest.fixture
def amos(tmp_path):
    for number in (1, 507):
        _scan(layouts.amos_files(tmp_path, number), range(16))
    return tmp_path


def test_mmwhs_is_read_as_it_unpacks(mmwhs):
    dataset = load_dataset("mmwhs", {"root": mmwhs})
    assert dataset.case_ids() == ["ct_1001", "ct_1002", "mr_1001", "mr_1002"]
    assert dataset.strata()["mr_1001"] == "MR"
    assert dataset.task.pairing is Pairing.UNPAIRED
    dataset.check()
    case = dataset.read("ct_1001", mmwhs)
    assert sorted(np.unique(case.labels["CT"].array)) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert list(case.images) == ["CT"]


def test_four_structures_leave_the_rest_to_background(mmwhs):
    dataset = load_dataset("mmwhs", {"root": mmwhs, "protocol": "four", "largest_component": False})
    assert dataset.task.structures == ("myocardium", "left_atrium", "left_ventricle", "ascending_aorta")
    label = dataset.read("ct_1001", mmwhs).labels["CT"].array.ravel()
    # file values 0, 205, 420, 421, 500, 550, 600, 820, 850
    assert label[:9].tolist() == [0, 1, 2, 2, 3, 0, 0, 4, 0]


def test_stray_pieces_at_the_border_are_dropped_and_named(mmwhs):
    raw = np.zeros((8, 8, 8), np.int16)
    raw[2:5, 2:5, 2:5] = 500
    raw[2:4, 5:7, 2:5] = 600
    raw[:, 0, 0] = 500  # a stray edge of 8 voxels, and one voxel that touches the heart at a corner
    raw[5, 5, 5] = 500
    image, files = Volume(raw, AFFINE), layouts.mmwhs_files(mmwhs, "MR", 1002)
    layouts.write_scan(files, image, Volume(raw, AFFINE))
    case = load_dataset("mmwhs", {"root": mmwhs}).read("mr_1002", mmwhs)
    (repair,) = case.repairs
    assert repair.what == "label map: all but the largest connected component dropped"
    assert repair.detail == "left_ventricle: 1 pieces, 8 voxels, 0.096 mL"
    label = case.labels["MR"].array
    assert np.count_nonzero(label == 3) == 28
    assert np.count_nonzero(label == 5) == 12
    whole = load_dataset("mmwhs", {"root": mmwhs, "largest_component": False}).read("mr_1002", mmwhs)
    assert np.count_nonzero(whole.labels["MR"].array == 3) == 36
    assert whole.repairs == ()


def test_names_of_whs_plus_plus_take_the_modality_from_a_folder(tmp_path):
    for folder, name in (("CT", "Case1001"), ("MR", "Case2001")):
        image = tmp_path / "train" / folder / f"{name}_image.nii.gz"
        _scan((image, image.with_name(f"{name}_label.nii.gz")), (0, 500))
    _scan(
        [tmp_path / f"Case9_{kind}.nii.gz" for kind in ("image", "label")], (0, 500)
    )  # of no known modality
    dataset = load_dataset("mmwhs", {"root": tmp_path})
    assert dataset.case_ids() == ["ct_Case1001", "mr_Case2001"]
    assert dataset.expected() == {}


def test_scans_without_labels_join_only_when_asked_for(mmwhs):
    dataset = load_dataset("mmwhs", {"root": mmwhs, "unlabelled": True})
    assert dataset.unlabelled_ids() == ["mr_2001"]
    assert "mr_2001" in dataset.case_ids()


def test_amos_tells_ct_from_mr_by_number(amos):
    dataset = load_dataset("amos", {"root": amos})
    assert dataset.strata() == {"amos_0001": "CT", "amos_0507": "MR"}
    assert dataset.task.n_classes == 16
    thirteen = load_dataset("amos", {"root": amos, "protocol": "organs13"})
    assert sorted(np.unique(thirteen.read("amos_0507", amos).labels["MR"].array)) == list(range(14))


def test_each_scan_of_the_cmc_set_is_a_case_of_its_own(tmp_path):
    for part, number in (("train", "0001"), ("val", "00049"), ("test", "0057")):
        for kind in ("CT", "MRI"):
            image = tmp_path / f"{part}_data" / "images" / f"amos_{number}_{kind}.nii.gz"
            _scan((image, tmp_path / f"{part}_data" / "masks" / f"amos_{number}_{kind}_gt.nii.gz"), range(14))
    dataset = load_dataset("amos", {"root": tmp_path, "protocol": "organs4"})
    dataset.check()
    assert dataset.task.pairing is Pairing.UNPAIRED  # the two scans of a number are of different patients
    assert dataset.strata()["amos_0001_CT"] == "CT"
    assert dataset.strata()["amos_00049_MRI"] == "MR"
    assert len(dataset.case_ids()) == 6
    case = dataset.read("amos_0057_MRI", tmp_path)
    assert np.unique(case.labels["MR"].array).tolist() == [0, 1, 2, 3, 4]
    assert dataset.expected() == {"CT": 60, "MR": 60}


def test_a_number_of_an_unlabelled_release_is_refused(amos):
    _scan(layouts.amos_files(amos, 5514), (1,))
    with pytest.raises(DataError, match="amos_5514"):
        load_dataset("amos", {"root": amos}).case_ids()


def test_a_label_map_on_another_grid_is_found_before_a_job_starts(amos):
    files = layouts.amos_files(amos, 2)
    _scan(files, affine=np.diag([1.0, 2.0, 3.0, 1.0]))
    with pytest.raises(GeometryError, match="amos_0002"):
        load_dataset("amos", {"root": amos}).check()


def test_an_unknown_label_value_names_its_case_and_file(mmwhs):
    _scan(layouts.mmwhs_files(mmwhs, "CT", 1003), (0, 77))
    dataset = load_dataset("mmwhs", {"root": mmwhs})
    for use in (dataset.check, lambda: dataset.read("ct_1003", mmwhs)):
        with pytest.raises(DataError, match=r"case ct_1003, CT.*ct_train_1003_label.*77 \("):
            use()


def test_a_folder_without_labelled_scans_says_what_to_point_at(tmp_path):
    with pytest.raises(DataError, match="Zenodo record 7262581"):
        load_dataset("amos", {"root": tmp_path}).case_ids()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"options\.root.*Found: none"),
        ({"root": "nowhere"}, "a folder that exists"),
        ({"root": ".", "protocol": "nine"}, "one of seven, four"),
        ({"root": ".", "protocoll": "seven"}, "did you mean 'protocol'"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        load_dataset("mmwhs", options)
