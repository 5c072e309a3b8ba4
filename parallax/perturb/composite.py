"""Rigid and elastic misalignment of one modality together, at a stated RMS displacement of the whole."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from parallax.case import Case, Grid
from parallax.perturb import elastic, rigid
from parallax.perturb.displacement import Array, Axes, Field, Vector, measure, needs_pair, warp
from parallax.perturb.drawn import Drawn
from parallax.perturb.elastic import ElasticParameters
from parallax.perturb.rigid import RigidParameters

#: Shares of the squared RMS displacement that make the elastic part 0.4 times as large as the rigid one.
ELASTIC_PART = 0.4 / float(np.hypot(1, 0.4))
RIGID_PART = 1 / float(np.hypot(1, 0.4))


@dataclass(frozen=True)
class CompositeParameters(Drawn):
    """A rigid motion after an elastic one.

    Attributes as in `RigidParameters` and `ElasticParameters`; what is realised is measured on the joint
    field. Its Jacobian determinant is that of the elastic part, as a rigid motion keeps volumes.
    """

    translation_mm: Vector = (0.0, 0.0, 0.0)
    axis: Vector = (0.0, 0.0, 1.0)
    rotation_deg: float = 0.0
    centre_mm: Vector = (0.0, 0.0, 0.0)
    field_seed: int = 0
    knot_mm: float = elastic.KNOT_MM
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
        return self.target_rms_mm == 0


def draw(
    rng: np.random.Generator,
    case: Case,
    *,
    moved: str,
    target_rms_mm: float,
    rotation_deg_per_mm: float = 1.0,
    knot_mm: float = elastic.KNOT_MM,
) -> CompositeParameters:
    """Draw both parts, the elastic one 0.4 times as large, and scale both to the RMS of the joint field.

    Raises:
        ConfigError: the level is negative, or the case has no second modality for `moved` to move against.
        DataError: no elastic field of this size is smooth enough.
    """
    needs_pair(case, moved, target_rms_mm)
    if target_rms_mm == 0:
        return none(moved)
    grid = case.images[moved].grid
    turned = rigid.draw(
        rng,
        case,
        moved=moved,
        target_rms_mm=RIGID_PART * target_rms_mm,
        rotation_deg_per_mm=rotation_deg_per_mm,
    )
    bent, scale = elastic.smooth_field(
        rng,
        case,
        ElasticParameters(moved, 0, knot_mm, ELASTIC_PART * target_rms_mm, target_rms_mm),
        lambda field, scale: _joint(field, _scaled(turned, scale), grid),
    )
    drawn = _joined(_scaled(turned, scale), bent)
    return replace(drawn, **measure(field(drawn, grid), case, moved).to_json())


def none(moved: str) -> CompositeParameters:
    """No motion."""
    return CompositeParameters(moved)


def field(parameters: CompositeParameters, grid: Grid) -> Field:
    """The field that `apply` follows."""
    p = parameters
    bent = ElasticParameters(p.moved, p.field_seed, p.knot_mm, p.amplitude_mm)
    turned = RigidParameters(p.moved, p.translation_mm, p.axis, p.rotation_deg, p.centre_mm, 0.0, 0.0)
    return _joint(elastic.field(bent, grid), turned, grid)


def apply(case: Case, parameters: CompositeParameters) -> Case:
    """Move image and label of one modality in one interpolation; no motion returns `case` itself."""
    if parameters.identity:
        return case
    moved = parameters.moved
    return warp(case, moved, field(parameters, case.images[moved].grid))


def _joint(bent: Field, turned: RigidParameters, grid: Grid) -> Field:
    back = rigid.backward(turned)

    def evaluate(axes: Axes) -> Array:
        first = bent(axes)
        # back @ (y + first) - y, with y = grid.affine @ index
        after: Array = rigid.field(turned, grid)(axes) + np.einsum("ij,jxyz->ixyz", back[:3, :3], first)
        return after

    return evaluate


def _scaled(parameters: RigidParameters, scale: float) -> RigidParameters:
    x, y, z = (scale * t for t in parameters.translation_mm)
    return replace(parameters, translation_mm=(x, y, z), rotation_deg=scale * parameters.rotation_deg)


def _joined(turned: RigidParameters, bent: ElasticParameters) -> CompositeParameters:
    return CompositeParameters(
        moved=bent.moved,
        translation_mm=turned.translation_mm,
        axis=turned.axis,
        rotation_deg=turned.rotation_deg,
        centre_mm=turned.centre_mm,
        field_seed=bent.field_seed,
        knot_mm=bent.knot_mm,
        amplitude_mm=bent.amplitude_mm,
        target_rms_mm=bent.target_rms_mm,
        jacobian_min=bent.jacobian_min,
        tries=bent.tries,
    )
