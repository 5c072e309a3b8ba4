"""The anatomy of the heart phantom: seven structures, unlabelled vessels that look like them, and the chest.

Volumes and positions after those reported for MM-WHS (Zhuang and Shen, MedIA 2016 31:77); coordinates are
RAS mm from the centre of the left ventricle. The long axis of the heart points left, forward and down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parallax.case import Grid
from parallax.phantom.canvas import SPLIT, Brush, Canvas, Painted, Split, paint_in_slabs
from parallax.phantom.fields import bounded_normal, log_normal, stream
from parallax.phantom.geometry import (
    Shape,
    capsule,
    cylinder,
    ellipsoid,
    half_space,
    rotation,
    tube,
    unit,
    vector,
)

FAMILY = "heart"
MYOCARDIUM, LEFT_ATRIUM, LEFT_VENTRICLE, RIGHT_ATRIUM, RIGHT_VENTRICLE, AORTA, PULMONARY = range(1, 8)

#: Contrast regimes of the CT and their shares; a saline chaser washes the right heart out.
REGIMES = ("opacified",) * 3 + ("washout",) * 3 + ("unenhanced",) * 4

_VIEW_CENTRE = (22.0, 4.0, 16.0)
#: Half the region in which the deformation is drawn: no grid of this family reaches beyond.
_REACH_MM = (84.0, 84.0, 68.0)
_LONG = unit((-0.62, 0.52, -0.59))
_TO_RIGHT = unit(vector((1.0, 0.55, 0.0)) - _LONG * float(_LONG @ vector((1.0, 0.55, 0.0))))
_AXES = np.stack([_TO_RIGHT, np.cross(_LONG, _TO_RIGHT), _LONG], axis=1)


@dataclass(frozen=True)
class Build:
    """Sizes of one heart relative to the template."""

    left: float
    wall_mm: float
    right: float
    left_atrium: float
    right_atrium: float
    aorta: float
    pulmonary: float


def _draw_build(rng: np.random.Generator) -> Build:
    left, right, la, ra, aorta, pulmonary = log_normal(rng, 0.075, 6)
    return Build(
        left, 10.2 * float(log_normal(rng, 0.1)), right * left**0.3, la * left**0.3, ra, aorta, pulmonary
    )


def _at(b: float, c: float, a: float) -> NDArray[np.float64]:
    """A point given towards the right ventricle, below-behind, and towards the apex."""
    return _AXES @ vector((b, c, a))


def _paint_chest(body: Brush) -> None:
    inner = cylinder((22, -12), (125, 78), power=2.5)
    body.fill(cylinder((22, -12), (155, 99), power=2.5), "fat")
    body.fill(cylinder((22, -12), (139, 86), power=2.5), "muscle")
    for k in range(-4, 5):
        rib = cylinder((22, -12), (135, 83), 2.5, (k * 24 - 5, k * 24 + 5)) - cylinder(
            (22, -12), (128, 79), 2.5
        )
        body.fill(rib, "rib")
    body.fill(inner, "lung")
    body.fill(ellipsoid((24, 68, 5), (17, 6, 60), power=4), "bone")
    body.fill(ellipsoid((22, -40, 10), (30, 40, 90)), "fat")
    body.fill(cylinder((20, -112), (60, 35)), "muscle")
    body.fill(cylinder((20, -76), (19, 17), power=2.5), "bone")
    body.fill(cylinder((20, -76), (17, 15), power=2.5), "marrow")
    for k in range(-3, 4):
        body.fill(
            cylinder((20, -76), (18, 16), 2.5, (k * 28 - 3, k * 28 + 3)),
            "disc",
            over=["marrow", "bone"],
        )
    body.fill(ellipsoid((52, 0, -98), (85, 72, 62)) & inner, "liver")
    body.fill(ellipsoid((-40, -8, -96), (50, 58, 52)) & inner, "fat", over=["lung"])
    body.fill(ellipsoid((-46, -5, -98), (36, 40, 44)) & inner, "fluid", over=["fat"])


def _paint_vessels(heart: Brush, body: Brush) -> None:
    """Vessels that nobody labels but that carry the same blood as the labelled chambers."""
    body.fill(tube([(2, -50, 90), (-2, -52, 0), (4, -50, -80)], [12, 11.5, 11]), "blood_left")
    body.fill(tube([(20, -46, 90), (16, -44, 0), (8, -42, -60)], [6, 6, 6]), "muscle")
    heart.fill(tube([(60, -6, 100), (61, -8, 60), (60, -6, 28)], [9, 9.5, 10]), "blood_vena_cava")
    heart.fill(tube([(54, -8, -90), (56, -6, -50), (60, -2, -10)], [12, 12, 12]), "blood_unmixed")
    left_atrium = _at(-4, 12, -38)
    for end in ((-40, -34, 34), (-42, -40, 6), (74, -50, 40), (72, -54, 8)):
        reach = 0.45 * left_atrium + 0.55 * vector(end)
        heart.fill(tube([left_atrium, reach, end], [9, 7.5, 5.5], pieces=4), "blood_left")
    branches = [(22, -8, 52), (44, -22, 54), (84, -34, 48)], [(22, -8, 52), (2, -24, 56), (-26, -44, 50)]
    for path in branches:
        heart.fill(tube(path, [11.5, 10, 7], pieces=6), "blood_right")


def _paint_chamber(
    heart: Brush,
    label: int,
    tissue: str,
    centre: NDArray[np.float64],
    semi: NDArray[np.float64],
) -> None:
    """An atrium in its thin wall, which no data set labels."""
    heart.fill(ellipsoid(centre, semi + 2.5, _AXES, 2.5), "myocardium", over=["fat", "lung"])
    heart.fill(ellipsoid(centre, semi, _AXES, 2.5), tissue, label)


def _paint_ventricles(heart: Brush, build: Build) -> None:
    base = half_space(_at(0, 0, -15), _LONG)
    cavity = vector((23, 23, 57)) * build.left
    epicardium = ellipsoid((0, 0, 0), cavity + build.wall_mm, _AXES)
    right_base = half_space(_at(0, 0, -24), _LONG)
    right_semi = vector((31, 35, 58)) * build.right
    right = ellipsoid(_at(30, -2, 2), right_semi, _AXES) & right_base
    heart.fill(ellipsoid(_at(30, -2, 2), right_semi + 3, _AXES) & right_base, "myocardium")
    heart.fill(right, "blood_right", RIGHT_VENTRICLE)
    outflow = tube([_at(30, -14, 6), (14, 30, 14), (12, 26, 28)], [14, 13, 12.5], pieces=5)
    heart.fill(outflow, "blood_right", RIGHT_VENTRICLE)
    heart.fill(epicardium & base, "myocardium", MYOCARDIUM)
    heart.fill(ellipsoid((0, 0, 0), cavity, _AXES) & base, "blood_left", LEFT_VENTRICLE)
    for side in (1.0, -1.0):
        start, stop = _at(2, side * 12 * build.left, 6), _at(-2, side * 11 * build.left, 26)
        heart.fill(capsule(start, stop, (3.2, 4.0)), "myocardium", label=None, over=["blood_left"])


def _great_vessels(build: Build) -> tuple[list[Shape], list[Shape]]:
    pulmonary = tube(
        [(12, 26, 26), (13, 17, 42), (20, -4, 54), (34, -18, 54), (50, -24, 53)],
        list(build.pulmonary * vector((14.2, 14.6, 14.4, 12.5)).repeat([1, 1, 2, 1])),
    )
    aorta = tube(
        [(14, 0, 12), (26, 6, 28), (42, 12, 50), (42, 4, 76), (34, -14, 96)],
        list(build.aorta * vector((14.2, 15.5, 14.5)).repeat([1, 1, 3])),
        pieces=14,
    )
    return pulmonary, aorta


def paint_heart(grid: Grid, seed: int, subject: int, split: Split = SPLIT) -> Painted:
    """Paint one subject: chest, unlabelled vessels, chambers, great vessels.

    Args:
        grid: RAS; its origin is the centre of the view.
        seed: of the data set.
        subject: number of the subject, from 0.
        split: parts into which each voxel is split.

    Returns:
        The finished anatomy with labels 1..7 as in this module's constants.
    """
    return paint_in_slabs(lambda part: _paint_part(part, seed, subject, split), grid, split)


def _paint_part(grid: Grid, seed: int, subject: int, split: Split) -> Painted:
    rng = stream(FAMILY, seed, subject, "anatomy")
    build = _draw_build(rng)
    canvas = Canvas(grid, "air", split, _REACH_MM)
    body_shift, heart_shift = bounded_normal(rng, 5.0, 3), bounded_normal(rng, 7.5, 3)
    scale = float(log_normal(rng, 0.055))
    turn = rotation(bounded_normal(rng, 11.0, 3))
    centre = vector(_VIEW_CENTRE)
    body = canvas.brush(rotation(bounded_normal(rng, 3.0, 3)), body_shift - centre, 1.0, rng, (1.5, 40.0))
    heart = canvas.brush(turn, heart_shift - turn @ centre * scale, scale, rng, (3.2, 28.0))
    _paint_chest(body)
    heart.fill(ellipsoid((16, 5, 6), (66, 56, 58), rotation((0, 20, -25))), "fat", over=["lung"])
    _paint_vessels(heart, body)
    _paint_ventricles(heart, build)
    right_semi, left_semi = (
        vector((24.5, 27.5, 26)) * build.right_atrium,
        vector((30, 25, 21.5)) * build.left_atrium,
    )
    _paint_chamber(heart, RIGHT_ATRIUM, "blood_right", _at(45, 8, -30), right_semi)
    _paint_chamber(heart, LEFT_ATRIUM, "blood_left", _at(-4, 13, -40), left_semi)
    pulmonary, aorta = _great_vessels(build)
    heart.fill(pulmonary, "blood_right", PULMONARY)
    heart.fill(aorta, "blood_left", AORTA)
    return canvas.finish()
