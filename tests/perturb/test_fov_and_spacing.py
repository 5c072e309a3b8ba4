"""Families that change the grid of a modality: voxel values stay, or are averages, at the right place."""

import numpy as np
import pytest
from families_toy import LEVELS, draw

from parallax.case import Case, Volume
from parallax.data.frame import to_common
from parallax.errors import ConfigError
from parallax.perturb import fov, spacing
from parallax.perturb.level import Level


def mm(volume, index):
    return volume.affine[:3, :3] @ index + volume.affine[:3, 3]


def heights_case(ball_case):
    """The moved image is the height (S, mm) of each voxel, so that a value tells its place."""
    image = ball_case.images["MR"]
    index = np.indices(image.array.shape)
    height = np.einsum("j,jxyz->xyz", image.affine[2, :3], index) + image.affine[2, 3]
    return Case("a", {**ball_case.images, "MR": Volume(height, image.affine)}, ball_case.labels)


@pytest.mark.parametrize("seed", range(4))
def test_field_of_view_keeps_values_and_places_of_the_slices_that_are_left(seed, ball_case):
    found = draw(ball_case, LEVELS["fov"], seed)
    before, after = ball_case.images["MR"], fov.apply(ball_case, found).images["MR"]
    window = slice(found.first, found.first + found.count)
    np.testing.assert_array_equal(after.array, before.array[:, :, window])
    np.testing.assert_allclose(mm(after, [1, 2, 3]), mm(before, [1, 2, 3 + found.first]))
    assert (found.count, found.covered_fraction) == (14, 0.7)
    assert found.covered_mm == pytest.approx(14 * 3.0)
    label = ball_case.labels["MR"].array > 0
    assert found.structures_fraction == pytest.approx(label[:, :, window].sum() / label.sum())


def test_windows_of_the_field_of_view_differ_between_seeds(ball_case):
    assert len({draw(ball_case, LEVELS["fov"], seed).first for seed in range(12)}) > 2


def test_what_is_not_covered_is_empty_in_the_common_frame(ball_case, two_modality_task):
    cut = fov.apply(ball_case, draw(ball_case, LEVELS["fov"]))
    common = to_common(cut, two_modality_task)
    assert common.grid.shape == ball_case.images["CT"].array.shape
    assert (common.image[1].min(axis=(0, 1)) == common.image[1].max(axis=(0, 1))).any()


def test_a_multiple_of_the_thickness_averages_whole_slices(ball_case):
    found = draw(ball_case, Level("s", "MR", family="spacing", slice_factor=2.0))
    before, after = ball_case.images["MR"], spacing.apply(ball_case, found).images["MR"]
    pairs = before.array.reshape(48, 46, 10, 2).mean(axis=3)
    np.testing.assert_allclose(after.array, pairs, rtol=1e-5)
    assert after.spacing_mm == pytest.approx((1.4, 1.4, 6.0))
    assert (found.native_slice_mm, found.slice_mm) == pytest.approx((3.0, 6.0))


@pytest.mark.parametrize("slice_mm", [3.7, 5.0, 9.0, 13.0])
def test_any_thickness_keeps_every_slice_at_its_height(slice_mm, ball_case):
    case = heights_case(ball_case)
    found = draw(case, Level("s", "MR", family="spacing", slice_mm=slice_mm))
    after = spacing.apply(case, found).images["MR"]
    index = np.indices(after.array.shape)
    height = np.einsum("j,jxyz->xyz", after.affine[2, :3], index) + after.affine[2, 3]
    # within a native slice the value is constant, so a part of one counts at the height of its middle
    np.testing.assert_allclose(after.array, height, atol=0.25 * 3.0 * 3.0 / slice_mm)
    assert (after.array - height).mean() == pytest.approx(0, abs=1e-9)
    assert after.spacing_mm[2] == pytest.approx(slice_mm)
    assert found.count == int(60 / slice_mm)


def test_a_thick_label_voxel_holds_what_fills_most_of_it():
    label = np.array([0, 1, 1, 2, 2, 2, 0, 0, 1], np.uint8).reshape(1, 1, 9)
    volume = Volume(label, np.diag([1.0, 1.0, 2.0, 1.0]))
    case = Case("a", {"CT": volume, "MR": volume}, {"MR": volume})
    thick = spacing.apply(case, draw(case, Level("s", "MR", family="spacing", slice_factor=3.0)))
    np.testing.assert_array_equal(thick.labels["MR"].array.ravel(), [1, 2, 0])
    np.testing.assert_array_equal(thick.images["MR"].array.ravel(), [1, 2, 0])  # 2/3, 2, 1/3 rounded


def test_slices_that_are_as_thick_already_are_left_alone(ball_case):
    assert draw(ball_case, Level("s", "MR", family="spacing", slice_mm=2.0)).identity


@pytest.mark.parametrize("wrong", [{"factor": 0.5}, {"slice_mm": -1.0}])
def test_thinner_slices_are_refused(wrong, ball_case):
    with pytest.raises(ConfigError):
        spacing.draw(np.random.default_rng(0), ball_case, moved="MR", **wrong)


@pytest.mark.parametrize("fraction", [0.0, 1.1])
def test_a_field_of_view_beyond_the_scan_is_refused(fraction, ball_case):
    with pytest.raises(ConfigError):
        fov.draw(np.random.default_rng(0), ball_case, moved="MR", target_fraction=fraction)
