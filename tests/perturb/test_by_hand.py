"""Misalignments of cases small enough to be worked out on paper."""

import math

import numpy as np
import pytest

from parallax.case import Case, Grid, Volume
from parallax.errors import ConfigError
from parallax.perturb import composite, elastic, fov, respiratory, rigid, spacing, subject
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
from parallax.perturb.spline import Flow, random_flow

TURN = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])


def grid_of(shape, spacing_mm=(1.0, 1.0, 1.0), turn=None, first_mm=(0.0, 0.0, 0.0)):
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) * np.array(spacing_mm)
    affine[:3, 3] = first_mm
    return Grid(shape, affine)


def case_of(grid, label=None, image=None, **other):
    array = np.zeros(grid.shape, np.float32) if image is None else image
    volume = Volume(array, grid.affine)
    labels = {} if label is None else {"MR": Volume(label, grid.affine)}
    return Case("a", {"CT": volume, "MR": volume}, labels, **other)


def two_specks():
    """A label of two voxels at x = -3 and x = +3 mm."""
    label = np.zeros((9, 5, 5), np.uint8)
    label[[1, 7], 2, 2] = 1
    return case_of(grid_of((9, 5, 5), first_mm=(-4.0, -2.0, -2.0)), label)


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
    image = np.array([0, 2, 8, 4, 6], np.float32)[:, None, None] + np.zeros(grid.shape, np.float32)
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
    assert moved.images["MR"].array[:, 1, 1].tolist() == [0, 1, 5, 6, 5]
    assert moved_far.images["MR"].array[:, 1, 1].tolist() == [2, 8, 4, 6, 6]
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


def constant(*mm):
    return lambda axes: np.array(mm)[:, None, None, None] * np.ones([len(a) for a in axes])


def along_x(axes):
    """As far along y as the first index says, in mm."""
    x, _, _ = np.broadcast_arrays(*np.ix_(*axes))
    return np.stack([0.0 * x, 1.0 * x, 0.0 * x])


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


def linear_flow(matrix, grid, cell_mm=2.0, size=14):
    """A flow whose displacement is `matrix` times the place, in mm along the axes from the middle of the grid."""
    place = (np.indices((size,) * 3) - (size - 1) / 2) * cell_mm
    return Flow(grid, np.einsum("ij,jxyz->ixyz", matrix, place), cell_mm)


def test_a_linear_flow_has_its_matrix_everywhere():
    """B-splines reproduce straight lines, and the determinant is that of the directions plus the matrix."""
    matrix = np.array([[0.1, 0.02, 0.0], [-0.05, 0.2, 0.03], [0.0, 0.04, -0.3]])
    grid = grid_of((5, 4, 3), (1.0, 1.5, 2.0), TURN, (7.0, 0.0, 1.0))
    flow = linear_flow(matrix, grid)
    place = (np.indices(grid.shape).T - (np.array(grid.shape) - 1) / 2).T
    place = place * np.array(grid.spacing_mm)[:, None, None, None]
    wanted = np.einsum("ij,jxyz->ixyz", matrix, place)
    np.testing.assert_allclose(flow.field(whole(grid.shape)), wanted, atol=1e-12)
    some = (np.array([0, 3]), np.array([2]), np.array([1, 2]))
    np.testing.assert_allclose(flow.field(some), wanted[:, [0, 3], 2:3, 1:], atol=1e-12)
    assert flow.least_jacobian() == pytest.approx(np.linalg.det(TURN + matrix) / np.linalg.det(TURN))


def test_a_cell_that_folds_between_its_centres_is_seen():
    """Voxels far coarser than the lattice: the derivative is 1 at every centre, and the steps turn round."""
    size, wave = 33, 4
    x = np.arange(size) - (size - 1) / 2
    coefficients = np.zeros((3, size, 9, 9))
    coefficients[0] = (-3.0 * np.cos(np.pi * x / wave))[:, None, None]  # crests at the centres, 4 cells apart
    grid = grid_of((3, 2, 2), (4.0, 1.0, 1.0))
    flow = Flow(grid, coefficients, 1.0)
    field = flow.field(whole(grid.shape))[0, :, 0, 0]
    steps = np.diff(field) / 4 + 1
    assert flow.least_jacobian() == pytest.approx(min(1.0, steps.min()))
    assert steps.min() < 0.9


