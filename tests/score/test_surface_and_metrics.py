import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_differences import golden_pairs

from parallax.score.metrics import (
    assd_mm,
    diagonal_mm,
    dice,
    hd95_mm,
    hd95_pooled_mm,
    score_label_maps,
    score_masks,
    volume_difference_ml,
)
from parallax.score.surface import boundary, surface_distances

GOLDEN = golden_pairs()
SPACING_MM = (2.0, 0.7, 1.3)


def ball(radius, spacing_mm, offset=(0, 0, 0), shape=(96, 96, 96)):
    index = np.indices(shape).astype(float)
    centre = [shape[0] // 2 - 12 + o for o in offset]
    squares = [((index[i] - centre[i]) * spacing_mm[i]) ** 2 for i in range(3)]
    return sum(squares) <= radius**2


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_golden_values(name):
    (reference, prediction, spacing_mm), case = GOLDEN[name]
    distances = surface_distances(reference, prediction, spacing_mm)
    assert [reference.sum(), prediction.sum()] == case["voxels"]
    assert [boundary(reference).sum(), boundary(prediction).sum()] == case["boundary"]
    assert dice(reference, prediction) == pytest.approx(case["dice"], abs=5e-6)
    assert hd95_mm(distances) == pytest.approx(case["hd95_mm"], abs=5e-4)
    assert hd95_pooled_mm(distances) == pytest.approx(case["pooled_mm"], abs=5e-4)


def test_oracle_is_exact():
    mask = ball(9, SPACING_MM)
    score = score_masks(mask, mask.copy(), SPACING_MM, 100.0, 1.0)
    assert dict(score.values) == {
        "dice": 1.0,
        "nsd": 1.0,
        "hd95_mm": 0.0,
        "assd_mm": 0.0,
        "volume_difference_ml": 0.0,
    }


def test_average_distance_of_two_single_voxels_is_their_distance():
    a, b = np.zeros((2, 6, 6, 6), bool)
    a[1, 1, 1] = b[1, 4, 5] = True
    assert assd_mm(surface_distances(a, b, (1.0, 1.0, 1.0))) == 5.0


def test_mask_at_the_image_border_has_its_boundary_there():
    assert boundary(np.ones((3, 4, 5), bool)).sum() == 60 - 1 * 2 * 3


def test_volume_difference_is_signed_and_in_ml():
    reference, prediction = np.zeros((2, 10, 10, 10), bool)
    reference[:5] = True
    assert volume_difference_ml(reference, prediction, (1.0, 2.0, 2.0)) == -2.0


@pytest.mark.parametrize(
    ("reference", "prediction", "status", "expected_dice", "expected_mm"),
    [
        (True, False, "missed", 0.0, 37.0),
        (False, True, "false_positive", 0.0, 37.0),
        (False, False, "both_empty", math.nan, math.nan),
    ],
)
def test_empty_mask_rule(reference, prediction, status, expected_dice, expected_mm):
    full, empty = np.ones((4, 4, 4), bool), np.zeros((4, 4, 4), bool)
    masks = full if reference else empty, full if prediction else empty
    score = score_masks(*masks, (1.0,) * 3, 37.0, 1.0, pooled=True)
    assert score.status == status
    volume_ml = math.nan if status == "both_empty" else 0.064 * (prediction - reference)
    expected = {
        "dice": expected_dice, "nsd": expected_dice, "hd95_mm": expected_mm, "assd_mm": expected_mm,
        "volume_difference_ml": volume_ml, "hd95_pooled_mm": expected_mm,
    }  # fmt: skip
    np.testing.assert_equal(dict(score.values), expected)


def test_diagonal_is_in_mm():
    assert diagonal_mm((30, 40, 1), (1.0, 1.0, 0.0)) == 50.0


def test_structures_are_scored_by_their_label():
    truth = np.zeros((6, 6, 6), np.uint8)
    truth[:3], truth[3:] = 1, 2
    scores = score_label_maps(truth, np.where(truth == 2, 0, truth), {"a": 1, "b": 2}, (1.0,) * 3, 10.0)
    assert (scores["a"].values["dice"], scores["b"].status) == (1.0, "missed")
    assert scores["b"].values["hd95_mm"] == 10.0
    assert list(scores["a"].values) == ["dice", "hd95_mm", "assd_mm", "volume_difference_ml"]


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_prediction_beyond_the_truth_counts_whole(order):
    maps = np.zeros((2, 9, 12, 7), np.uint8)
    maps[0, 1:3, 6:9, 5:6] = maps[1, 1:7, 3:11, 2:6] = 3
    truth, prediction = (np.asarray(m, order=order) for m in maps)
    found = score_label_maps(truth, prediction, {"a": 3}, SPACING_MM, 99.0, {"a": 1.0}, pooled=True)["a"]
    whole = score_masks(maps[0] == 3, maps[1] == 3, SPACING_MM, 99.0, 1.0, pooled=True)
    assert dict(found.values) == dict(whole.values)
    assert found.values["dice"] == 2 * 6 / (6 + 192)


def random_masks(seed, shape=(9, 8, 10)):
    rng = np.random.default_rng(seed)
    masks = rng.random((2, *shape)) < rng.uniform(0.02, 0.5)
    masks[0, 2, 3, 4] = masks[1, 5, 5, 5] = True
    return masks


def values(a, b, spacing_mm=SPACING_MM):
    """All metrics, the volume difference last."""
    found = score_masks(a, b, spacing_mm, 99.0, 1.5, pooled=True).values
    return [
        found[name]
        for name in ("dice", "nsd", "hd95_mm", "hd95_pooled_mm", "assd_mm", "volume_difference_ml")
    ]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.permutations([0, 1, 2]))
