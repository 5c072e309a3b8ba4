import numpy as np
import pytest
from scan_trees import SHAPE, blocks, ramp, what, write

from parallax.case import Pairing
from parallax.errors import DataError
from parallax.plugin import load_dataset

VALUES = (200, 500, 600)


def first_release(root):
    """Patient 1 with all label maps, patient 6 without that of LGE (it came in the second archive)."""
    for number in (1, 6):
        for part, folder in (("C0", "c0gt"), ("T2", "t2gt"), ("LGE", "lgegt")):
            shape = (*SHAPE[:2], SHAPE[2] + len(part))  # sequences share no grid
            write(root / "c0t2lge" / f"patient{number}_{part}.nii.gz", ramp(shape))
            if number == 1 or part != "LGE":
                name = f"patient{number}_{part}_manual.nii.gz"
                write(root / folder / name, blocks(VALUES, shape))
    return root


def load(root, **options):
    return load_dataset("mscmrseg", {"root": root} | options)


def test_first_release_is_one_case_per_patient(tmp_path):
    dataset = load(first_release(tmp_path))
    dataset.check()
    assert dataset.case_ids() == ["patient1", "patient6"]
    assert dataset.task.pairing is Pairing.SAME_SUBJECT
    case = dataset.read("patient6", tmp_path)
    assert list(case.images) == ["LGE", "C0", "T2"]  # an image without label map stays in a labelled case
    assert list(case.labels) == ["C0", "T2"]
    assert np.unique(case.labels["C0"].array).tolist() == [0, 1, 2, 3]
    assert dataset.task.structures == ("myocardium", "left_ventricle", "right_ventricle")


def test_label_maps_of_the_second_archive_are_found_beside_it(tmp_path):
    first_release(tmp_path / "C0LET2_nii45_for_challenge19")
    later = tmp_path / "C0LET2_gt_for_challenge19" / "LGE_manual_35_TestData" / "patient6_LGE_manual.nii.gz"
    write(later, blocks(VALUES, (6, 5, 7)))
    assert "LGE" in load(tmp_path).read("patient6", tmp_path).labels


def test_names_of_the_other_release_mean_the_same(tmp_path):
    for part in ("C0", "T2", "DE"):
        write(tmp_path / "images" / f"subject3_{part}.nii", ramp())
        write(tmp_path / "labels" / f"subject3_{part}_manual.nii", blocks(VALUES))
    case = load(tmp_path).read("patient3", tmp_path)
    assert list(case.labels) == ["LGE", "C0", "T2"]


def test_nan_becomes_zero_and_is_counted(tmp_path):
    first_release(tmp_path)
    image, label = ramp((6, 5, 6)).astype(np.float32), blocks(VALUES, (6, 5, 6)).astype(np.float32)
    image[0, 0, :2], label[5, 4, :3] = np.nan, np.nan
    write(tmp_path / "c0t2lge" / "patient1_C0.nii.gz", image)
    write(tmp_path / "c0gt" / "patient1_C0_manual.nii.gz", label)
    dataset = load(tmp_path)
    dataset.check()
    case = dataset.read("patient1", tmp_path)
    assert case.images["C0"].array[0, 0, 0] == 0
    assert "C0: image: values that are not finite become 0" in what(case)
    assert [r.detail for r in case.repairs if "not finite" in r.what] == ["2 voxels", "3 voxels"]
    assert what(dataset.read("patient6", tmp_path)) == []


def test_values_of_a_copy_with_another_order_are_refused(tmp_path):
    first_release(tmp_path)
    write(tmp_path / "c0gt" / "patient1_C0_manual.nii.gz", blocks((1, 2, 3), (6, 5, 6)))
    with pytest.raises(DataError, match=r"case patient1, C0.*patient1_C0_manual.*1 \("):
        load(tmp_path).check()


def test_one_label_map_in_two_folders_is_refused(tmp_path):
    first_release(tmp_path)
    write(tmp_path / "again" / "patient1_C0_manual.nii.gz", blocks(VALUES, (6, 5, 6)))
    with pytest.raises(DataError, match="found twice"):
        load(tmp_path).case_ids()
