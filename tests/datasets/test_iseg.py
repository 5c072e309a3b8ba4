import nibabel as nib
import pytest
from scan_trees import AFFINE, SHAPE, blocks, ramp, what, write

from parallax.errors import DataError
from parallax.plugin import load_dataset


def write_subject(folder, number, values=(10, 150, 250), kind=nib.AnalyzeImage, affine=AFFINE):
    for part in ("T1", "T2"):
        write(folder / f"subject-{number}-{part}.img", ramp()[..., None], affine, kind)
    if values:
        write(folder / f"subject-{number}-label.img", blocks(values)[..., None], affine, kind)


def load(root, **options):
    return load_dataset("iseg", {"root": root} | options)


@pytest.fixture
def root(tmp_path):
    write_subject(tmp_path / "iSeg-2017-Training", 1)
    write_subject(tmp_path / "iSeg-2017-Training", 10)
    write_subject(tmp_path / "iSeg-2017-Testing", 11, values=())
    return tmp_path


def test_pairs_of_header_and_voxels_are_read(root):
    dataset = load(root)
    dataset.check()
    assert dataset.case_ids() == ["subject-1", "subject-10"]
    assert load(root, unlabelled=True).unlabelled_ids() == ["subject-11"]
    case = dataset.read("subject-1", root)
    assert case.images["T2"].array.shape == SHAPE  # the files have a fourth axis of one
    assert case.labels["T1"].array[:3, 0, 0].tolist() == [1, 2, 3]
    assert "T1: image: Analyze header, which stores no orientation: its convention is used" in what(case)


def test_voxels_beside_the_header_count_as_input(root):
    names = {path.name for path in load(root).inputs()}
    assert {"subject-1-T1.hdr", "subject-1-T1.img", "subject-1-label.img"} <= names


def test_values_one_to_three_are_read_alike_and_counted(root):
    write_subject(root / "iSeg-2017-Training", 10, (1, 2, 3))
    case = load(root).read("subject-10", root)
    assert case.labels["T1"].array[:3, 0, 0].tolist() == [1, 2, 3]
    assert "T1: label map: value 2 is read as 150" in what(case)


def test_nifti_pairs_without_codes_are_placed_by_guess(root):
    write_subject(root / "iSeg-2017-Training", 10, kind=nib.Nifti1Pair, affine=None)
    case = load(root).read("subject-10", root)
    assert "T1: image: neither sform nor qform, position and orientation are a guess" in what(case)


def test_absent_voxels_and_unknown_values_name_the_case(root):
    folder = root / "iSeg-2017-Training"
    write_subject(folder, 10, (10, 150, 77))
    with pytest.raises(DataError, match=r"case subject-10, T1.*77 \("):
        load(root).check()
    (folder / "subject-1-label.img").unlink()
    with pytest.raises(DataError, match="case subject-1, T1"):
        load(root).check()