def test_invariances(seed, axes):
    a, b = random_masks(seed)
    expected = values(a, b)
    *swapped, volume_ml = values(b, a)
    assert [*swapped, -volume_ml] == pytest.approx(expected)
    pad = ((0, 3), (2, 0), (1, 1))
    moved = [np.pad(np.pad(mask, 1), pad) for mask in (a, b)]
    assert values(*moved) == pytest.approx(expected)
    turned = values(a.transpose(axes), b.transpose(axes), tuple(SPACING_MM[i] for i in axes))
    assert turned == pytest.approx(expected)
    mirrored = values(a[::-1, :, ::-1], b[::-1, :, ::-1])
    assert mirrored == pytest.approx(expected)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.booleans())
def test_a_structure_cut_out_of_a_label_map_scores_as_its_mask(seed, fortran):
    maps = np.random.default_rng(seed).integers(0, 4, (2, 9, 8, 10)).astype(np.uint16) * 100
    maps[:, :3] = 0
    held = [np.asfortranarray(m) if fortran else m for m in maps]
    scores = score_label_maps(
        *held, {"b": 200, "absent": 500}, SPACING_MM, 99.0, {"b": 1.5, "absent": 1.0}, pooled=True
    )
    whole = score_masks(*(m == 200 for m in maps), SPACING_MM, 99.0, 1.5, pooled=True)
    assert dict(scores["b"].values) == pytest.approx(dict(whole.values))
    assert scores["absent"].status == "both_empty"


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_nearest_distances_are_exact_near_and_far(seed):
    from scipy.spatial.distance import cdist

    rng = np.random.default_rng(seed)
    spacing_mm = tuple(rng.choice([0.3, 0.7, 1.0, 2.5, 5.0, 9.0], 3))
    a, b = rng.random((2, 9, 14, 7)) < 10 ** rng.uniform(-2.8, -0.3)
    a[1, 2, 3] = b[7, 5, 2] = True
    found = surface_distances(a, b, spacing_mm).prediction_to_reference_mm
    far = cdist(*(np.argwhere(boundary(mask)) * spacing_mm for mask in (b, a)))
    np.testing.assert_allclose(np.sort(found), np.sort(far.min(axis=1)), rtol=0, atol=1e-9)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_crop_and_tree_equal_a_full_distance_transform(seed):
    from scipy.ndimage import distance_transform_edt

    a, b = np.pad(random_masks(seed), ((0, 0), (3, 2), (4, 1), (2, 5)))
    found = surface_distances(a, b, SPACING_MM)
    for mine, source, target in (
        (found.prediction_to_reference_mm, b, a),
        (found.reference_to_prediction_mm, a, b),
    ):
        everywhere = distance_transform_edt(~boundary(target), sampling=SPACING_MM)
        np.testing.assert_allclose(np.sort(mine), np.sort(everywhere[boundary(source)]), atol=1e-9)
