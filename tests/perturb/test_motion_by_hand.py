"""Motions of cases small enough to be worked out on paper."""

import math

import numpy as np
import pytest
from small_cases import TURN, along_x, case_of, constant, grid_of, two_specks

from parallax.case import Case
from parallax.errors import ConfigError
from parallax.perturb import respiratory, rigid
from parallax.perturb.displacement import (
    Realised,
    axis_along,
    box,
    measure,
    needs_pair,
    sample_rms_mm,
    slice_axis,
    solve_scale,
    structures,
    unit_vector,
    warp,
    whole,
)


def test_a_turn_moves_by_its_chord_and_a_shift_adds_in_quadrature():
    """At 3 mm from the axis a turn by 60 degrees moves by 2 * 3 * sin 30 = 3 mm."""
    case, about_z = two_specks(), {"axis": (0.0, 0.0, 2.0), "rotation_deg": 60.0}
    turned = rigid.fixed(case, moved="MR", translation_mm=(0.0, 0.0, 0.0), **about_z)
    assert (turned.axis, turned.centre_mm, turned.measured_over) == ((0, 0, 1), (0, 0, 0), "label")
    found = (turned.realised_rms_mm, turned.realised_mean_mm, turned.realised_p95_mm, turned.target_rms_mm)
    assert found == pytest.approx((3.0,) * 4)
    both = rigid.fixed(case, moved="MR", translation_mm=(4.0, 0.0, 0.0), **about_z)
    near, far = math.hypot(4 - 1.5, 1.5 * math.sqrt(3)), math.hypot(4 + 1.5, 1.5 * math.sqrt(3))
    assert both.realised_rms_mm == pytest.approx(math.hypot(3, 4))
    assert both.realised_mean_mm == pytest.approx((near + far) / 2)
    assert both.realised_p95_mm == pytest.approx(near + 0.95 * (far - near))
    assert (both.moved, both.translation_mm, both.rotation_deg) == ("MR", (4.0, 0.0, 0.0), 60.0)


@pytest.mark.parametrize("axis", range(3))
def test_a_quarter_turn_is_right_handed_about_each_axis(axis):
    unit = tuple(float(axis == a) for a in range(3))
    turned = rigid.fixed(two_specks(), moved="MR", translation_mm=(0, 0, 0), axis=unit, rotation_deg=90.0)
    points = np.eye(3)
    wanted = np.cross(unit, points) + np.outer(points @ unit, unit) - points
    np.testing.assert_allclose(rigid.displacement_mm(turned, points), wanted, atol=1e-12)


def test_a_drawn_motion_has_its_target_split_between_shift_and_turn():
    """The specks lie at a mean square of 9 mm^2 from the centre, less what lies along the axis."""
    found = rigid.draw(
        np.random.default_rng(5), two_specks(), moved="MR", target_rms_mm=2.0, rotation_deg_per_mm=30.0
    )
    rng = np.random.default_rng(5)
    direction, axis = (v / np.linalg.norm(v) for v in (rng.standard_normal(3), rng.standard_normal(3)))
    np.testing.assert_allclose(found.axis, axis)
    scale = np.linalg.norm(found.translation_mm) / 2.0
    np.testing.assert_allclose(found.translation_mm, 2.0 * scale * direction)
    assert found.rotation_deg == pytest.approx(60.0 * scale)
    chord = 2 * math.sin(math.radians(found.rotation_deg) / 2)
    lever_mm2 = 9 * (1 - axis[0] ** 2)
    assert (2 * scale) ** 2 + chord**2 * lever_mm2 == pytest.approx(4.0)
    assert found.realised_rms_mm == pytest.approx(2.0)
    assert found.target_rms_mm == 2.0
    plain = rigid.draw(
        np.random.default_rng(5), two_specks(), moved="MR", target_rms_mm=2.0, rotation_deg_per_mm=0.0
    )
    np.testing.assert_allclose(plain.translation_mm, 2.0 * direction)
    default = rigid.draw(np.random.default_rng(5), two_specks(), moved="MR", target_rms_mm=2.0)
    assert default.rotation_deg / np.linalg.norm(default.translation_mm) == pytest.approx(1.0)


