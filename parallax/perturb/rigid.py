"""Rigid misalignment of one modality: drawn at a stated RMS displacement, saved, applied, replayed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.case import Case, Grid, Volume
from parallax.data.frame import interpolate
from parallax.perturb.displacement import (
    Array,
    Axes,
    Field,
    Vector,
    bad_level,
    measure,
    needs_pair,
    structures,
    unit_vector,
)
from parallax.perturb.drawn import Drawn


@dataclass(frozen=True)
class RigidParameters(Drawn):
    """A rigid motion x -> R (x - centre) + centre + translation in RAS mm, R about `axis` by `rotation_deg`.

    Attributes:
        moved: the modality that moves.
        translation_mm: shift after the rotation.
        axis: unit vector.
        rotation_deg: right-handed angle about `axis`.
        centre_mm: centroid of the foreground, so that rotation and translation add in quadrature.
        target_rms_mm: RMS displacement that was asked for.
        realised_rms_mm: RMS displacement over the foreground (label of `moved`, else image foreground).
        realised_mean_mm, realised_p95_mm: mean and 95th percentile of its length there.
        measured_over: `label` or `foreground`; empty where nothing moves.
    """

    translation_mm: Vector
    axis: Vector
    rotation_deg: float
    centre_mm: Vector
    target_rms_mm: float
    realised_rms_mm: float
    realised_mean_mm: float = 0.0
    realised_p95_mm: float = 0.0
    measured_over: str = ""

    @property
    def identity(self) -> bool:
        """Whether nothing moves."""
        return self.rotation_deg == 0 and not any(self.translation_mm)


def draw(
    rng: np.random.Generator,
    case: Case,
    *,
    moved: str,
    target_rms_mm: float,
    rotation_deg_per_mm: float = 1.0,
) -> RigidParameters:
    """Draw direction and axis uniformly on the sphere and scale the motion to an RMS displacement.

    The nominal motion is a shift of `target_rms_mm` with a rotation of `rotation_deg_per_mm` times as many
    degrees; both are scaled by one factor until the RMS over the foreground is `target_rms_mm` (within 1 %).

    Raises:
        ConfigError: the level is negative, or the case has no second modality for `moved` to move against.
    """
    needs_pair(case, moved, target_rms_mm)
    direction, axis = unit_vector(rng), unit_vector(rng)
    if target_rms_mm == 0:
        return none(moved)
    centre, spread = _moments(case, moved)
    lever_mm2 = _lever(spread, axis)
    scale = _solve_scale(target_rms_mm, np.deg2rad(rotation_deg_per_mm * target_rms_mm), lever_mm2)
    rotation_deg = scale * rotation_deg_per_mm * target_rms_mm
    translation = scale * target_rms_mm * direction
    realised = _rms(np.linalg.norm(translation), np.deg2rad(rotation_deg), lever_mm2)
    parameters = RigidParameters(
        moved, _vector(translation), _vector(axis), rotation_deg, _vector(centre), target_rms_mm, realised
    )
    return _measured(parameters, case)


def fixed(
    case: Case,
    *,
    moved: str,
    translation_mm: Vector,
    axis: Vector = (0.0, 0.0, 1.0),
    rotation_deg: float = 0.0,
) -> RigidParameters:
    """A motion that is written down instead of drawn; its RMS displacement is measured on the case.

    Raises:
        ConfigError: the axis is zero, or the case has no second modality for `moved` to move against.
    """
    needs_pair(case, moved, 0.0 if rotation_deg == 0 and not any(translation_mm) else 1.0)
    length = float(np.linalg.norm(axis))
    if length == 0:
        raise bad_level("an axis that is not zero", str(axis))
    unit = np.array(axis) / length
    centre, spread = _moments(case, moved)
    rms = _rms(np.linalg.norm(translation_mm), np.deg2rad(rotation_deg), _lever(spread, unit))
    parameters = RigidParameters(
        moved, translation_mm, _vector(unit), rotation_deg, _vector(centre), rms, rms
    )
    return _measured(parameters, case)


def none(moved: str) -> RigidParameters:
    """No motion."""
    return RigidParameters(moved, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 0.0, (0.0, 0.0, 0.0), 0.0, 0.0)


def apply(case: Case, parameters: RigidParameters) -> Case:
    """Move image (linear) and mask (nearest) of one modality in its own native grid, edge values outside.

    No motion returns the arrays of `case` themselves. An image of integers stays one (rounded).
    """
    if parameters.identity:
        return case
    name = parameters.moved
    images, labels = dict(case.images), dict(case.labels)
    images[name] = _moved(images[name], parameters, order=1)
    if name in labels:
        labels[name] = _moved(labels[name], parameters, order=0)
    return Case(case.id, images, labels)


def displacement_mm(parameters: RigidParameters, points_mm: Array) -> Array:
    """Displacement vectors [N, 3] of points [N, 3] in RAS mm."""
    matrix = _matrix(parameters)
    moved: Array = points_mm @ matrix[:3, :3].T + matrix[:3, 3]
    return moved - points_mm


def field(parameters: RigidParameters, grid: Grid) -> Field:
    """The field that `apply` follows: from a voxel to where the motion brought its content from."""
    offset = (backward(parameters) - np.eye(4)) @ grid.affine

    def evaluate(axes: Axes) -> Array:
        x, y, z = np.ix_(*axes)
        return np.stack([row[0] * x + row[1] * y + row[2] * z + row[3] for row in offset[:3]])

    return evaluate


def backward(parameters: RigidParameters) -> Array:
    """4x4 matrix from a place (RAS mm) to where the motion brought its content from."""
    return np.asarray(np.linalg.inv(_matrix(parameters)), dtype=np.float64)


def _measured(parameters: RigidParameters, case: Case) -> RigidParameters:
    if parameters.identity:
        return parameters
    # the RMS stays the one of the moments, which is exact; a test holds it against the field, voxel by voxel
    found = measure(field(parameters, case.images[parameters.moved].grid), case, parameters.moved)
    return replace(
        parameters,
        realised_mean_mm=found.mean_mm,
        realised_p95_mm=found.p95_mm,
        measured_over=found.over,
    )


def _moved(volume: Volume, parameters: RigidParameters, *, order: int) -> Volume:
    # a voxel of the result takes its value from where the motion brought it from
    mapping = np.linalg.inv(volume.affine) @ np.linalg.inv(_matrix(parameters)) @ volume.affine
    array = interpolate(volume.array, mapping, volume.grid.shape, order=1 if order else 0)
    dtype = volume.array.dtype
    return Volume((np.rint(array) if dtype.kind in "iu" else array).astype(dtype), volume.affine)


def _matrix(parameters: RigidParameters) -> NDArray[np.float64]:
    x, y, z = parameters.axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(parameters.rotation_deg)
    # Rodrigues' formula
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    centre = np.array(parameters.centre_mm)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = centre + np.array(parameters.translation_mm) - rotation @ centre
    return matrix


def _moments(case: Case, moved: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centroid (mm) and covariance (mm^2) of the foreground, from marginal sums (no list of voxels)."""
    mask, _ = structures(case, moved)
    affine = case.images[moved].affine
    total = float(mask.sum())
    ticks = [np.arange(n, dtype=np.float64) for n in mask.shape]
    mean, second = np.zeros(3), np.zeros((3, 3))
    for a in range(3):
        along = mask.sum(axis=tuple(i for i in range(3) if i != a))
        mean[a], second[a, a] = along @ ticks[a] / total, along @ ticks[a] ** 2 / total
        for b in range(a + 1, 3):
            plane = mask.sum(axis=3 - a - b)
            second[a, b] = second[b, a] = ticks[a] @ plane @ ticks[b] / total
    matrix = affine[:3, :3]
    return matrix @ mean + affine[:3, 3], matrix @ (second - np.outer(mean, mean)) @ matrix.T


def _lever(spread: NDArray[np.float64], axis: NDArray[np.float64]) -> float:
    """Mean squared distance (mm^2) of the foreground from the axis through its centroid."""
    return float(np.trace(spread) - axis @ spread @ axis)


def _rms(shift_mm: float | np.floating[Any], angle_rad: float, lever_mm2: float) -> float:
    # about the centroid the cross term vanishes; a point at distance r moves by the chord 2 r sin(angle / 2)
    return float(np.sqrt(float(shift_mm) ** 2 + 4 * np.sin(angle_rad / 2) ** 2 * lever_mm2))


def _solve_scale(target_mm: float, angle_rad: float, lever_mm2: float) -> float:
    # At scale 1 the shift alone reaches the target, and up to half a turn the RMS grows with the scale.
    low, high = 0.0, min(1.0, np.pi / angle_rad if angle_rad > 0 else 1.0)
    if _rms(high * target_mm, high * angle_rad, lever_mm2) < target_mm:
        high = 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _rms(middle * target_mm, middle * angle_rad, lever_mm2) < target_mm:
            low = middle
        else:
            high = middle
    return high


def _vector(values: NDArray[np.float64]) -> Vector:
    return (float(values[0]), float(values[1]), float(values[2]))
