import nibabel
import numpy as np
import pytest
import SimpleITK

from parallax.case import Grid, Volume
from parallax.data.volumes import (
    check_same_grid,
    read_grid,
    read_label_map,
    read_volume,
    same_grid,
    write_volume,
)
from parallax.errors import DataError, GeometryError

AFFINE = np.array([[-1.5, 0, 0, 30], [0, 2, 0, -5], [0, 0, 3, 7], [0, 0, 0, 1]], dtype=np.float64)


def write_nifti(path, array, *, sform=1, qform=1, affine=AFFINE):
    image = nibabel.Nifti1Image(array, affine, dtype=array.dtype)
    image.set_sform(affine if sform else None, sform)
    image.set_qform(affine if qform else None, qform)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (0, 1), (2, 1), (0, 2)])
def test_affine_comes_from_sform_else_qform(tmp_path, sform, qform):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((3, 4, 5), np.int16), sform=sform, qform=qform)
    np.testing.assert_allclose(read_volume(path).affine, AFFINE, atol=1e-5)
    assert read_grid(path).shape == (3, 4, 5)


def test_no_codes_are_refused_unless_allowed(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((3, 4, 5), np.int16), sform=0, qform=0)
    with pytest.raises(GeometryError, match="sform_code 0, qform_code 0"):
        read_volume(path)
    assert read_volume(path, allow_no_codes=True).array.shape == (3, 4, 5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_voxels_survive_in_every_dtype(tmp_path, dtype):
    array = np.arange(60).reshape(3, 4, 5).astype(dtype)
    write_volume(Volume(array, AFFINE), tmp_path / "a.nii.gz")
    read = read_volume(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read.array, array)
    assert read.array.dtype == (np.float32 if array.dtype.kind == "f" else dtype)


def test_equal_volumes_give_equal_bytes_and_nothing_else_is_left(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(Volume(np.ones((3, 4, 5), np.uint8), AFFINE), tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nii.gz", "b.nii.gz"]


def test_nan_is_refused_with_its_count(tmp_path):
    array = np.zeros((3, 4, 5), np.float32)
    array[0, 0, :2] = np.nan, np.inf
    with pytest.raises(DataError, match="2 of 60 voxels"):
        read_volume(write_nifti(tmp_path / "a.nii.gz", array))


def test_absent_broken_and_four_dimensional_files_are_named(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_volume(tmp_path / "none.nii.gz")
    (tmp_path / "broken.nii.gz").write_bytes(b"not a volume")
    with pytest.raises(DataError, match=r"broken\.nii\.gz"):
        read_volume(tmp_path / "broken.nii.gz")
    with pytest.raises(DataError, match="not three-dimensional"):
        read_volume(write_nifti(tmp_path / "four.nii.gz", np.zeros((3, 4, 5, 2), np.int16)))
    assert read_volume(write_nifti(tmp_path / "one.nii.gz", np.zeros((3, 4, 5, 1), np.int16))).array.ndim == 3


def test_a_truncated_file_is_named(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).random((9, 9, 9)))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="cannot be read"):
        read_volume(path)


def test_float_labels_are_rounded_and_mapped(tmp_path):
    array = np.array([0, 0.99999997, 205, 420], np.float64).reshape(4, 1, 1)
    label = read_label_map(write_nifti(tmp_path / "a.nii.gz", array), {1: 1, 205: 2, 420: 2})
    assert label.array.dtype == np.uint8
    assert label.array.ravel().tolist() == [0, 1, 2, 2]


def test_label_values_between_integers_or_unknown_are_refused(tmp_path):
    between = write_nifti(tmp_path / "a.nii.gz", np.array([0, 0.5, 1.0], np.float32).reshape(3, 1, 1))
    with pytest.raises(DataError, match="1 of 3 voxels"):
        read_label_map(between, [1])
    unknown = write_nifti(tmp_path / "b.nii.gz", np.array([1, 9, 9], np.int32).reshape(3, 1, 1))
    with pytest.raises(DataError, match=r"9 \(2 voxels\)"):
        read_label_map(unknown, [1])


def test_grids_agree_within_tolerance_only():
    grid = Grid((4, 5, 6), AFFINE)
    for shift, agree in ((0.005, True), (0.1, False)):
        moved = AFFINE.copy()
        moved[0, 3] += shift
        assert same_grid(grid, Grid((4, 5, 6), moved)) is agree
    assert not same_grid(grid, Grid((4, 5, 7), AFFINE))
    flipped = AFFINE @ np.diag([-1, 1, 1, 1])
    with pytest.raises(GeometryError, match=r"LAS.*RAS"):
        check_same_grid(grid, Grid((4, 5, 6), flipped), "case x")


def test_spacing_drift_over_many_voxels_is_a_mismatch():
    stretched = AFFINE @ np.diag([1.005, 1, 1, 1])
    assert same_grid(Grid((4, 4, 4), AFFINE), Grid((4, 4, 4), stretched))
    assert not same_grid(Grid((400, 4, 4), AFFINE), Grid((400, 4, 4), stretched))


def test_itk_formats_land_in_ras(tmp_path):
    image = SimpleITK.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((10.0, 20.0, 30.0))
    for name in ("a.mha", "a.nrrd", "a.nii.gz"):
        SimpleITK.WriteImage(image, str(tmp_path / name))
    expected = read_volume(tmp_path / "a.nii.gz")
    for name in ("a.mha", "a.nrrd"):
        read = read_volume(tmp_path / name)
        np.testing.assert_allclose(read.affine, expected.affine, atol=1e-5)
        np.testing.assert_array_equal(read.array, expected.array)