def test_the_moments_of_an_oblique_label():
    """Four voxels of an L on a turned grid: lever and centre from the list of their places."""
    label = np.zeros((5, 6, 7), np.uint8)
    places = [(1, 1, 1), (1, 4, 1), (3, 1, 1), (1, 1, 6)]
    label[tuple(np.transpose(places))] = 2
    grid = grid_of(label.shape, (1.0, 2.0, 0.5), TURN, (3.0, -1.0, 2.0))
    points = np.array(places) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    found = rigid.fixed(
        case_of(grid, label), moved="MR", translation_mm=(0, 0, 0), axis=(1, 2, 2), rotation_deg=50
    )
    np.testing.assert_allclose(found.centre_mm, points.mean(axis=0))
    away = points - points.mean(axis=0)
    lever = (away**2).sum(axis=1) - (away @ np.array([1, 2, 2]) / 3) ** 2
    assert found.realised_rms_mm == pytest.approx(2 * math.sin(math.radians(25)) * math.sqrt(lever.mean()))


@pytest.mark.parametrize("way", ["rigid", "field"])
def test_a_shift_of_half_a_voxel_averages_two_voxels_and_repeats_the_edge(way):
    grid = grid_of((5, 3, 2), (2.0, 1.0, 1.0))
    image = np.array([0, 3, 8, 4, 6], np.float32)[:, None, None] + np.zeros(grid.shape, np.float32)
    label = np.array([0, 0, 3, 3, 0], np.uint8)[:, None, None] + np.zeros(grid.shape, np.uint8)
    case = case_of(grid, label, image)
    if way == "rigid":
        shift = rigid.fixed(case, moved="MR", translation_mm=(1.0, 0.0, 0.0))
        moved = rigid.apply(case, shift)
        moved_far = rigid.apply(case, rigid.fixed(case, moved="MR", translation_mm=(-2.0, 0.0, 0.0)))
    else:
        moved, moved_far = (
            warp(
                case,
                "MR",
                lambda axes, x=x: np.stack([np.full([len(a) for a in axes], v) for v in (x, 0.0, 0.0)]),
            )
            for x in (-1.0, 2.0)
        )
    assert moved.images["MR"].array[:, 1, 1].tolist() == [0, 1.5, 5.5, 6, 5]
    assert moved_far.images["MR"].array[:, 1, 1].tolist() == [3, 8, 4, 6, 6]
    assert moved_far.labels["MR"].array[:, 2, 0].tolist() == [0, 3, 3, 0, 0]
    assert (moved.id, moved.images["CT"], moved.images["MR"].array.dtype) == (
        "a",
        case.images["CT"],
        np.float32,
    )
    assert moved.labels["MR"].array.dtype == np.uint8
    assert moved_far.images["MR"].affine is case.images["MR"].affine


def test_integers_are_rounded_to_the_nearest():
    grid = grid_of((4, 2, 2))
    image = np.array([0, 10, 10, 20], np.int16)[:, None, None] + np.zeros(grid.shape, np.int16)
    case = case_of(grid, image=image)
    for shift_mm, wanted in ((0.3, [0, 7, 10, 17]), (0.75, [0, 2, 10, 12])):
        moved = rigid.apply(case, rigid.fixed(case, moved="MR", translation_mm=(shift_mm, 0, 0)))
        assert moved.images["MR"].array[:, 0, 0].tolist() == wanted
        bent = warp(
            case,
            "MR",
            lambda axes, s=shift_mm: -s * np.eye(3)[0][:, None, None, None] * np.ones([len(a) for a in axes]),
        )
        assert bent.images["MR"].array[:, 0, 0].tolist() == wanted


def test_what_a_field_does_is_measured_over_the_label():
    case = two_specks()
    assert measure(constant(2.0, -3.0, 6.0), case, "MR") == Realised(7.0, 7.0, 7.0, "label")
    found = measure(along_x, case, "MR")  # 1 and 7 mm
    assert (found.mean_mm, found.rms_mm, found.p95_mm) == pytest.approx((4.0, 5.0, 1 + 0.95 * 6))
    assert found.to_json() == {
        "realised_mean_mm": found.mean_mm,
        "realised_rms_mm": found.rms_mm,
        "realised_p95_mm": found.p95_mm,
        "measured_over": "label",
    }
    mask, over = structures(case, "MR")
    assert (np.argwhere(mask).tolist(), over) == ([[1, 2, 2], [7, 2, 2]], "label")
    assert sample_rms_mm(along_x, mask) == pytest.approx(5.0)
    empty = case_of(case.images["MR"].grid, np.zeros((9, 5, 5), np.uint8))
    assert structures(empty, "MR")[1] == "foreground"
    assert structures(empty, "CT")[1] == "foreground"