def test_no_velocity_is_no_motion_and_the_expected_size_is_that_of_the_velocity():
    grid = grid_of((24, 20, 16), (1.0, 1.5, 2.0), TURN)
    still = random_flow(grid, seed=1, knot_mm=8.0, amplitude_mm=0.0)
    assert np.abs(still.field(whole(grid.shape))).max() == 0
    assert still.least_jacobian() == pytest.approx(1.0)
    assert still.cell_mm == 2.0
    fields = [
        random_flow(grid, seed=s, knot_mm=8.0, amplitude_mm=0.01).field(whole(grid.shape)) for s in range(8)
    ]
    rms = math.sqrt(np.mean([(f**2).sum(axis=0).mean() for f in fields]))
    assert rms == pytest.approx(0.01, rel=0.1)
    per_axis = np.sqrt(np.mean([(f**2).mean(axis=(1, 2, 3)) for f in fields], axis=0))
    np.testing.assert_allclose(per_axis, 0.01 / math.sqrt(3), rtol=0.2)
    assert not np.allclose(fields[0], fields[1], atol=1e-3)


def test_an_elastic_draw_is_what_its_field_does():
    label = np.zeros((20, 20, 20), np.uint8)
    label[4:16, 5:15, 6:14] = 1
    case = case_of(grid_of(label.shape, (2.0, 2.0, 2.0)), label)
    found = elastic.draw(np.random.default_rng(2), case, moved="MR", target_rms_mm=1.5, knot_mm=25.0)
    applied = elastic.field(found, case.images["MR"].grid)
    assert measure(applied, case, "MR").to_json() == {
        k: v for k, v in found.to_json().items() if k.startswith(("realised", "measured"))
    }
    assert found.realised_rms_mm == pytest.approx(1.5, rel=3e-3)
    assert (found.target_rms_mm, found.tries, found.knot_mm) == (1.5, 1, 25.0)
    assert found.field_seed == int(np.random.default_rng(2).integers(2**31))
    assert found.jacobian_min == elastic.flow(found, case.images["MR"].grid).least_jacobian()
    assert not found.identity
    assert elastic.none("MR").identity
    assert elastic.draw(np.random.default_rng(2), case, moved="MR", target_rms_mm=0) == elastic.none("MR")


def test_a_composite_of_one_part_is_that_part():
    case = two_specks()
    grid = case.images["MR"].grid
    turned = rigid.fixed(case, moved="MR", translation_mm=(1.0, 2.0, -1.0), axis=(0, 1, 1), rotation_deg=20.0)
    whole_field = whole(grid.shape)
    alone = composite.CompositeParameters(
        "MR", turned.translation_mm, turned.axis, 20.0, turned.centre_mm, 3, 12.0, 0.0, 1.0
    )
    np.testing.assert_allclose(
        composite.field(alone, grid)(whole_field), rigid.field(turned, grid)(whole_field), atol=1e-12
    )
    bent = elastic.ElasticParameters("MR", 3, 12.0, 2.0)
    soft = composite.CompositeParameters(
        "MR", field_seed=3, knot_mm=12.0, amplitude_mm=2.0, target_rms_mm=2.0
    )
    np.testing.assert_allclose(
        composite.field(soft, grid)(whole_field), elastic.field(bent, grid)(whole_field), atol=1e-12
    )
    both = composite.CompositeParameters(
        "MR", turned.translation_mm, turned.axis, 20.0, turned.centre_mm, 3, 12.0, 2.0, 2.0
    )
    places = (
        np.einsum("ij,jxyz->ixyz", grid.affine[:3, :3], np.indices(grid.shape))
        + grid.affine[:3, 3, None, None, None]
    )
    first = places + elastic.field(bent, grid)(whole_field)
    back = rigid.backward(turned)
    wanted = np.einsum("ij,jxyz->ixyz", back[:3, :3], first) + back[:3, 3, None, None, None] - places
    np.testing.assert_allclose(composite.field(both, grid)(whole_field), wanted, atol=1e-12)


