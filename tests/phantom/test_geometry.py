"""Shapes, brushes and smooth fields."""

import numpy as np
import pytest

from parallax.phantom.canvas import SPLIT, Canvas, axes_mm, block_mean, centred_grid
from parallax.phantom.fields import balanced_choice, smooth_field, stream
from parallax.phantom.geometry import capsule, cylinder, ellipsoid, half_space, partitions, rotation, tube

GRID = centred_grid((24, 20, 16), (2.0, 2.0, 3.0))


def _paint(shapes, turn=(0, 0, 0), warp_mm=0.0):
    canvas = Canvas(GRID, "air")
    brush = canvas.brush(rotation(turn), (1, -2, 0), 1.1, stream("test", 0, 0, "warp"), (warp_mm, 20.0))
    brush.fill(shapes, "inside", 1)
    return canvas, brush


def _volume_mm3(canvas):
    return float(canvas.tissue.sum()) * np.prod(GRID.spacing_mm) / 8


def test_ellipsoid_has_its_volume():
    canvas, _ = _paint(ellipsoid((0, 0, 0), (14, 10, 12)))
    assert _volume_mm3(canvas) == pytest.approx(4 / 3 * np.pi * 14 * 10 * 12 * 1.1**3, rel=0.03)


def test_capsule_has_its_volume_and_flattening_thins_it():
    round_one, _ = _paint(capsule((-8, 0, 0), (8, 0, 0), (6, 6)))
    flat_one, _ = _paint(capsule((-8, 0, 0), (8, 0, 0), (6, 6), ((0, 0, 1), 2.0)))
    expected = (np.pi * 36 * 16 + 4 / 3 * np.pi * 216) * 1.1**3
    assert _volume_mm3(round_one) == pytest.approx(expected, rel=0.04)
    assert _volume_mm3(flat_one) == pytest.approx(expected / 2, rel=0.06)


@pytest.mark.parametrize(
    "shape",
    [
        ellipsoid((3, 1, -2), (9, 5, 7), rotation((20, 40, 10)), 2.5),
        capsule((-8, 2, 5), (6, -4, -6), (3, 5), ((0, 1, 0), 1.5)),
        cylinder((2, -3), (8, 6), 2.5, (-6, 9)),
        ellipsoid((0, 0, 0), (12, 9, 10)) & half_space((0, 0, 2), (0, 0, 1)),
        cylinder((0, 0), (10, 9)) - cylinder((0, 0), (7, 6)),
    ],
)
def test_bounding_box_loses_nothing(shape):
    canvas, brush = _paint(shape, turn=(10, -15, 25), warp_mm=2.0)
    everywhere = shape.level(brush.points) < 0
    assert everywhere.any()
    assert np.array_equal(canvas.tissue == 1, everywhere)


def test_tube_is_connected():
    from scipy import ndimage

    canvas, _ = _paint(tube([(-14, 0, -10), (0, 8, 0), (14, 0, 10)], [4, 3, 4]))
    assert ndimage.label(canvas.tissue)[1] == 1


def test_paint_respects_what_it_may_cover_and_keeps_labels():
    canvas, brush = _paint(ellipsoid((0, 0, 0), (10, 10, 10)))
    brush.fill(ellipsoid((8, 0, 0), (8, 8, 8)), "vessel", None, over=["inside"])
    vessel = canvas.tissue == canvas.index("vessel")
    assert vessel.any()
    assert (canvas.label[vessel] == 1).all()
    assert (canvas.label == 1).sum() == (canvas.tissue > 0).sum()


def test_deformation_is_one_to_one():
    _, brush = _paint(ellipsoid((0, 0, 0), (5, 5, 5)), warp_mm=3.0)
    columns = [np.stack(np.gradient(p, 1.0, 1.0, 1.5), axis=-1) for p in brush.points]
    assert np.linalg.det(np.stack(columns, axis=-2)).min() > 0.1


def test_majority_label_and_block_mean_agree():
    canvas, _ = _paint(ellipsoid((0, 0, 0), (12, 10, 12)))
    painted = canvas.finish()
    fraction = block_mean((painted.tissue == 1).astype(np.float32))
    assert np.array_equal(painted.label == 1, fraction > 0.5)


def test_smooth_field_is_the_same_on_any_grid():
    fine = smooth_field(stream("a", 1, 2, "x"), axes_mm(GRID, SPLIT), 15.0)
    coarse = smooth_field(stream("a", 1, 2, "x"), axes_mm(GRID), 15.0)
    assert np.abs(block_mean(fine) - coarse).max() < 0.02
    assert 0.5 < coarse.std() < 1.5


def test_streams_differ_in_each_part_of_their_key():
    keys = [("a", 0, 0, "x"), ("b", 0, 0, "x"), ("a", 1, 0, "x"), ("a", 0, 1, "x"), ("a", 0, 0, "y")]
    assert len({stream(*key).random() for key in keys}) == 5


def test_strata_are_balanced_in_every_block():
    pattern = ("a", "a", "b")
    drawn = [balanced_choice("f", 0, i, "kind", pattern) for i in range(30)]
    assert all(sorted(drawn[i : i + 3]) == ["a", "a", "b"] for i in range(0, 30, 3))
    assert len({tuple(drawn[i : i + 3]) for i in range(0, 30, 3)}) > 1


def test_partitions_are_walls_of_one_thickness_between_their_centres():
    walls = partitions([(-6, 0, 0), (6, 0, 0), (0, 30, 0)], 2.0)
    x = np.array([-1.2, -0.9, 0.0, 0.9, 1.2, 6.0], np.float32)
    inside = walls.level((x, np.full_like(x, -8), np.full_like(x, 3))) < 0
    assert inside.tolist() == [False, True, True, True, False, False]
