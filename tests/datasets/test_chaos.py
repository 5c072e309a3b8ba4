"""CHAOS as it unpacks: DICOM slices written by SimpleITK, label maps by Pillow."""

import numpy as np
import pytest
from PIL import Image
from scan_trees import N, what, write_greys, write_series

from parallax.case import Pairing
from parallax.errors import DataError, GeometryError
from parallax.plugin import load_dataset

GREYS = (63, 126, 189, 252)


@pytest.fixture
def root(tmp_path):
    mr = tmp_path / "Train_Sets" / "MR" / "2"
    write_series(mr / "T1DUAL" / "DICOM_anon" / "InPhase")
    write_series(mr / "T1DUAL" / "DICOM_anon" / "OutPhase")
    write_greys(mr / "T1DUAL" / "Ground", GREYS)
    write_series(mr / "T2SPIR" / "DICOM_anon")
    write_greys(mr / "T2SPIR" / "Ground", (60, 110, 200, 240))
    ct = tmp_path / "Train_Sets" / "CT" / "1"
    write_series(ct / "DICOM_anon", "CT")
    write_greys(ct / "Ground", (255, 255, 0, 0))
    write_series(tmp_path / "Test_Sets" / "CT" / "3" / "DICOM_anon", "CT")
    return tmp_path


def load(root, **options):
    return load_dataset("chaos", {"root": root} | options)


def test_png_k_goes_with_dicom_k_though_z_falls(root):
    dataset = load(root)
    dataset.check()
    assert dataset.task.pairing is Pairing.SAME_SUBJECT
    case = dataset.read("mr_2", root)
    assert list(case.images) == ["T1in", "T1out", "T2"]
    for name, label in case.labels.items():
        image = case.images[name]
        for k in range(N):  # organ k + 1 lies in the slice of value 10 k
            inside = image.array[label.array == k + 1]
            assert set((inside // 10).tolist()) == {k}
        assert image.affine[2] @ [0, 0, 0, 1] == 100.0
        assert image.affine[2] @ [0, 0, N - 1, 1] == 94.0


def test_spacing_comes_from_positions_and_rows_run_along_y(root):
    image = load(root).read("mr_2", root).images["T2"]
    assert image.spacing_mm == pytest.approx((1.5, 2.0, 2.0))  # SliceThickness says 3.2
    assert image.array.shape == (6, 5, N)
    assert image.array[3, 0, 1] == 13  # the column index was added to each row
    np.testing.assert_allclose(image.affine[:2, 3], [10.0, 20.0])  # DICOM is LPS


def test_ct_has_the_liver_alone_in_255_or_one_bit(root):
    bit = root / "Train_Sets" / "CT" / "2"
    write_series(bit / "DICOM_anon", "CT")
    (bit / "Ground").mkdir()
    for k in range(N):
        Image.fromarray(np.eye(5, 6) > 0).convert("1").save(bit / "Ground" / f"liver_GT_{k:03d}.png")
    dataset = load(root, protocol="ct_liver", unlabelled=True)
    assert dataset.case_ids() == ["ct_1", "ct_2", "ct_3"]
    assert dataset.unlabelled_ids() == ["ct_3"]
    assert np.count_nonzero(dataset.read("ct_1", root).labels["CT"].array) == 12
    assert np.count_nonzero(dataset.read("ct_2", root).labels["CT"].array) == 5 * N


def test_ct_and_t2_of_different_patients(root):
    dataset = load(root, protocol="ct_t2_liver")
    assert dataset.task.pairing is Pairing.UNPAIRED
    assert dataset.strata() == {"ct_1": "CT", "mr_2": "T2"}
    assert np.unique(dataset.read("mr_2", root).labels["T2"].array).tolist() == [0, 1]


def test_greys_of_an_older_release_are_told_by_their_set(root):
    write_greys(root / "Train_Sets/MR/2/T2SPIR/Ground", (80, 160, 240, 255))
    case = load(root).read("mr_2", root)
    label = case.labels["T2"].array
    assert [int(label[3, 1, k]) for k in range(N)] == [1, 2, 3, 4]
    assert "T2: label map: greys 80, 160, 240, 255 of an older release" in what(case)


@pytest.mark.parametrize(
    ("greys", "message"),
    [((63, 126, 189, 90), r"case mr_2, T2.*90 \(6 voxels\)"), ((0, 0, 240, 255), "read in two ways")],
)
def test_greys_of_no_release_are_refused(root, greys, message):
    write_greys(root / "Train_Sets/MR/2/T2SPIR/Ground", greys)
    with pytest.raises(DataError, match=message):
        load(root).check()


def test_instance_numbers_that_contradict_the_names_are_counted(root):
    folder = root / "Train_Sets" / "CT" / "9"
    write_series(folder / "DICOM_anon", "CT", instances=(4, 3, 2, 1))
    write_greys(folder / "Ground", (255, 255, 0, 0))
    case = load(root, protocol="ct_liver").read("ct_9", root)
    assert "CT: image: instance numbers do not rise with file names, file names are used" in what(case)


def test_a_missing_slice_is_found(root):
    folder = root / "Train_Sets/MR/2/T2SPIR"
    (folder / "DICOM_anon" / "IMG-0004-00002.dcm").unlink()
    with pytest.raises(GeometryError, match=r"T2SPIR.*even steps.*off by up to 1"):
        load(root).check()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Ground/IMG-0004-00004.png", None, "4 PNG files, one per DICOM slice. Found: 3"),
        ("Ground/IMG-0004-00004.png", b"no picture", "IMG-0004-00004.png.*can be read"),
        ("DICOM_anon/IMG-0004-00003.dcm", b"no slice", "IMG-0004-00003.dcm.*can be read"),
    ],
)
def test_a_broken_stack_names_its_file(root, name, content, message):
    path = root / "Train_Sets/MR/2/T2SPIR" / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(root).check()


def test_every_slice_is_an_input(root):
    names = [path.name for path in load(root, protocol="ct_liver").inputs()]
    assert len(names) == 2 * N