def test_a_large_structure_is_looked_at_in_part():
    """Of 100 planes along x every second is looked at, so that the RMS is that of the even ones."""
    mask = np.zeros((102, 30, 30), bool)
    mask[1:101] = True
    even = np.arange(1, 101, 2)
    assert sample_rms_mm(along_x, mask) == pytest.approx(math.sqrt((even**2).mean()), rel=1e-12)
    assert [len(r) for r in box(mask)] == [100, 30, 30]
    assert [r[0] for r in box(mask)] == [1, 0, 0]


def test_the_scale_of_a_nearly_linear_size():
    tried = []

    def rms_mm(scale):
        tried.append(scale)
        return 3.0 * scale

    assert solve_scale(6.0, rms_mm) == pytest.approx(2.0)
    assert tried == pytest.approx([1.0, 2.0])
    assert solve_scale(9.0, lambda s: s**2, most=1) == pytest.approx(9.0)
    calls = []
    solve_scale(9.0, lambda s: calls.append(s) or 1.0)
    assert len(calls) == 8
    assert solve_scale(1.0, lambda s: 1.0019 * s) == 1.0
    assert solve_scale(1.0, lambda s: 1.0021 * s) != 1.0


def test_axes_of_grids():
    turned = grid_of((4, 5, 6), (1.0, 1.0, 3.0), np.array([[0, 0, 1.0], [0.6, -0.8, 0], [0.8, 0.6, 0]]))
    assert [axis_along(turned, direction) for direction in range(3)] == [2, 1, 0]
    assert slice_axis(turned) == 2
    assert slice_axis(grid_of((4, 4, 4), (1.0, 1.2, 1.0))) == 1
    # 10 % coarser is not clear: the axis nearest to S counts
    assert slice_axis(grid_of((4, 4, 4), (1.0, 1.1, 1.0))) == 2
    assert slice_axis(grid_of((4, 4, 4), (1.1, 1.05, 1.0))) == 2
    assert np.linalg.norm(unit_vector(np.random.default_rng(0))) == pytest.approx(1.0)


def test_what_a_shift_needs():
    single = Case("b", {"MR": two_specks().images["MR"]})
    needs_pair(single, "MR", 0.0)
    with pytest.raises(ConfigError, match="case b") as caught:
        needs_pair(single, "MR", 0.5)
    assert "MR and at least one other modality" in str(caught.value)
    with pytest.raises(ConfigError, match=r"0 mm or more.*-1 mm") as caught:
        needs_pair(two_specks(), "MR", -1.0)
    assert "correct the level" in str(caught.value)
    with pytest.raises(ConfigError, match="CT, MR"):
        needs_pair(two_specks(), "PET", 1.0)


def test_breathing_grows_linearly_between_the_ends():
    """Heights 0, 2, 4, 6, 8 mm; half the shift up to 2 mm, the whole of it from 6 mm on."""
    grid = grid_of((3, 3, 5), (1.0, 1.0, 2.0))
    breath = respiratory.RespiratoryParameters(
        "MR", shift_si_mm=10.0, shift_ap_mm=4.0, low_gain=0.5, low_mm=2.0, high_mm=6.0, target_rms_mm=1.0
    )
    gains = np.array([0.5, 0.5, 0.75, 1.0, 1.0])
    shifts = respiratory.shifts_mm(breath, grid)
    np.testing.assert_allclose(shifts, gains[:, None] * [0.0, 4.0, 10.0])
    field = respiratory.field(breath, grid)
    np.testing.assert_allclose(field(whole(grid.shape)), -shifts.T[:, None, None, :] + np.zeros((3, 3, 3, 5)))
    some = (np.array([0]), np.array([1, 2]), np.array([4, 2]))
    np.testing.assert_allclose(field(some)[:, 0, 1], -shifts[[4, 2]].T)


