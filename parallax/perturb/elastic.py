"""Elastic misalignment: a smooth one-to-one deformation of one modality at a stated RMS displacement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from parallax.case import Case, Grid
from parallax.errors import DataError
from parallax.perturb.displacement import (
    Field,
    draw_seed,
    measure,
    needs_pair,
    sample_rms_mm,
    solve_scale,
    structures,
    warp,
)
from parallax.perturb.drawn import Drawn
from parallax.perturb.spline import Flow, random_flow

#: Makes of an elastic field and a scale the whole field that is applied.
Joint = Callable[[Field, float], Field]
#: Distance of knots where none is configured: bends organs, and crumples none at common sizes.
KNOT_MM = 30.0
#: Closest knots that may be asked for: the lattice of a whole abdomen then takes some 100 MB.
LEAST_KNOT_MM = 10.0
#: Least Jacobian determinant that is let pass: no voxel is squeezed to less than a tenth.
LEAST_JACOBIAN = 0.1
#: Draws until a field is given up; knots move apart by SMOOTHER after each failure.
TRIES = 8
SMOOTHER = 1.3


@dataclass(frozen=True)
class ElasticParameters(Drawn):
    """The flow of a random velocity on B-spline knots; see `parallax.perturb.spline`.

    Attributes:
        moved: the modality that moves.
        field_seed: from which the values at the knots are drawn again.
        knot_mm: distance of knots, after smoothing.
        amplitude_mm: expected RMS length of the velocity.
        target_rms_mm: RMS displacement that was asked for.
        realised_mean_mm, realised_rms_mm, realised_p95_mm: measured on the applied field over the structures.
        measured_over: `label` or `foreground`; empty where nothing moves.
        jacobian_min: least Jacobian determinant over the whole grid (see `Flow.least_jacobian`).
        tries: fields drawn, the last of which is used.
    """

    field_seed: int = 0
    knot_mm: float = KNOT_MM
    amplitude_mm: float = 0.0
    target_rms_mm: float = 0.0
    realised_mean_mm: float = 0.0
    realised_rms_mm: float = 0.0
    realised_p95_mm: float = 0.0
    measured_over: str = ""
    jacobian_min: float = 1.0
    tries: int = 0

    @property
    def identity(self) -> bool:
        """Whether nothing moves."""
        return self.amplitude_mm == 0


def draw(
    rng: np.random.Generator, case: Case, *, moved: str, target_rms_mm: float, knot_mm: float = KNOT_MM
) -> ElasticParameters:
    """Draw a velocity and scale it until the RMS displacement over the structures is `target_rms_mm`.

    The Jacobian determinant is computed at and between all voxels of the grid. Where its minimum is below
    0.1, another field is drawn on knots 1.3 times as far apart, eight times at most.

    Raises:
        ConfigError: the level is negative, or the case has no second modality for `moved` to move against.
        DataError: no field of this size is smooth enough.
    """
    needs_pair(case, moved, target_rms_mm)
    if target_rms_mm == 0:
        return none(moved)
    found, _ = smooth_field(rng, case, ElasticParameters(moved, 0, knot_mm, target_rms_mm, target_rms_mm))
    applied = field(found, case.images[moved].grid)
    return replace(found, **measure(applied, case, moved).to_json())


def smooth_field(
    rng: np.random.Generator, case: Case, wanted: ElasticParameters, joint: Joint = lambda field, _: field
) -> tuple[ElasticParameters, float]:
    """Draw fields until one is smooth enough at the scale at which the RMS displacement is as wanted.

    Args:
        rng: draws one seed a try.
        case: the case.
        wanted: `moved`, `target_rms_mm`, and the `amplitude_mm` and `knot_mm` to begin with.
        joint: makes of the elastic field and the scale the field whose RMS counts.

    Returns:
        The parameters with seed, knots, amplitude, least Jacobian and tries, and the scale of the amplitude.

    Raises:
        DataError: no field of this size is smooth enough.
    """
    mask, _ = structures(case, wanted.moved)
    grid, knot_mm, least = case.images[wanted.moved].grid, wanted.knot_mm, 0.0
    for tries in range(1, TRIES + 1):
        start = replace(wanted, field_seed=draw_seed(rng), knot_mm=knot_mm, tries=tries)

        def scaled(scale: float, start: ElasticParameters = start) -> ElasticParameters:
            return replace(start, amplitude_mm=scale * wanted.amplitude_mm)

        def rms_mm(scale: float, scaled: Callable[[float], ElasticParameters] = scaled) -> float:
            return sample_rms_mm(joint(field(scaled(scale), grid), scale), mask)

        scale = solve_scale(wanted.target_rms_mm, rms_mm)
        least = flow(scaled(scale), grid).least_jacobian()
        if least >= LEAST_JACOBIAN:
            return replace(scaled(scale), jacobian_min=least), scale
        knot_mm *= SMOOTHER
    raise _too_large(case, wanted.target_rms_mm, knot_mm / SMOOTHER, least)


def none(moved: str) -> ElasticParameters:
    """No motion."""
    return ElasticParameters(moved)


def flow(parameters: ElasticParameters, grid: Grid) -> Flow:
    """The deformation of a grid that the parameters stand for."""
    return random_flow(
        grid,
        seed=parameters.field_seed,
        knot_mm=parameters.knot_mm,
        amplitude_mm=parameters.amplitude_mm,
    )


def field(parameters: ElasticParameters, grid: Grid) -> Field:
    """The field that `apply` follows."""
    return flow(parameters, grid).field


def apply(case: Case, parameters: ElasticParameters) -> Case:
    """Deform image and label of one modality; no motion returns `case` itself."""
    if parameters.identity:
        return case
    moved = parameters.moved
    return warp(case, moved, field(parameters, case.images[moved].grid))


def _too_large(case: Case, target_rms_mm: float, knot_mm: float, least: float) -> DataError:
    """The error of a level at which every field folds."""
    return DataError(
        "An elastic misalignment of this size folds the image",
        where=f"case {case.id}, RMS {target_rms_mm:g} mm",
        expected=f"a Jacobian determinant of at least {LEAST_JACOBIAN} everywhere",
        found=f"{least:.3g} after {TRIES} fields, the last with knots {knot_mm:.0f} mm apart",
        remedy="ask for a smaller rms_mm, or a larger knot_mm",
    )
