"""Metrics of masks small enough to be worked out on paper."""

import math

import numpy as np
import pytest

from parallax.score.metrics import (
    assd_mm,
    dice,
    hd95_mm,
    hd95_pooled_mm,
    labels_in,
    metric_names,
    score_label_maps,
    score_masks,
    volume_difference_ml,
)
from parallax.score.nsd import boundary_areas_mm2, corner_shares_mm2, nsd, pattern_areas_mm2
from parallax.score.surface import boundary, joint_box, surface_distances

SPACING_MM = (1.0, 1.0, 2.0)
SHAPE = (3, 3, 8)


def column(*places):
    """Voxels of one column along the third axis."""
    mask = np.zeros(SHAPE, bool)
    mask[1, 1, list(places)] = True
    return mask


SHORT, LONG = column(1, 2), column(2, 3, 4)


@pytest.mark.parametrize("swapped", [False, True])
def test_every_metric_of_two_columns(swapped):
    """Two voxels against three, one shared, 2 mm apart: distances (2, 0) one way and (0, 2, 4) the other."""
    reference, prediction = (LONG, SHORT) if swapped else (SHORT, LONG)
    distances = surface_distances(reference, prediction, SPACING_MM)
    assert sorted(distances.prediction_to_reference_mm) == ([0, 2] if swapped else [0, 2, 4])
    assert sorted(distances.reference_to_prediction_mm) == ([0, 2, 4] if swapped else [0, 2])
    assert dice(reference, prediction) == 2 * 1 / (2 + 3)
    assert hd95_mm(distances) == pytest.approx(2 + 0.9 * 2)  # place 0.95 * 2 in (0, 2, 4)
    assert hd95_pooled_mm(distances) == pytest.approx(2 + 0.8 * 2)  # place 0.95 * 4 in (0, 0, 2, 2, 4)
    assert assd_mm(distances) == pytest.approx(8 / 5)
    wanted_ml = -0.002 if swapped else 0.002  # one voxel of 2 mm^3
    assert volume_difference_ml(reference, prediction, SPACING_MM) == pytest.approx(wanted_ml)


def test_two_empty_masks_have_no_dice():
    assert math.isnan(dice(column(), column()))
    assert dice(column(), SHORT) == dice(SHORT, column()) == 0.0


def test_areas_and_nsd_of_two_columns():
    """The sides of a column are 4 sqrt(2) mm^2 between two voxels, and both ends together 3."""
    distances = surface_distances(SHORT, LONG, SPACING_MM)
    end, between = 1.5, 4 * math.sqrt(2)
    areas = boundary_areas_mm2(distances.prediction, SPACING_MM)
    assert sorted(areas) == pytest.approx([end + between / 2, end + between / 2, between])
    total = (2 * end + between) + (2 * end + 2 * between)
    far = end + between / 2  # the last voxel of the long column, 4 mm off
    assert nsd(distances, 2.0) == pytest.approx((total - far) / total)
    assert nsd(distances, 4.0) == 1.0
    assert nsd(distances, 1.9) == pytest.approx((between / 2 + end + between / 2 + end) / total)


def test_areas_of_patterns():
    """One voxel of eight cuts off a corner, two an edge, and four of a side lie behind a plane."""
    areas, shares = pattern_areas_mm2((2.0, 3.0, 5.0)), corner_shares_mm2((2.0, 3.0, 5.0))
    corner, edge, plane = math.sqrt(6**2 + 15**2 + 10**2) / 8, 5 * math.hypot(2, 3) / 2, 3 * 5
    assert areas[[0, 255]].tolist() == [0, 0]
    assert areas[[1, 2, 128]] == pytest.approx([corner] * 3)
    assert areas[3] == pytest.approx(edge)
    assert areas[15] == pytest.approx(plane)
    np.testing.assert_allclose(shares[1], [corner] + [0] * 7)
    np.testing.assert_allclose(shares[3], [edge / 2] * 2 + [0] * 6)
    np.testing.assert_allclose(shares[15], [plane / 4] * 4 + [0] * 4)
    np.testing.assert_allclose(shares[240], [0] * 4 + [plane / 4] * 4)
    assert not shares[[0, 255]].any()


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_mirrored_patterns_have_one_area(axis):
    areas = pattern_areas_mm2((1.0, 2.0, 3.0))
    cubes = (np.arange(256)[:, None] >> np.arange(8) & 1).reshape(256, 2, 2, 2)
    mirrored = np.flip(cubes, axis).reshape(256, 8) @ (1 << np.arange(8))
    np.testing.assert_allclose(areas[mirrored], areas, rtol=1e-12)