def test_the_parts_of_a_composite_are_as_five_to_two():
    label = np.zeros((20, 20, 20), np.uint8)
    label[4:16, 5:15, 6:14] = 1
    case = case_of(grid_of(label.shape, (2.0, 2.0, 2.0)), label)
    found = composite.draw(
        np.random.default_rng(4), case, moved="MR", target_rms_mm=3.0, rotation_deg_per_mm=0.0, knot_mm=25.0
    )
    shift = np.linalg.norm(found.translation_mm)
    scale = shift / (3.0 / math.hypot(1, 0.4))
    assert found.amplitude_mm == pytest.approx(scale * 3.0 * 0.4 / math.hypot(1, 0.4))
    assert (found.rotation_deg, found.knot_mm, found.tries, found.target_rms_mm) == (0.0, 25.0, 1, 3.0)
    assert found.realised_rms_mm == pytest.approx(3.0, rel=3e-3)
    turned = composite.draw(np.random.default_rng(4), case, moved="MR", target_rms_mm=3.0)
    assert turned.rotation_deg / np.linalg.norm(turned.translation_mm) == pytest.approx(1.0)
    assert turned.knot_mm == elastic.KNOT_MM
    np.testing.assert_allclose(turned.centre_mm, [19.0, 19.0, 19.0])


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


def test_a_window_is_drawn_over_all_places_and_moves_the_origin():
    label = np.zeros((2, 2, 10), np.uint8)
    label[0, 0, [1, 4, 5, 8]] = 1
    case = case_of(grid_of(label.shape, (1.0, 1.0, 2.5), first_mm=(1.0, 2.0, 3.0)), label)
    drawn = [fov.draw(np.random.default_rng(s), case, moved="MR", target_fraction=0.8) for s in range(20)]
    assert {d.first for d in drawn} == {0, 1, 2}
    one = next(d for d in drawn if d.first == 1)
    assert (one.axis, one.count, one.target_fraction, one.covered_fraction, one.covered_mm) == (
        2,
        8,
        0.8,
        0.8,
        20.0,
    )
    assert one.structures_fraction == 1.0
    assert next(d for d in drawn if d.first == 2).structures_fraction == 0.75
    cut = fov.apply(case, one)
    assert cut.images["MR"].array.shape == (2, 2, 8)
    assert cut.labels["MR"].affine[:3, 3].tolist() == [1.0, 2.0, 5.5]
    assert cut.images["CT"] is case.images["CT"]
    assert cut.id == "a"
    assert fov.draw(np.random.default_rng(0), case, moved="MR", target_fraction=1.0).identity
    assert fov.draw(np.random.default_rng(0), case, moved="MR", target_fraction=0.001).count == 1
    with pytest.raises(ConfigError, match=r"above 0 and up to 1.*found: 1\.2|above 0 and up to 1"):
        fov.draw(np.random.default_rng(0), case, moved="MR", target_fraction=1.2)


def test_a_window_follows_the_axis_that_runs_upwards():
    upwards = np.array([[0, 1.0, 0], [0, 0, 1.0], [-1.0, 0, 0]])
    case = case_of(grid_of((10, 3, 4), (2.0, 1.0, 1.0), upwards))
    one = fov.draw(np.random.default_rng(1), case, moved="MR", target_fraction=0.5)
    assert (one.axis, one.count, one.covered_mm) == (0, 5, 10.0)
    cut = fov.apply(case, one).images["MR"]
    assert cut.array.shape == (5, 3, 4)
    assert cut.affine[:3, 3].tolist() == [0.0, 0.0, -2.0 * one.first]


