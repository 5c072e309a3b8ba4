"""Smooth deformations whose field and determinant are known in closed form."""

import math

import numpy as np
import pytest
from small_cases import TURN, case_of, grid_of, two_specks

from parallax.perturb import composite, elastic, rigid
from parallax.perturb.displacement import (
    measure,
    whole,
)
from parallax.perturb.spline import Flow, random_flow


def linear_flow(matrix, grid, cell_mm=2.0, size=14):
    """A flow whose displacement is `matrix` times the place in mm along the axes, from the middle on."""
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
    flat = linear_flow(matrix, grid_of((5, 1, 3), (1.0, 1.5, 2.0), TURN))  # there is no cell between centres
    assert flat.least_jacobian() == pytest.approx(np.linalg.det(TURN + matrix) / np.linalg.det(TURN))


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