@pytest.mark.parametrize("stacked", [0, 1])
def test_slices_may_be_stacked_along_any_axis(stacked):
    shape, spacing_mm = [2, 2, 2], [1.0, 1.0, 1.0]
    shape[stacked], spacing_mm[stacked] = 4, 3.0
    grid = grid_of(tuple(shape), tuple(spacing_mm))
    breath = respiratory.RespiratoryParameters(
        "MR", shift_si_mm=2.0, low_gain=0.5, high_mm=1.0, offset_sd_mm=1.0, offset_seed=5,
        slices_per_breath_hold=1, target_rms_mm=1.0,
    )  # fmt: skip
    shifts = respiratory.shifts_mm(breath, grid)
    assert shifts.shape == (4, 3)
    draws = np.random.default_rng(5).standard_normal((4, 2))
    within = [axis for axis in range(3) if axis != stacked]
    wanted = np.zeros((4, 3))
    wanted[:, within] = draws
    wanted[:, 2] += 0.75 * 2.0  # all slices have their middle at 0.5 mm, half way up
    np.testing.assert_allclose(shifts, wanted)
    field = respiratory.field(breath, grid)(whole(grid.shape))
    np.testing.assert_allclose(np.moveaxis(field, 1 + stacked, 1)[:, :, 1, 0], -shifts.T)


def test_no_motion_is_written_in_full_and_needs_no_second_modality():
    still = rigid.RigidParameters("MR", (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 0.0, (0.0, 0.0, 0.0), 0.0, 0.0)
    alone = Case("b", {"MR": two_specks().images["MR"]})
    assert rigid.none("MR") == still
    assert rigid.draw(np.random.default_rng(0), alone, moved="MR", target_rms_mm=0.0) == still
    assert rigid.fixed(alone, moved="MR", translation_mm=(0.0, 0.0, 0.0)).identity
    with pytest.raises(ConfigError):
        rigid.fixed(alone, moved="MR", translation_mm=(0.0, 0.0, 0.0), rotation_deg=1.0)


def test_a_turn_that_moves_nothing_leaves_all_to_the_shift():
    """The label is one voxel, which a turn about it, however far, does not move."""
    label = np.zeros((5, 5, 5), np.uint8)
    label[2, 2, 2] = 1
    found = rigid.draw(
        np.random.default_rng(0), case_of(grid_of(label.shape), label), moved="MR", target_rms_mm=2.0,
        rotation_deg_per_mm=180.0,
    )  # fmt: skip
    assert np.linalg.norm(found.translation_mm) == pytest.approx(2.0)


def test_breath_holds_jump_within_the_slice_and_share_a_draw():
    grid = grid_of((3, 3, 5), (1.0, 1.0, 2.0), TURN)
    held = respiratory.RespiratoryParameters(
        "MR", offset_sd_mm=3.0, offset_seed=11, slices_per_breath_hold=2, target_rms_mm=1.0
    )
    draws = 3.0 * np.random.default_rng(11).standard_normal((3, 2))
    wanted = np.column_stack([draws @ TURN[:2, :2].T, np.zeros(3)])[[0, 0, 1, 1, 2]]
    np.testing.assert_allclose(respiratory.shifts_mm(held, grid), wanted, atol=1e-12)


def test_a_drawn_breath_lies_within_its_sources():
    label = np.zeros((6, 6, 30), np.uint8)
    label[2:4, 2:4, 5:25] = 1
    case = case_of(grid_of(label.shape, (1.0, 1.0, 2.0), first_mm=(0.0, 0.0, -7.0)), label)
    drawn = [
        respiratory.draw(np.random.default_rng(s), case, moved="MR", target_rms_mm=6.0) for s in range(12)
    ]
    assert {np.sign(d.shift_si_mm) for d in drawn} == {-1.0, 1.0}
    for one in drawn:
        assert (one.low_mm, one.high_mm) == (3.0, 41.0)
        assert 0.2 <= one.shift_ap_mm / one.shift_si_mm <= 0.45
        assert 0.6 <= one.low_gain <= 0.7
        assert one.offset_sd_mm == pytest.approx(0.2 * abs(one.shift_si_mm))
        assert one.realised_rms_mm == pytest.approx(6.0)
        assert (one.target_rms_mm, one.slices_per_breath_hold, one.measured_over) == (6.0, 8, "label")
    rng = np.random.default_rng(0)
    sign = 1 if rng.random() < 0.5 else -1
    ratio, gain, seed = rng.uniform(0.2, 0.45), rng.uniform(0.6, 0.7), int(rng.integers(2**31))
    first = drawn[0]
    assert (np.sign(first.shift_si_mm), first.offset_seed) == (sign, seed)
    assert (first.shift_ap_mm / first.shift_si_mm, first.low_gain) == pytest.approx((ratio, gain))
