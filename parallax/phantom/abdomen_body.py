"""The body of the abdomen phantom: the plan of its wall, spine and diaphragm, drawn from textbook sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from parallax.phantom.canvas import Brush
from parallax.phantom.fields import Array, bounded_normal, log_normal
from parallax.phantom.surround import Slab

#: Middle of the abdominal cavity (y), and half its width, depth in front and depth behind (mm).
_MIDDLE_MM, _SIDE_MM, _FRONT_MM, _BACK_MM = 42.0, 109.0, 58.0, 84.0
#: Height of the lumbar vertebra that lies furthest forward, and of the chest where the spine lies back.
_LUMBAR_MM, _CHEST_MM = -45.0, 120.0


@dataclass(frozen=True)
class Stature:
    """The build of one body.

    Attributes:
        fat: thickness of subcutaneous fat relative to the mean.
        belly_mm: how far the front wall bulges, low in the view.
        lordosis_mm: how far the lumbar spine lies in front of that of the chest.
        discs_mm: height of a disc above the kidneys.
        dome_mm: height of the right dome of the diaphragm above the kidneys.
    """

    fat: float
    belly_mm: float
    lordosis_mm: float
    discs_mm: float
    dome_mm: float


def draw_stature(rng: np.random.Generator) -> Stature:
    """One body of the population."""
    belly, lordosis, discs, dome = bounded_normal(rng, 1.0, 4) * (4.0, 3.0, 8.0, 6.0)
    return Stature(
        0.8 * float(log_normal(rng, 0.25)),
        float(belly),
        14.0 + float(lordosis),
        float(discs),
        114.0 + float(dome),
    )


def body_slab(
    body: Brush, stature: Stature, rng: Callable[[str], np.random.Generator], reach_mm: tuple[float, ...]
) -> Slab:
    """The whole of a canvas, in the coordinates in which a body is filled.

    Args:
        body: its pose; y = 0 is the middle of the first lumbar vertebra, z = 0 the height of the kidneys.
        stature: of the subject.
        rng: source of the random field of a purpose.
        reach_mm: half the region in which fields are drawn.
    """
    x, y, z = body.points
    canvas, forward = body.canvas, y - np.float32(_MIDDLE_MM)
    angle = np.arctan2(x, forward)
    distance = np.hypot(x, forward)
    wall = _wall(angle) * (1 + np.float32(stature.belly_mm / 60) * _below(z) * (np.cos(angle) > 0))
    above = z - _dome(stature, x, angle, distance / wall)
    return Slab(
        canvas, rng, (reach_mm[0], reach_mm[1], reach_mm[2]), stature.fat, canvas.tissue, canvas.axes_mm,
        x, y - _spine(stature, z), z - np.float32(stature.discs_mm),
        angle, distance, distance - wall, above, stature.dome_mm - stature.discs_mm,
    )  # fmt: skip


def _spine(stature: Stature, z: Array) -> Array:
    """How far forward the vertebral bodies lie."""
    bent = np.clip((z - _LUMBAR_MM) / (_CHEST_MM - _LUMBAR_MM), -0.3, 1.2)
    return np.asarray(3.0 - stature.lordosis_mm * bent**2, dtype=np.float32)


def _below(z: Array) -> Array:
    """From 0 at the diaphragm to 1 below the kidneys."""
    return np.asarray(np.clip((60 - z) / 100, 0, 1), dtype=np.float32)


def _wall(angle: Array) -> Array:
    """Distance of the cavity's wall: a superellipse, deeper behind than in front."""
    turn = np.linspace(-np.pi, np.pi, 145)
    depth = np.where(np.cos(turn) > 0, _FRONT_MM, _BACK_MM)
    wall = (np.abs(np.sin(turn) / _SIDE_MM) ** 2.4 + np.abs(np.cos(turn) / depth) ** 2.4) ** (-1 / 2.4)
    return np.interp(angle, turn, wall).astype(np.float32)


def _dome(stature: Stature, x: Array, angle: Array, out: Array) -> Array:
    """Height of the diaphragm: two domes, attached high in front and low at the sides and behind."""
    top = stature.dome_mm - np.float32(9) / (1 + np.exp(x / 8)) - np.float32(6) * np.exp(-((x / 25) ** 2))
    attached = np.interp(np.abs(angle), [0.0, 0.7, 1.2, 1.8, 2.4], [24.0, 30.0, 60.0, 95.0, 115.0])
    fallen = 1 - np.sqrt(np.maximum(1 - np.minimum(out, 1) ** 8, 0))
    return np.asarray(top - attached * fallen, dtype=np.float32)
