import numpy as np
import pytest
from scan_trees import SHAPE, blocks, ramp, write

from parallax.case import Pairing
from parallax.errors import DataError
from parallax.plugin import load_dataset

PARTS = ("t1", "t1ce", "t2", "flair")


def write_case(folder, ending=".nii.gz", seg=True):
    name = folder.name
    for offset, part in enumerate(PARTS):
        write(folder / f"{name}_{part}{ending}", ramp() + offset)
    if seg:
        write(folder / f"{name}_seg{ending}", blocks((1, 2, 4)))


def write_msd(root):
    channels = np.stack([np.full(SHAPE, k, np.int16) for k in range(4)], axis=-1)
    write(root / "imagesTr" / "BRATS_001.nii.gz", channels + ramp()[..., None] % 2 * 10)
    write(root / "labelsTr" / "BRATS_001.nii.gz", blocks((1, 2, 3)))
    write(root / "imagesTs" / "BRATS_485.nii.gz", channels)


def load(root, **options):
    return load_dataset("brats", {"root": root} | options)


@pytest.mark.parametrize(
    ("folder", "ending"),
    [
        ("HGG/Brats18_2013_10_1", ".nii.gz"),
        ("LGG/BraTS19_TCIA10_103_1", ".nii.gz"),
        ("BraTS20_Training_001", ".nii"),
        ("BraTS2021_00000", ".nii.gz"),
    ],
)
def test_every_release_is_one_case_with_four_contrasts(tmp_path, folder, ending):
    write_case(tmp_path / folder, ending)
    dataset = load(tmp_path)
    dataset.check()
    name = folder.split("/")[-1]
    assert dataset.case_ids() == [name]
    assert dataset.task.pairing is Pairing.REGISTERED
    case = dataset.read(name, tmp_path)
    assert {m: int(v.array[0, 0, 0]) for m, v in case.images.items()} == {
        "FLAIR": 3,
        "T1": 0,
        "T1c": 1,
        "T2": 2,
    }
    assert np.unique(case.labels["T2"].array).tolist() == [0, 1, 2, 3]


def test_four_is_enhancing_tumour(tmp_path):
    write_case(tmp_path / "BraTS2021_00000")
    label = load(tmp_path).read("BraTS2021_00000", tmp_path).labels["T1"].array
    assert label[:3, 0, 0].tolist() == [1, 2, 3]  # file values 1, 2, 4
    assert load(tmp_path).task.structures == ("necrotic_core", "edema", "enhancing_tumour")


@pytest.mark.parametrize(
    ("protocol", "ids"),
    [("whole_tumour", [1, 1, 1]), ("tumour_core", [1, 0, 1]), ("enhancing_tumour", [0, 0, 1])],
)
def test_regions_join_tissues(tmp_path, protocol, ids):
    write_case(tmp_path / "BraTS2021_00000")
    label = load(tmp_path, protocol=protocol).read("BraTS2021_00000", tmp_path).labels["T1"].array
    assert label[:3, 0, 0].tolist() == ids


def test_decathlon_has_its_own_order_of_channels_and_values(tmp_path):
    write_msd(tmp_path / "Task01_BrainTumour")
    dataset = load(tmp_path / "Task01_BrainTumour")
    dataset.check()
    case = dataset.read("BRATS_001", tmp_path)
    assert {m: int(v.array.min()) for m, v in case.images.items()} == {"FLAIR": 0, "T1": 1, "T1c": 2, "T2": 3}
    assert case.labels["T1"].array[:3, 0, 0].tolist() == [2, 1, 3]  # 1 is edema, 2 the core
    assert load(tmp_path / "Task01_BrainTumour", unlabelled=True).unlabelled_ids() == ["BRATS_485"]


def test_case_355_has_a_stray_name(tmp_path):
    folder = tmp_path / "BraTS20_Training_355"
    write_case(folder, ".nii")
    (folder / "BraTS20_Training_355_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")
    assert load(tmp_path).unlabelled_ids() == []


def test_an_image_of_the_decathlon_without_channels_is_refused(tmp_path):
    write_msd(tmp_path)
    write(tmp_path / "imagesTr" / "BRATS_001.nii.gz", ramp())
    with pytest.raises(DataError, match=r"case BRATS_001.*at least 1 channels.*\(6, 5, 4\)"):
        load(tmp_path).check()


def test_two_releases_in_one_folder_are_refused(tmp_path):
    write_msd(tmp_path / "a")
    write_case(tmp_path / "b" / "BraTS2021_00000")
    with pytest.raises(DataError, match="Two releases"):
        load(tmp_path).case_ids()


def test_one_case_in_two_folders_is_refused(tmp_path):
    write_case(tmp_path / "a" / "BraTS2021_00000")
    write_case(tmp_path / "b" / "BraTS2021_00000")
    with pytest.raises(DataError, match=r"found twice.*case BraTS2021_00000"):
        load(tmp_path).case_ids()


def test_value_three_is_unknown_in_brats(tmp_path):
    write_case(tmp_path / "BraTS2021_00000")
    write(tmp_path / "BraTS2021_00000" / "BraTS2021_00000_seg.nii.gz", blocks((1, 2, 3)))
    with pytest.raises(DataError, match=r"BraTS2021_00000_seg.*3 \("):
        load(tmp_path).check()
