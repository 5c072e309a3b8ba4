"""The anatomy of the heart phantom: seven structures, unlabelled vessels that look like them, and the chest.

Volumes and positions after those reported for MM-WHS (Zhuang and Shen, MedIA 2016 31:77); coordinates are
RAS mm from the centre of the left ventricle, which lies some 38 mm left of the midline. The long axis of the
heart points left, forward and down. Centres after the label map of a patient (HeartDeformNets template).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parallax.case import Grid
from parallax.phantom.canvas import SPLIT, Brush, Canvas, Painted, Split, paint_in_slabs
from parallax.phantom.fields import bounded_normal, log_normal, smooth_field, stream, winding_tubes
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
        left, 9.6 * float(log_normal(rng, 0.1)), right * left**0.3, la * left**0.3, ra, aorta, pulmonary
    )


def _at(b: float, c: float, a: float) -> NDArray[np.float64]:
    """A point given towards the right ventricle, below-behind, and towards the apex."""
    return _AXES @ vector((b, c, a))


def _paint_chest(body: Brush) -> None:
    inner = cylinder((38, -18), (125, 76), power=2.5)
    body.fill(cylinder((38, -18), (160, 106), power=2.5), "fat")
    body.fill(cylinder((38, -18), (140, 92), power=2.5), "muscle")
    ring = cylinder((38, -18), (134, 84), 2.5) - cylinder((38, -18), (128, 78), 2.5)
    for k in range(-6, 7):
        # ribs fall towards the front and end in cartilage
        low, high = (
            half_space((0, 0, k * 25 - 5.5), (0, 0.5, 1)),
            half_space((0, 0, k * 25 + 5.5), (0, -0.5, -1)),
        )
        body.fill(ring & low & high, "rib")
    body.fill(cylinder((38, 66), (48, 34)), "disc", over=["rib"])
    body.fill(inner, "lung")
    body.fill(ellipsoid((38, 65, 5), (17, 5.5, 75), power=4), "bone")
    body.fill(ellipsoid((38, 65, 5), (15, 3.5, 73), power=4), "marrow")
    body.fill(ellipsoid((38, -42, 10), (34, 34, 95)), "fat", over=["lung"])
    body.fill(ellipsoid((36, 58, 20), (26, 22, 80)) & inner, "fat", over=["lung"])
    body.fill(cylinder((38, -114), (60, 34)), "muscle")
    body.fill(cylinder((38, -82), (19, 17), power=2.5), "bone")
    body.fill(cylinder((38, -82), (17.5, 15.5), power=2.5), "marrow")
    for k in range(-3, 4):
        disc = cylinder((38, -82), (18, 16), 2.5, (k * 26 - 2.5, k * 26 + 2.5))
        body.fill(disc, "disc", over=["marrow", "bone"])
    body.fill(ellipsoid((66, -4, -98), (92, 72, 62)) & inner, "liver")
    body.fill(ellipsoid((-34, -12, -96), (54, 56, 50)) & inner, "fat", over=["lung"])
    body.fill(ellipsoid((-38, -10, -98), (38, 40, 42)) & inner, "fluid", over=["fat"])


def _paint_lung_vessels(canvas: Canvas, rng: np.random.Generator) -> None:
    fields = [smooth_field(rng, canvas.axes_mm, 6.5, canvas.reach_mm) for _ in range(2)]
    inside = winding_tubes(fields[0], fields[1], 1.5, 6.5) < 1
    inside &= canvas.tissue == canvas.index("lung")
    canvas.tissue[inside] = canvas.index("blood_right")


def _paint_vessels(heart: Brush, body: Brush) -> None:
    """Vessels that nobody labels but that carry the same blood as the labelled chambers; airways."""
    body.fill(tube([(12, -60, 90), (13, -60, 0), (18, -60, -80)], [12, 11.5, 11]), "blood_left")
    body.fill(tube([(34, -56, 90), (32, -55, 0), (22, -48, -70)], [6.5, 7, 7], ((0, 1, 0), 1.4)), "muscle")
    heart.fill(tube([(32, -30, 93), (16, -48, 90), (12, -60, 72)], [13, 12.5, 12]), "blood_left")
    heart.fill(tube([(87, -17, 100), (87, -17, 60), (74, -8, 24)], [9, 9.5, 10.5]), "blood_vena_cava")
    heart.fill(tube([(56, -14, -90), (59, -10, -45), (62, -2, -16)], [12.5, 12.5, 13]), "blood_unmixed")
    for end in ((-34, -46, 40), (-34, -52, 4), (100, -50, 40), (98, -56, 6)):
        corner = (8 if end[0] < 0 else 66, -36, 0.55 * end[2] + 8)
        heart.fill(
            tube([(38, -31, 18), corner, end], [10, 8.5, 5.5], pieces=5), "blood_left", over=["lung", "fat"]
        )
    branches = [(26, -22, 62), (52, -31, 58), (104, -44, 46)], [(20, -20, 64), (2, -36, 66), (-28, -52, 50)]
    for path in branches:
        heart.fill(tube(path, [12, 11, 7], pieces=7), "blood_right")
    for path in (
        [(44, -46, 110), (44, -50, 66)],
        [(44, -50, 66), (78, -56, 42)],
        [(44, -50, 66), (2, -58, 42)],
    ):
        heart.fill(capsule(path[0], path[1], (8.5, 7)), "muscle")
        heart.fill(capsule(path[0], path[1], (7, 5.6)), "air")


def _left_ventricle(build: Build, margin_mm: float) -> list[Shape]:
    """A tapered bowl that ends at the plane of the mitral valve; its wall thins out towards the apex."""
    shape = (
        (0, 0, -42, 16.2, 1.0), (0, 0, -20, 19.2, 1.0), (0, 0, 0, 18.8, 1.0), (1, 2, 20, 15.4, 0.95),
        (2, 3, 37, 10.2, 0.85), (1, 4, 51, 4, 0.7),
    )  # fmt: skip
    path = [_at(*row[:3]) * build.left for row in shape]
    radii = [row[3] * build.left + row[4] * margin_mm for row in shape]
    return [piece & _above(build, 0.0, 1) for piece in tube(path, radii, pieces=12)]


def _above(build: Build, gap_mm: float, side: float) -> Shape:
    """What lies on the side of the apex (1) or of the atria (-1) of the valve plane."""
    return half_space(_at(0, 0, -31 * build.left - gap_mm), side * _LONG)


def _right_ventricle(build: Build, margin_mm: float) -> list[Shape]:
    """A crescent round the septum, from the tricuspid valve to the apex and up to the pulmonary valve."""
    s = build.right
    inflow = [(48, 14, -12), (32, 28, -18), (12, 38, -24), (-10, 42, -28)]
    outflow = [(34, 26, -14), (25, 33, 2), (15, 31, 18), (9, 25, 34)]
    radii = vector((21, 20.5, 17, 9)) * s + margin_mm, vector((20, 19, 16, 13.5)) * s + margin_mm
    body = ellipsoid((24, 28, -8), vector((27, 19, 29)) * s + margin_mm, rotation((0, 0, -30)), 2.5)
    return [*tube(inflow, radii[0], pieces=7), *tube(outflow, radii[1], pieces=7), body]


def _right_atrium(build: Build, margin_mm: float) -> list[Shape]:
    s = build.right_atrium
    body = ellipsoid((65, 3, -2), vector((20, 24.5, 33)) * s + margin_mm, rotation((-14, 12, 10)), 2.5)
    appendage = tube(
        [(64, 14, 20), (54, 27, 28), (40, 33, 32)], vector((13, 10, 5)) * s + margin_mm, pieces=5
    )
    return [body, *appendage]


def _left_atrium(build: Build, margin_mm: float) -> list[Shape]:
    """Flat and wide, before the spine, with an appendage that lies against the pulmonary trunk."""
    s = build.left_atrium
    body = ellipsoid((40, -31, 15), vector((34, 18.5, 24)) * s + margin_mm, rotation((8, 10, -8)), 2.5)
    appendage = tube(
        [(14, -24, 26), (-6, -14, 32), (-14, 2, 30)], vector((10, 8, 5)) * s + margin_mm, pieces=5
    )
    return [piece & _above(build, 1.5 - margin_mm, -1) for piece in (body, *appendage)]


def _paint_chambers(heart: Brush, build: Build) -> None:
    for shapes, tissue, label in (
        (_right_ventricle, "blood_right", RIGHT_VENTRICLE),
        (_right_atrium, "blood_right", RIGHT_ATRIUM),
        (_left_atrium, "blood_left", LEFT_ATRIUM),
    ):
        # thin walls, which no data set labels
        wall_mm = 2.8 if label == RIGHT_VENTRICLE else 1.4
        heart.fill(shapes(build, wall_mm), "myocardium", over=["fat", "lung", "liver"])
        heart.fill(shapes(build, 0.0), tissue, label)
    heart.fill(_left_ventricle(build, build.wall_mm), "myocardium", MYOCARDIUM)
    heart.fill(_left_ventricle(build, 0.0), "blood_left", LEFT_VENTRICLE)
    for side in (1.0, -1.0):
        foot, tip = _at(-4, side * 17, 20) * build.left, _at(-2, side * 10, -4) * build.left
        heart.fill(capsule(foot, tip, (4.2, 2.6)), "myocardium", label=None, over=["blood_left"])
    band = capsule((6, 34, -30), (24, 40, -26), (2.2, 2.2))
    heart.fill(band, "myocardium", label=None, over=["blood_right"])


def _paint_fat(heart: Brush, build: Build) -> None:
    """Fat on and between the chambers, with the arteries that run in its grooves."""
    heart.fill(ellipsoid((30, 0, 14), (44, 40, 42)), "fat", over=["lung"])
    heart.fill(_right_ventricle(build, 7.0)[::2], "fat", over=["lung"])
    heart.fill(_right_atrium(build, 7.0)[0], "fat", over=["lung"])
    heart.fill(_left_ventricle(build, build.wall_mm + 5)[::2], "fat", over=["lung"])
    heart.fill(
        tube([(9, 24, 26), (16, -10, 60), (50, 4, 60), (48, 0, 80)], [22, 22, 24, 22]), "fat", over=["lung"]
    )


def _paint_coronaries(heart: Brush) -> None:
    anterior = tube([(12, 4, 28), (-6, 28, 16), (-16, 42, -4), (-28, 44, -24)], [2.2, 2.0, 1.8, 1.4])
    right = tube([(44, 18, 24), (62, 28, 6), (60, 24, -22), (44, 4, -32)], [2.2, 2.2, 2.0, 1.8])
    around = tube([(12, 0, 26), (-8, -20, 18), (-6, -34, 0)], [2.0, 2.0, 1.6])
    heart.fill([*anterior, *right, *around], "blood_left", over=["fat"])


def _great_vessels(build: Build) -> tuple[list[Shape], list[Shape]]:
    """Pulmonary trunk from front left to behind the aorta; aorta to the right, up and back to the left."""
    trunk = tube(
        [(9, 25, 33), (10, 12, 50), (15, -6, 60), (28, -22, 62), (54, -33, 58), (78, -38, 53)],
        build.pulmonary * vector((13, 13.2, 13.2, 12, 11, 9)),
    )
    left = capsule((18, -14, 62), (2, -34, 65), (11.5 * build.pulmonary, 10.5 * build.pulmonary))
    aorta = tube(
        [(20, -12, 10), (35, 0, 24), (53, 8, 40), (62, 6, 60), (57, -8, 80), (40, -26, 92)],
        build.aorta * vector((13.5, 16.2, 15.2, 15.2, 15, 14)),
        pieces=14,
    )
    return [*trunk, left], [piece & _above(build, 0.0, -1) for piece in aorta]


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
    heart = canvas.brush(turn, heart_shift - turn @ centre * scale, scale, rng, (3.2, 28.0), (0.8, 8.0))
    _paint_chest(body)
    _paint_lung_vessels(canvas, rng)
    _paint_fat(heart, build)
    _paint_vessels(heart, body)
    _paint_chambers(heart, build)
    pulmonary, aorta = _great_vessels(build)
    heart.fill(pulmonary, "blood_right", PULMONARY)
    heart.fill(aorta, "blood_left", AORTA)
    _paint_coronaries(heart)
    return canvas.finish()
