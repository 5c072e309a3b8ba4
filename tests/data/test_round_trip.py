"""A scan goes from its file to the common frame, and what is found there goes back to its own grid."""

import nibabel
import numpy as np
import pytest

from parallax.case import Case, Sample, TestView, Volume
from parallax.data.frame import interpolate, native_label_maps, resample_labels, to_common
from parallax.data.volumes import read_label_map, read_volume, write_volume


@pytest.fixture
def scan(tmp_path, ball_case):
    """An oblique, anisotropic scan along LAS axes, read back from files: a case with this modality alone."""
    write_volume(ball_case.images["MR"], tmp_path / "image.nii.gz")
    write_volume(ball_case.labels["MR"], tmp_path / "label.nii.gz")
    assert nibabel.aff2axcodes(ball_case.images["MR"].affine) == ("L", "A", "S")
    image, label = (
        read_volume(tmp_path / "image.nii.gz"),
        read_label_map(tmp_path / "label.nii.gz", range(3)),
    )
    return Case("a", {"MR": image}, {"MR": label})


@pytest.mark.parametrize("crop", [False, True])
def test_left_stays_left_and_structures_keep_their_place_to_half_a_millimetre(
    scan, two_modality_task, tmp_path, crop
):
    common = to_common(scan, two_modality_task, crop=crop)
    assert nibabel.aff2axcodes(common.grid.affine) == ("R", "A", "S")
    found = np.stack([common.label[1] == c for c in range(3)]).astype(np.float32)
    sample = Sample("a", common.image, None, common.available, common.grid)
    view = TestView(two_modality_task, sample, {"MR": scan.images["MR"].grid})
    back = native_label_maps(np.stack([found, found]), view).label_maps["MR"]
    write_volume(Volume(back, scan.images["MR"].affine), tmp_path / "back.nii.gz")
    written, truth = nibabel.load(tmp_path / "back.nii.gz"), scan.labels["MR"]
    array = np.asarray(written.dataobj)
    assert array.shape == truth.array.shape
    for structure in (1, 2):
        a, b = array == structure, truth.array == structure
        # 2 mm and back: the boundary of a ball of 6 mm radius lies within half a voxel
        assert 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)) > 0.9
        apart_mm = np.argwhere(a).mean(axis=0) - np.argwhere(b).mean(axis=0)
        assert np.abs(written.affine[:3, :3] @ apart_mm).max() < 0.5
    x_mm = [(written.affine[:3, :3] @ np.argwhere(array == s).mean(axis=0))[0] for s in (1, 2)]
    assert x_mm[1] - x_mm[0] > 15  # the small ball lies 18 mm to the patient's right


def test_interpolation_agrees_with_scipy_on_an_oblique_mapping():
    from scipy.ndimage import affine_transform

    rng = np.random.default_rng(0)
    array = rng.random((11, 12, 13), dtype=np.float32)
    mapping = np.eye(4)
    mapping[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * 0.7
    mapping[:3, 3] = mapping[:3, :3] @ (-8.0, -8.0, -8.0) + (5.2, 5.9, 6.1)
    ours = interpolate(array, mapping, (15, 16, 17), order=1)
    theirs = affine_transform(
        array, mapping[:3, :3], mapping[:3, 3], output_shape=(15, 16, 17), order=1, mode="nearest"
    )
    index = np.moveaxis(np.indices(ours.shape), 0, -1)
    place = index @ mapping[:3, :3].T + mapping[:3, 3]
    inside = (np.abs(place - (np.array(array.shape) - 1) / 2) < np.array(array.shape) / 2).all(axis=-1)
    assert 500 < np.count_nonzero(inside) < ours.size - 100
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=2e-5)
    assert set(ours[~inside].tolist()) <= set(array.ravel().tolist())  # the nearest voxel


def test_turned_axes_are_taken_over_voxel_by_voxel():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    mapping = np.array([[0, 0, -1, 1], [1, 0, 0, 0], [0, -1, 0, 3], [0, 0, 0, 1]], dtype=np.float64)
    found = interpolate(array, mapping, (3, 4, 2), order=1)
    np.testing.assert_array_equal(found, array[::-1, :, ::-1].transpose(1, 2, 0))


def test_every_structure_is_resampled_as_if_it_were_alone(ball_case):
    """Structures are resampled within their boxes; that must not change a voxel of the result."""
    label, grid = ball_case.labels["MR"], ball_case.images["CT"].grid
    mapping = np.linalg.inv(label.affine) @ grid.affine
    whole = [
        interpolate((label.array == v).astype(np.float32), mapping, grid.shape, order=1) for v in range(3)
    ]
    inside = (
        interpolate(np.pad(np.ones(np.subtract(label.array.shape, 2)), 1), mapping, grid.shape, order=0) > 0
    )
    np.testing.assert_array_equal(
        resample_labels(label, grid)[inside], np.argmax(whole, axis=0).astype(np.uint8)[inside]
    )