def test_slices_half_as_thick_again_weigh_what_they_cover():
    """Five slices of 2 mm become three of 3 mm; half a millimetre is left out at both ends."""
    grid = grid_of((1, 1, 5), (1.0, 1.0, 2.0), first_mm=(0.0, 0.0, 10.0))
    image = np.array([0.0, 6.0, 12.0, 3.0, 9.0], np.float32).reshape(grid.shape)
    label = np.array([1, 2, 2, 0, 1], np.uint8).reshape(grid.shape)
    case = case_of(grid, label, image)
    found = spacing.draw(np.random.default_rng(0), case, moved="MR", factor=1.5)
    assert (found.axis, found.count, found.native_slice_mm, found.target_slice_mm, found.slice_mm) == (
        2,
        3,
        2,
        3,
        3,
    )
    thick = spacing.apply(case, found)
    wanted = [3.0, (0.25 * 6 + 12 + 0.25 * 3) / 1.5, 6.0]
    assert thick.images["MR"].array.ravel().tolist() == pytest.approx(wanted)
    assert thick.labels["MR"].array.ravel().tolist() == [1, 2, 0]  # a tie goes to the smaller id
    # the first new slice covers 0.5 to 3.5 mm above the lower face of the first old one, at 9 mm
    np.testing.assert_allclose(thick.images["MR"].affine[:3, 3], [0.0, 0.0, 11.0])
    np.testing.assert_allclose(thick.images["MR"].affine[:3, 2], [0.0, 0.0, 3.0])
    assert (thick.images["CT"], thick.id) == (case.images["CT"], "a")


def test_slices_thicker_than_the_scan_are_one_and_a_bit_thicker_are_none():
    case = case_of(grid_of((2, 2, 4), (1.0, 1.0, 2.0)))
    one = spacing.draw(np.random.default_rng(0), case, moved="MR", slice_mm=20.0)
    assert (one.count, one.slice_mm, one.target_slice_mm) == (1, 8.0, 20.0)
    assert spacing.apply(case, one).images["MR"].array.shape == (2, 2, 1)
    assert spacing.draw(np.random.default_rng(0), case, moved="MR", slice_mm=2.002).identity
    assert not spacing.draw(np.random.default_rng(0), case, moved="MR", slice_mm=2.003).identity
    assert spacing.draw(np.random.default_rng(0), case, moved="MR").identity
    assert spacing.draw(np.random.default_rng(0), case, moved="MR", factor=2.0).count == 2
    with pytest.raises(ConfigError, match=r"0\.9, 0 mm"):
        spacing.draw(np.random.default_rng(0), case, moved="MR", factor=0.9)


def test_a_donor_is_put_where_the_middle_of_the_replaced_scan_was():
    own = case_of(grid_of((5, 5, 5), (2.0, 2.0, 2.0), first_mm=(1.0, 0.0, 0.0)))
    label = np.zeros((3, 7, 5), np.uint8)
    other = case_of(grid_of((3, 7, 5), (1.0, 1.0, 1.0)), label)
    found = subject.draw(own, other, moved="MR", target_fraction=0.2, swapped_fraction=0.25)
    assert (found.donor, found.offset_mm) == ("a", (1 + 4.0 - 1.0, 4.0 - 3.0, 4.0 - 2.0))
    assert (found.moved, found.target_fraction, found.swapped_fraction) == ("MR", 0.2, 0.25)
    taken = subject.apply(own, found, {"a": other}.__getitem__)
    assert taken.images["MR"].array is other.images["MR"].array
    assert taken.labels["MR"].array is label
    assert taken.images["MR"].affine[:3, 3].tolist() == [4.0, 1.0, 2.0]
    assert taken.images["CT"] is own.images["CT"]
    bare = subject.apply(other, subject.SubjectParameters("MR", "b"), {"b": own}.__getitem__)
    assert dict(bare.labels) == {}
    assert subject.apply(own, subject.none("MR"), {}.__getitem__) is own