def test_distances_along_each_axis_near_and_beyond_the_offsets_that_are_tried():
    for axis, spacing_mm in enumerate((1.0, 3.0, 0.5)):
        for steps in (1, 3, 4, 9):
            a, b = np.zeros((2, 10, 10, 10), bool)
            a[0, 0, 0] = True
            b[tuple(steps if other == axis else 0 for other in range(3))] = True
            found = surface_distances(a, b, (1.0, 3.0, 0.5))
            assert found.prediction_to_reference_mm.tolist() == [steps * spacing_mm]
            assert found.reference_to_prediction_mm.tolist() == [steps * spacing_mm]


def test_the_boundary_of_a_cube_is_all_but_its_middle():
    mask = np.zeros((7, 7, 7), bool)
    mask[2:5, 1:4, 3:6] = True
    found = boundary(mask)
    assert found.shape == mask.shape
    assert np.argwhere(mask & ~found).tolist() == [[3, 2, 4]]
    assert not (found & ~mask).any()


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_joint_box_holds_both_masks_and_no_more(order):
    a, b = np.zeros((2, 9, 8, 7), bool)
    a[2, 3, 1] = b[5, 1, 4] = True
    box = joint_box(np.asarray(a, order=order), np.asarray(b, order=order))
    assert box == (slice(2, 6), slice(1, 4), slice(1, 5))


@pytest.mark.parametrize("order", ["C", "F"])
def test_two_empty_masks_have_no_box(order):
    empty = np.zeros((3, 4, 5), bool, order=order)
    with pytest.raises(ValueError, match=r"^two empty masks have no bounding box$"):
        joint_box(empty, empty)


@pytest.mark.parametrize("empty_first", [True, False])
def test_an_empty_mask_has_no_distances(empty_first):
    masks = (np.zeros(SHAPE, bool), SHORT)
    with pytest.raises(ValueError, match=r"^surface distances need two masks with at least one voxel each$"):
        surface_distances(*(masks if empty_first else masks[::-1]), SPACING_MM)


@pytest.mark.parametrize("order", ["C", "F"])
def test_label_values_and_scores_of_maps_with_a_gap(order):
    maps = np.zeros((2, *SHAPE), np.uint8)
    maps[0][SHORT], maps[1][LONG] = 3, 3
    maps[1, 0, 0, 7] = 1
    truth, found = (np.asarray(m, order=order) for m in maps)
    assert (labels_in(truth), labels_in(found)) == ([3], [1, 3])
    scores = score_label_maps(
        truth,
        found,
        {"one": 1, "three": 3, "none": 9},
        SPACING_MM,
        30.0,
        dict.fromkeys(("one", "three", "none"), 2.0),
    )
    assert {name: score.status for name, score in scores.items()} == {
        "one": "false_positive", "three": "ok", "none": "both_empty",
    }  # fmt: skip
    assert scores["one"].values["volume_difference_ml"] == pytest.approx(0.002)
    assert scores["three"].values["hd95_mm"] == pytest.approx(3.8)
    assert score_label_maps(truth, found, {}, SPACING_MM, 30.0) == {}


def test_names_come_in_the_order_of_tables():
    plain = ("dice", "hd95_mm", "assd_mm", "volume_difference_ml")
    assert metric_names(False, False) == plain
    assert metric_names(True, True) == ("dice", "nsd", *plain[1:], "hd95_pooled_mm")
    found = score_masks(SHORT, LONG, SPACING_MM, 30.0, 2.0, pooled=True).values
    assert tuple(found) == metric_names(True, True)
    assert found["hd95_pooled_mm"] == pytest.approx(3.6)
    assert tuple(score_masks(SHORT, LONG, SPACING_MM, 30.0).values) == plain
