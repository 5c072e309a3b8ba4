import nibabel
import numpy as np
import pytest
from balls import ball_volumes, centred_affine

from parallax.case import IGNORE, Case, Grid, Sample, TestView, Volume
from parallax.data.frame import common_grid, crop_grid, native_label_maps, resample_labels, to_common
from parallax.errors import DataError


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_grid_that_is_ras_at_task_spacing_is_kept_bit_for_bit(ball_case, two_modality_task):
    common = to_common(ball_case, two_modality_task)
    np.testing.assert_array_equal(common.grid.affine, ball_case.images["CT"].affine)
    np.testing.assert_array_equal(common.label[0], ball_case.labels["CT"].array)


@pytest.mark.parametrize("flips", [(-1, 1, 1), (1, -1, -1)])
def test_turning_to_ras_at_equal_spacing_only_reorders_voxels(flips):
    shape = (5, 6, 7)
    matrix = (np.diag(flips) * 2.0)[:, [1, 2, 0]]
    image, label = ball_volumes(centred_affine(matrix, shape), shape)
    grid = common_grid(image.grid, (2.0, 2.0, 2.0))
    assert nibabel.aff2axcodes(grid.affine) == ("R", "A", "S")
    turned = nibabel.as_closest_canonical(nibabel.Nifti1Image(label.array, label.affine))
    np.testing.assert_allclose(grid.affine, turned.affine, atol=1e-9)
    np.testing.assert_array_equal(resample_labels(label, grid), np.asarray(turned.dataobj))


def test_left_stays_left_on_an_oblique_las_grid(ball_case, two_modality_task):
    common = to_common(Case("a", ball_case.images, ball_case.labels), two_modality_task)
    for channel in common.label:
        x_mm = [np.argwhere(channel == i)[:, 0].mean() for i in (1, 2)]
        assert x_mm[1] - x_mm[0] == pytest.approx(9, abs=1.0)  # 18 mm to the right at 2 mm


def test_oblique_label_map_survives_the_way_to_a_fine_frame_and_back(ball_case, two_modality_task):
    label = ball_case.labels["MR"]
    grid = common_grid(label.grid, (0.8, 0.8, 0.8))
    there = resample_labels(label, grid)
    scores = np.stack([there == c for c in range(3)]).astype(np.float32)
    sample = Sample("a", np.zeros((2, 1, 1, 1), np.float32), None, (False, True), grid)
    view = TestView(two_modality_task, sample, {"MR": label.grid})
    back = native_label_maps(np.stack([scores, scores]), view).label_maps
    assert list(back) == ["MR"]
    for structure in (1, 2):
        assert dice(back["MR"] == structure, label.array == structure) > 0.97


def test_equal_grids_give_the_plain_argmax(two_modality_task):
    grid = Grid((4, 5, 6), np.diag([2.0, 2.0, 2.0, 1.0]))
    scores = np.random.default_rng(0).random((2, 3, 4, 5, 6), dtype=np.float32)
    sample = Sample("a", scores[:, 0], None, (True, True), grid)
    maps = native_label_maps(scores, TestView(two_modality_task, sample, {"CT": grid, "MR": grid})).label_maps
    np.testing.assert_array_equal(maps["MR"], scores[1].argmax(axis=0))


def test_native_voxels_outside_the_frame_are_background(two_modality_task):
    native = Grid((10, 4, 4), np.diag([2.0, 2.0, 2.0, 1.0]))
    common = crop_grid(native, (slice(3, 7), slice(0, 4), slice(0, 4)))
    scores = np.zeros((2, 3, 4, 4, 4), np.float32)
    scores[:, 2] = 1
    sample = Sample("a", scores[:, 0], None, (True, False), common)
    found = native_label_maps(scores, TestView(two_modality_task, sample, {"CT": native})).label_maps["CT"]
    assert np.flatnonzero(found[:, 0, 0]).tolist() == [3, 4, 5, 6]


def test_halving_resolution_does_not_shift_labels():
    shape = (16, 16, 16)
    _, label = ball_volumes(centred_affine(np.eye(3) * 2.5, shape), shape)
    common = resample_labels(label, common_grid(label.grid, (5.0, 5.0, 5.0)))
    np.testing.assert_array_equal(common == 1, (common == 1)[:, ::-1])


def test_modalities_meet_in_world_coordinates(ball_case, two_modality_task):
    common = to_common(ball_case, two_modality_task)
    assert common.image.shape == (2, 32, 30, 28)
    assert common.image.dtype == np.float32
    assert dice(common.label[0] == 1, common.label[1] == 1) > 0.9
    assert np.corrcoef(common.image[0].ravel(), common.image[1].ravel())[0, 1] > 0.8


def test_outside_the_field_of_view_is_the_least_value_and_background(two_modality_task):
    shape = (20, 20, 20)
    ct = ball_volumes(centred_affine(np.eye(3) * 2, shape), shape)
    mr = tuple(Volume(v.array[:, :, :10] + 0, v.affine) for v in ct)
    common = to_common(Case("a", {"CT": ct[0], "MR": mr[0]}, {"MR": mr[1]}), two_modality_task)
    assert (common.image[1, :, :, 10:] == common.image[1].min()).all()
    assert not common.label[1, :, :, 10:].any()
    assert (common.label[0] == IGNORE).all()


def test_a_case_with_one_modality_takes_its_grid_and_leaves_the_other_zero(ball_case, two_modality_task):
    case = Case("b", {"MR": ball_case.images["MR"]})
    common = to_common(case, two_modality_task)
    assert common.available == (False, True)
    assert common.label is None
    assert not common.image[0].any()
    assert common.grid.spacing_mm == pytest.approx((2, 2, 2))


def test_crop_cuts_air_and_keeps_every_labelled_voxel(two_modality_task):
    shape = (60, 60, 60)
    image, label = ball_volumes(centred_affine(np.eye(3) * 2, shape), shape)
    case = Case("a", {"CT": image}, {"CT": label})
    whole, cut = (to_common(case, two_modality_task, crop=crop) for crop in (False, True))
    assert np.prod(cut.grid.shape) < 0.5 * np.prod(whole.grid.shape)
    assert np.count_nonzero(cut.label[0]) == np.count_nonzero(whole.label[0])
    np.testing.assert_allclose(cut.grid.affine[:3, :3], whole.grid.affine[:3, :3])


def test_a_case_without_images_is_an_error(two_modality_task):
    with pytest.raises(DataError, match="CT, MR"):
        to_common(Case("a", {}), two_modality_task)
