"""What the metrics promise of any two masks; the reference goes voxel by voxel and takes no short cut."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from properties import examples

from parallax.score.metrics import diagonal_mm, score_masks
from parallax.score.nsd import pattern_areas_mm2

SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=4)
SPACINGS = st.tuples(*[st.sampled_from([0.3, 0.7, 1.0, 2.5, 5.0])] * 3)
TOLERANCES = st.sampled_from([0.2, 0.5, 1.0, 2.6, 6.0])
LENGTHS = ("hd95_mm", "assd_mm", "hd95_pooled_mm")


@st.composite
def pairs(draw):
    """Two masks of one grid, neither of them empty."""
    shape = draw(SHAPES)
    found = [draw(hnp.arrays(bool, shape)) for _ in range(2)]
    assume(all(mask.any() for mask in found))
    return found


def scored(a, b, spacing_mm, tolerance_mm):
    return dict(score_masks(a, b, spacing_mm, 99.0, tolerance_mm, pooled=True).values)


def inside(mask, voxel):
    return all(0 <= v < n for v, n in zip(voxel, mask.shape, strict=True)) and bool(mask[tuple(voxel)])


def at_the_edge(mask, voxel):
    steps = [sign * step for step in np.eye(3, dtype=int) for sign in (-1, 1)]
    return inside(mask, voxel) and not all(inside(mask, voxel + step) for step in steps)


def edge(mask):
    return [v for v in np.argwhere(mask) if at_the_edge(mask, v)]


def shared_areas(mask, spacing_mm):
    """Area of each boundary voxel: that of the surface at each corner, shared by the voxels that bound it."""
    table, areas = pattern_areas_mm2(spacing_mm), {tuple(voxel): 0.0 for voxel in edge(mask)}
    for corner in product(*(range(-1, n) for n in mask.shape)):
        near = [np.add(corner, step) for step in product((0, 1), repeat=3)]
        held = [voxel for voxel in near if inside(mask, voxel)]
        open_here = [v for v in held if any(np.abs(v - w).sum() == 1 and not inside(mask, w) for w in near)]
        pattern = sum(1 << i for i, voxel in enumerate(near) if inside(mask, voxel))
        for voxel in open_here:
            areas[tuple(voxel)] += table[pattern] / len(open_here)
    return areas


def percentile_95(values):
    """Linear between the two values around it."""
    ordered = sorted(values)
    place = 0.95 * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def reference(a, b, spacing_mm, tolerance_mm):
    def apart(source, target):
        places = np.array(edge(target)) * spacing_mm
        return [float(np.linalg.norm(places - v * spacing_mm, axis=1).min()) for v in edge(source)]

    ways = [(a, apart(a, b)), (b, apart(b, a))]
    both = [*ways[0][1], *ways[1][1]]
    near = total = 0.0
    for mask, distances in ways:
        for area, distance in zip(shared_areas(mask, spacing_mm).values(), distances, strict=True):
            total += area
            near += area if distance <= tolerance_mm + 1e-9 else 0.0
    return {
        "dice": 2 * sum(x and y for x, y in zip(a.flat, b.flat, strict=True)) / (a.sum() + b.sum()),
        "nsd": near / total,
        "hd95_mm": max(percentile_95(distances) for _, distances in ways),
        "assd_mm": sum(both) / len(both),
        "volume_difference_ml": (int(b.sum()) - int(a.sum())) * float(np.prod(spacing_mm)) / 1000,
        "hd95_pooled_mm": percentile_95(both),
    }


@examples(60)
@given(pairs(), SPACINGS, TOLERANCES)
def test_every_metric_is_what_its_definition_says(masks, spacing_mm, tolerance_mm):
    found = scored(*masks, spacing_mm, tolerance_mm)
    assert found == pytest.approx(reference(*masks, spacing_mm, tolerance_mm), rel=1e-9, abs=1e-12)


@examples(60)
@given(pairs(), SPACINGS, TOLERANCES)
def test_no_metric_leaves_its_range(masks, spacing_mm, tolerance_mm):
    found = scored(*masks, spacing_mm, tolerance_mm)
    farthest_mm = diagonal_mm(masks[0].shape, spacing_mm)
    assert all(0 <= found[name] <= 1 for name in ("dice", "nsd"))
    assert all(0 <= found[name] <= farthest_mm for name in LENGTHS)
    assert (found["dice"] == 1) == bool((masks[0] == masks[1]).all())


@examples(40)
@given(pairs(), SPACINGS, TOLERANCES)
def test_a_mask_scored_with_itself_is_perfect(masks, spacing_mm, tolerance_mm):
    perfect = {"dice": 1.0, "nsd": 1.0, "volume_difference_ml": 0.0} | dict.fromkeys(LENGTHS, 0.0)
    assert scored(masks[0], masks[0].copy(), spacing_mm, tolerance_mm) == perfect


@examples(40)
@given(pairs(), SPACINGS, TOLERANCES, st.floats(0.1, 10))
def test_lengths_grow_with_the_spacing_and_nothing_else_does(masks, spacing_mm, tolerance_mm, factor):
    before = scored(*masks, spacing_mm, tolerance_mm)
    after = scored(*masks, tuple(factor * side for side in spacing_mm), factor * tolerance_mm)
    power = dict.fromkeys(before, 0) | dict.fromkeys(LENGTHS, 1) | {"volume_difference_ml": 3}
    assert after == pytest.approx({name: value * factor ** power[name] for name, value in before.items()})


@examples(40)
@given(pairs(), SPACINGS)
def test_a_larger_tolerance_lowers_no_nsd(masks, spacing_mm):
    tolerances_mm = (0.1, 0.5, 1.0, 2.0, 5.0, diagonal_mm(masks[0].shape, spacing_mm))
    found = [scored(*masks, spacing_mm, tolerance_mm)["nsd"] for tolerance_mm in tolerances_mm]
    assert found == sorted(found)
    assert found[-1] == 1


@examples(40)
@given(pairs(), SPACINGS, TOLERANCES, st.permutations(range(3)), st.tuples(*[st.sampled_from([1, -1])] * 3))
def test_no_axis_and_no_mask_is_preferred(masks, spacing_mm, tolerance_mm, axes, signs):
    expected = scored(*masks, spacing_mm, tolerance_mm)
    turned = [mask[tuple(slice(None, None, sign) for sign in signs)].transpose(axes) for mask in masks]
    assert scored(*turned, tuple(spacing_mm[axis] for axis in axes), tolerance_mm) == pytest.approx(expected)
    swapped = scored(*masks[::-1], spacing_mm, tolerance_mm)
    volume_ml = -expected["volume_difference_ml"]
    assert swapped == pytest.approx(expected | {"volume_difference_ml": volume_ml})
