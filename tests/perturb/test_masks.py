"""Boundaries move by what is asked for, nothing changes at zero, and a stated Dice is reached."""

import numpy as np
import pytest
from balls import three_balls

from parallax.perturb import masks

SPACING = (1.0, 1.0, 1.0)
PHASE = (0.3, 0.7, 0.1)


def redraws(label):
    return {
        "noisy": (masks.noisy(label, SPACING, (5, 0)), 0.0, masks.SIGMA_MOST_MM),
        "blocks": (masks.blocks(label, PHASE), 1.0, masks.EVERY_MOST),
        "hold": (masks.slices(label, SPACING, 0.4, "hold"), 1.0, masks.EVERY_MOST),
        "interpolate": (masks.slices(label, SPACING, 0.4, "interpolate"), 1.0, masks.EVERY_MOST),
    }


def mean_dice(truth, other):
    return np.mean(list(masks.dice_by_structure(truth, other, {"a": 1, "b": 2, "c": 3}).values()))


@pytest.mark.parametrize("way", ["noisy", "blocks", "hold", "interpolate"])
def test_no_change_is_the_identity_and_a_stated_dice_is_reached(way):
    label = three_balls()
    redraw, least, most = redraws(label)[way]
    np.testing.assert_array_equal(redraw(least), label)
    size = masks.scaled(lambda s: mean_dice(label, redraw(s)), 0.85, least, most)
    assert size > least
    assert mean_dice(label, redraw(size)) == pytest.approx(0.85, abs=0.02)
    assert masks.scaled(lambda s: mean_dice(label, redraw(s)), 1.0, least, most) == least
    np.testing.assert_array_equal(redraws(label)[way][0](size), redraw(size))
    assert not masks.noisy(np.zeros_like(label), SPACING, (5, 0))(3.0).any()


def slab_heights(sigma_mm, upper):
    """Where the boundary of a half space lies per column: to background, or to a structure above it."""
    label = np.full((64, 64, 60), upper, dtype=np.uint8)
    label[:, :, :30] = 1
    return np.concatenate(
        [(masks.noisy(label, SPACING, (seed, 0))(sigma_mm) == 1).sum(axis=2).ravel() for seed in range(4)]
    )


@pytest.mark.parametrize("upper", [0, 2], ids=["to background", "between structures"])
def test_a_boundary_moves_by_the_stated_standard_deviation_and_smoothly(upper):
    height = slab_heights(2.0, upper)
    assert height.std() == pytest.approx(2.0, rel=0.3)
    assert height.mean() == pytest.approx(30, abs=1.0)
    steps = np.abs(np.diff(height.reshape(-1, 64), axis=1))
    assert steps.mean() < 0.5  # neighbours err together: independent errors would differ by 2.3 mm on average


def test_no_gap_opens_between_structures_that_touch():
    label = three_balls()
    moved = masks.noisy(label, SPACING, (1, 0))(2.0)
    inside = masks.signed_distance_mm(label > 0, SPACING) < -9.0
    assert (moved[inside] > 0).all()


def test_blocks_take_the_majority():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (6, 4, 8), dtype=np.uint8)
    coarse = masks.blocks(label, (0.0, 0.0, 0.0))(2.0)
    for x, y, z in np.ndindex(3, 2, 4):
        block = (slice(2 * x, 2 * x + 2), slice(2 * y, 2 * y + 2), slice(2 * z, 2 * z + 2))
        assert (coarse[block] == np.bincount(label[block].ravel(), minlength=3).argmax()).all()


def test_held_slices_are_copies_and_interpolated_ones_lie_between():
    index = np.indices((40, 40, 9))
    radius = np.where(index[2] < 4, 6, 14)  # discs that suddenly grow
    label = (np.hypot(index[0] - 20, index[1] - 20) <= radius).astype(np.uint8)
    held = masks.slices(label, SPACING, 0.0, "hold")(8.0)
    assert (held[:, :, :5] == label[:, :, :1]).all()
    assert (held[:, :, 5:] == label[:, :, 8:]).all()
    mixed = masks.slices(label, SPACING, 0.0, "interpolate")(8.0)
    np.testing.assert_array_equal(mixed[:, :, [0, 8]], label[:, :, [0, 8]])
    areas = mixed.sum(axis=(0, 1), dtype=int)
    assert (np.diff(areas) > 0).all()
    assert np.sqrt(areas[4] / np.pi) == pytest.approx(10, abs=0.5)
