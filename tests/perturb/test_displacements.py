"""Families that displace: their size is measured on what was applied, and deformations never fold."""

import numpy as np
import pytest
from families_toy import draw
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from parallax.case import Case, Grid, Volume
from parallax.errors import ConfigError, DataError
from parallax.perturb import composite, elastic, respiratory, rigid
from parallax.perturb.displacement import measure, slabs, slice_axis, whole
from parallax.perturb.level import Level
from parallax.perturb.spline import random_flow

MODULES = {"rigid": rigid, "elastic": elastic, "respiratory": respiratory, "composite": composite}
SEEDS = range(3)
LARGE_MM = 10.0


def places(grid):
    """RAS mm of every voxel centre, [3, X, Y, Z]."""
    index = np.indices(grid.shape, dtype=np.float64)
    return np.einsum("ij,jxyz->ixyz", grid.affine[:3, :3], index) + grid.affine[:3, 3, None, None, None]


def coordinates_case(case):
    """A case whose moved image is, voxel by voxel, one coordinate of its place; three cases for x, y, z."""
    grid = case.images["MR"].grid
    for axis in range(3):
        image = Volume(places(grid)[axis].astype(np.float32), grid.affine)
        yield Case("a", {**case.images, "MR": image}, case.labels)


@pytest.mark.parametrize("family", MODULES)
@pytest.mark.parametrize("target_mm", [0.5, 4.0, LARGE_MM])
def test_rms_over_the_structures_is_the_target_on_an_oblique_anisotropic_grid(family, target_mm, ball_case):
    mask = ball_case.labels["MR"].array > 0
    for seed in SEEDS:
        found = draw(ball_case, Level("s", "MR", target_mm, family=family), seed)
        field = MODULES[family].field(found, ball_case.images["MR"].grid)
        lengths = np.linalg.norm(field(whole(ball_case.images["MR"].array.shape)), axis=0)[mask]
        assert np.sqrt((lengths**2).mean()) == pytest.approx(target_mm, rel=0.05)
        assert found.realised_rms_mm == pytest.approx(np.sqrt((lengths**2).mean()), rel=1e-6)
        assert found.realised_mean_mm == pytest.approx(lengths.mean())
        assert found.realised_p95_mm == pytest.approx(np.percentile(lengths, 95))
        assert (found.target_rms_mm, found.measured_over) == (target_mm, "label")


@pytest.mark.parametrize("family", MODULES)
def test_two_specks_far_apart_are_moved_by_the_target_too(family):
    """They lie between the points at which a field is sampled while it is scaled."""
    label = np.zeros((150, 140, 60), np.uint8)
    label[3:5, 4:6, 3:5] = 1
    label[147:149, 131:133, 53:55] = 2
    volume = Volume(label, np.diag([1.0, 1.0, 3.0, 1.0]))
    case = Case("a", {"CT": volume, "MR": volume}, {"MR": volume})
    found = draw(case, Level("s", "MR", 6.0, family=family))
    assert found.realised_rms_mm == pytest.approx(6.0, rel=0.05)


@pytest.mark.parametrize("family", MODULES)
def test_the_voxels_went_where_the_measured_field_says(family, ball_case):
    """An image of coordinates shows after the motion where each voxel's content came from."""
    found = draw(ball_case, Level("s", "MR", 4.0, family=family), 1)
    grid = ball_case.images["MR"].grid
    field = MODULES[family].field(found, grid)(whole(grid.shape))
    index = np.linalg.inv(grid.affine[:3, :3]) @ field.reshape(3, -1)
    source = np.indices(grid.shape).reshape(3, -1) + index
    # at the border the edge value stands in for what was never scanned
    seen = ((source >= 0) & (source <= np.array(grid.shape)[:, None] - 1)).all(axis=0).reshape(grid.shape)
    assert seen.mean() > 0.5
    for axis, case in enumerate(coordinates_case(ball_case)):
        after = MODULES[family].apply(case, found).images["MR"].array
        np.testing.assert_allclose((after - places(grid)[axis])[seen], field[axis][seen], atol=1e-3)


@pytest.mark.parametrize("family", MODULES)
def test_without_a_label_the_foreground_of_the_image_counts(family, ball_case):
    found = draw(Case("a", ball_case.images), Level("s", "MR", 3.0, family=family))
    assert found.measured_over == "foreground"
    field = MODULES[family].field(found, ball_case.images["MR"].grid)
    assert measure(field, ball_case, "MR").rms_mm == pytest.approx(3.0, rel=0.1)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), target_mm=st.floats(0.2, 15), knot_mm=st.sampled_from([12.0, 30.0]))
@example(seed=454, target_mm=10.0, knot_mm=12.0)  # no centre of a voxel folds, but a cell between eight did
def test_no_elastic_field_folds(ball_case, seed, target_mm, knot_mm):
    found = elastic.draw(
        np.random.default_rng(seed), ball_case, moved="MR", target_rms_mm=target_mm, knot_mm=knot_mm
    )
    grid = ball_case.images["MR"].grid
    moved = places(grid) + elastic.field(found, grid)(whole(grid.shape))
    # differences of neighbours, not the derivatives that the code itself takes
    steps = [np.diff(moved, axis=a + 1)[:, : grid.shape[0] - 1, : grid.shape[1] - 1, : grid.shape[2] - 1]
             for a in range(3)]  # fmt: skip
    volumes = (steps[0] * np.cross(steps[1], steps[2], axis=0)).sum(axis=0) / np.linalg.det(grid.affine)
    assert volumes.min() > 0
    assert found.jacobian_min >= elastic.LEAST_JACOBIAN
    assert found.tries == 1 or found.knot_mm > knot_mm


