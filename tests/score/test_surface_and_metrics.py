import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "hd95.json").read_text(encoding="utf-8"))
SPACING_MM = (2.0, 0.7, 1.3)


def ball(radius, spacing_mm, offset=(0, 0, 0), shape=(96, 96, 96)):
    index = np.indices(shape).astype(float)
    centre = [shape[0] // 2 - 12 + o for o in offset]
    squares = [((index[i] - centre[i]) * spacing_mm[i]) ** 2 for i in range(3)]
    return sum(squares) <= radius**2


def golden_masks(case):
    spacing_mm = tuple(case["reference"]["spacing_mm"])
    radius = case["reference"]["radius"]
    reference = ball(radius, spacing_mm)
    if "shift" in case:
        return reference, ball(radius, spacing_mm, case["shift"]), spacing_mm
    return reference, reference | ball(case["blob"]["radius"], spacing_mm, case["blob"]["offset"]), spacing_mm


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_golden_values(name):
    case = GOLDEN[name]
    reference, prediction, spacing_mm = golden_masks(case)
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
    score = score_masks(full if reference else empty, full if prediction else empty, (1.0,) * 3, 37.0)
    assert score.status == status
    found = [score.values[name] for name in ("dice", "hd95_mm", "assd_mm")]
    np.testing.assert_equal(found, [expected_dice, expected_mm, expected_mm])


def test_diagonal_is_in_mm():
    assert diagonal_mm((30, 40, 1), (1.0, 1.0, 0.0)) == 50.0


def test_structures_are_scored_by_their_label():
    truth = np.zeros((6, 6, 6), np.uint8)
    truth[:3], truth[3:] = 1, 2
    scores = score_label_maps(truth, np.where(truth == 2, 0, truth), {"a": 1, "b": 2}, (1.0,) * 3, 10.0)
    assert (scores["a"].values["dice"], scores["b"].status) == (1.0, "missed")


def random_masks(seed, shape=(9, 8, 10)):
    rng = np.random.default_rng(seed)
    masks = rng.random((2, *shape)) < rng.uniform(0.02, 0.5)
    masks[0, 2, 3, 4] = masks[1, 5, 5, 5] = True
    return masks


def values(a, b, spacing_mm=SPACING_MM):
    distances = surface_distances(a, b, spacing_mm)
    return [dice(a, b), hd95_mm(distances), hd95_pooled_mm(distances), assd_mm(distances)]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_invariances(seed):
    a, b = random_masks(seed)
    expected = values(a, b)
    assert values(b, a) == pytest.approx(expected)
    pad = ((0, 3), (2, 0), (1, 1))
    moved = [np.pad(np.pad(mask, 1), pad) for mask in (a, b)]
    assert values(*moved) == pytest.approx(expected)
    axes = (2, 0, 1)
    turned = values(a.transpose(axes), b.transpose(axes), tuple(SPACING_MM[i] for i in axes))
    assert turned == pytest.approx(expected)


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


@pytest.mark.filterwarnings("ignore")
def test_agrees_with_monai():
    pytest.importorskip("monai.metrics.utils", reason="MONAI is not installed")
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance

    for seed in range(4):
        a, b = random_masks(seed)
        theirs = compute_hausdorff_distance(
            torch.from_numpy(b[None, None]),
            torch.from_numpy(a[None, None]),
            include_background=True,
            percentile=95,
            spacing=SPACING_MM,
        )
        assert values(a, b)[1] == pytest.approx(float(theirs), abs=1e-4)