def test_stored_jacobian_is_that_of_the_field(ball_case):
    fine = Grid((40, 40, 40), np.diag([0.5, 0.5, 0.5, 1.0]))
    flow = random_flow(fine, seed=3, knot_mm=15, amplitude_mm=5)
    gradient = np.stack(
        [np.stack(np.gradient(component, 0.5)) for component in flow.field(whole(fine.shape))]
    )  # [component, derivative]
    jacobian = np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3))
    assert flow.least_jacobian() == pytest.approx(jacobian.min(), abs=0.02)


def test_flow_of_the_opposite_velocity_leads_back():
    grid = Grid((48, 48, 48), np.diag([2.0, 2.0, 2.0, 1.0]))
    there, back = (random_flow(grid, seed=5, knot_mm=30, amplitude_mm=a) for a in (6.0, -6.0))
    first, second = there.field(whole(grid.shape)), back.field(whole(grid.shape))
    index = np.indices(grid.shape) + first / 2.0
    returned = first + np.stack([map_coordinates(c, index, order=1, mode="nearest") for c in second])
    inner = (slice(None), *[slice(12, -12)] * 3)
    assert np.sqrt((returned[inner] ** 2).mean()) < 0.05 * np.sqrt((first[inner] ** 2).mean())
    assert np.abs(first[inner]).max() > 5


def test_a_level_at_which_every_field_folds_is_an_error(ball_case, monkeypatch):
    monkeypatch.setattr(elastic, "TRIES", 1)
    said = r"folds the image.*determinant of at least 0.1 everywhere.*knots 10 mm apart.*larger knot_mm"
    with pytest.raises(DataError, match=said):
        elastic.draw(np.random.default_rng(0), ball_case, moved="MR", target_rms_mm=30, knot_mm=10)


@pytest.mark.parametrize("family", MODULES)
@pytest.mark.parametrize(("moved", "target_mm"), [("PET", 3.0), ("MR", -1.0)])
def test_unknown_modality_or_negative_level_is_refused(family, moved, target_mm, ball_case):
    with pytest.raises(ConfigError):
        MODULES[family].draw(np.random.default_rng(0), ball_case, moved=moved, target_rms_mm=target_mm)


def test_elastic_part_of_a_composite_is_the_smaller_one(ball_case):
    found = draw(ball_case, Level("s", "MR", 8.0, family="composite"))
    assert found.rotation_deg > 0
    assert 0.2 < found.amplitude_mm / np.linalg.norm(found.translation_mm) < 0.6


@pytest.mark.parametrize("stacked", [0, 1, 2])
def test_respiratory_shift_is_constant_within_a_slice_and_differs_between(stacked, ball_case):
    """Whichever native axis the slices are stacked along."""
    image, label = ball_case.images["MR"], ball_case.labels["MR"]
    affine = image.affine.copy()
    order = [0, 1]
    order.insert(stacked, 2)
    affine[:3, :3] = image.affine[:3, order]
    case = Case(
        "a",
        {**ball_case.images, "MR": Volume(image.array.transpose(order), affine)},
        {"MR": Volume(label.array.transpose(order), affine)},
    )
    grid = case.images["MR"].grid
    assert slice_axis(grid) == stacked
    found = draw(case, Level("s", "MR", 5.0, family="respiratory"))
    field = respiratory.field(found, grid)(whole(grid.shape))
    assert np.ptp(np.moveaxis(field, 1 + stacked, 0), axis=(2, 3)).max() == 0
    per_slice = np.moveaxis(field, 1 + stacked, 0)[:, :, 0, 0]
    # beyond the structures the shift stays what it is at their ends
    assert len(np.unique(per_slice.round(6), axis=0)) > 8


def test_respiratory_shift_grows_to_the_diaphragm_and_jumps_at_breath_holds(ball_case):
    grid = ball_case.images["MR"].grid
    found = draw(ball_case, Level("s", "MR", 5.0, family="respiratory"))
    shifts = respiratory.shifts_mm(found, grid)
    up_down = np.abs(shifts[:, 2])  # slices of this grid lie in the x-y plane: offsets have no z
    assert (np.diff(up_down) >= -1e-9).all()
    assert found.low_gain == pytest.approx(up_down.min() / up_down.max())
    jumps = np.flatnonzero(np.abs(np.diff(shifts[:, 0])) > 1e-9) + 1
    assert set(jumps) == set(range(8, grid.shape[2], 8))


def test_slabs_cover_a_grid_once_whatever_its_size(monkeypatch):
    monkeypatch.setattr("parallax.perturb.displacement.SLAB_VOXELS", 50)
    covered = [axes[2] for axes in slabs(whole((5, 4, 9)))]
    assert len(covered) > 1
    np.testing.assert_array_equal(np.concatenate(covered), np.arange(9))
