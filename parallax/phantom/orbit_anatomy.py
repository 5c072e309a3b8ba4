"""The anatomy of the orbit phantom: both orbits, half of the subjects with thyroid-associated orbitopathy.

Muscle sizes after PMID 9530066 and PMID 19643971; with the disease muscles enlarge in the order inferior,
medial, superior, lateral. Coordinates are RAS mm from the midpoint between the globes; a side is given as
if it were the right one (x > 0 towards the temple) and mirrored for the left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parallax.case import Grid
from parallax.phantom.canvas import SPLIT, Brush, Canvas, Painted, Split, paint_in_slabs
from parallax.phantom.fields import balanced_choice, bounded_normal, log_normal, stream
from parallax.phantom.geometry import Shape, capsule, ellipsoid, half_space, rotation, tube, unit, vector

FAMILY = "orbit"
GLOBE, NERVE, SUPERIOR, INFERIOR, MEDIAL, LATERAL, GLAND, OBLIQUE, FAT = range(1, 10)
_MUSCLES = {"superior": SUPERIOR, "inferior": INFERIOR, "medial": MEDIAL, "lateral": LATERAL}
#: How readily a muscle enlarges: inferior, then medial, superior and lateral.
_WEIGHT = {"superior": 0.75, "inferior": 1.15, "medial": 1.0, "lateral": 0.45}

DISEASE = ("healthy", "tao")

_VIEW_CENTRE = (0.0, -12.0, 0.0)
#: Half the region in which the deformation is drawn: no grid of this family reaches beyond.
_REACH_MM = (56.0, 42.0, 34.0)


@dataclass(frozen=True)
class Disease:
    """Severity and inflammatory activity of orbitopathy, both 0 when healthy."""

    severity: float
    activity: float


@dataclass(frozen=True)
class Side:
    """One orbit: +1 is the patient's right. Points are given as if it were the right one."""

    sign: float
    globe: NDArray[np.float64]
    apex: NDArray[np.float64]
    radius: float
    muscle: Mapping[str, float]
    gland: float
    sheath_mm: float
    bend: NDArray[np.float64]

    def at(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """The point on this side of the head."""
        return point * (self.sign, 1.0, 1.0)


def _draw_disease(rng: np.random.Generator, kind: str) -> Disease:
    severity, activity = rng.uniform(0.3, 1.0), rng.uniform(0.0, 1.0)
    return Disease(float(severity), float(activity)) if kind == "tao" else Disease(0.0, 0.0)


def _draw_side(rng: np.random.Generator, sign: float, half_distance_mm: float, disease: Disease) -> Side:
    severity = float(np.clip(disease.severity * log_normal(rng, 0.15), 0, 1.1))
    proptosis = 3.5 * severity
    muscle = {}
    for name, weight in _WEIGHT.items():
        growth = 1.0 + 0.7 * severity * weight * rng.uniform(0.6, 1.3)
        muscle[name] = float(growth * log_normal(rng, 0.1))
    return Side(
        sign,
        vector((half_distance_mm, proptosis, 0)) + bounded_normal(rng, 0.5, 3),
        vector((17, -35, 1)) + bounded_normal(rng, 0.7, 3),
        12.0 * float(log_normal(rng, 0.03)),
        muscle,
        float(log_normal(rng, 0.06)) * (1 + 0.08 * severity),
        1.25 * (1 - 0.35 * severity),
        bounded_normal(rng, 1.0, 3),
    )


def _paint_head(head: Brush) -> None:
    """Brain, bone, sinuses and skin around the orbits, before the orbits are carved out."""
    head.fill(ellipsoid((0, -70, 5), (72, 92, 95), power=2.5), "skin")
    head.fill(ellipsoid((0, -70, 5), (69, 87, 92), power=2.5), "fat")
    for sign in (-1.0, 1.0):
        head.fill(ellipsoid((sign * 58, -22, -4), (11, 30, 42)), "muscle")
    head.fill(ellipsoid((0, -70, 5), (52, 80, 92), power=2.5), "bone")
    head.fill(ellipsoid((0, -50, 60), (56, 64, 44), power=2.5), "fluid")
    head.fill(ellipsoid((0, -52, 61), (54, 63, 43), power=2.5), "brain")
    for sign in (-1.0, 1.0):
        head.fill(ellipsoid((sign * 44, -62, -6), (24, 27, 30), power=2.5), "brain")
        head.fill(ellipsoid((sign * 29, -12, -33), (17, 22, 15), power=2.5), "mucosa")
        head.fill(ellipsoid((sign * 29, -12, -33), (15.5, 20.5, 13.5), power=2.5), "air")
    head.fill(ellipsoid((0, -15, -2), (13.5, 26, 18), power=3), "mucosa")
    for k in range(4):
        for sign in (-1.0, 1.0):
            head.fill(ellipsoid((sign * 6.3, 4 - 12 * k, -2), (4.7, 5, 13), power=3), "air")
    head.fill(ellipsoid((0, 13, -14), (9, 14, 22)), "skin")


def _cone(side: Side) -> list[Shape]:
    """The bony orbit: a cone from the apex that widens to the rim."""
    rim = side.at(vector((side.globe[0] + 0.5, 8, 0)))
    apex = side.at(side.apex)
    inner = apex + 0.5 * (rim - apex)
    return [
        capsule(apex, inner, (4.5, 15.0)),
        capsule(inner, rim, (15.0, 18.5)) & half_space((0, 14.5, 0), (0, -1, 0)),
    ]


def _muscle(side: Side, name: str) -> list[Shape]:
    """A flattened belly from the annulus at the apex to its insertion on the globe; the tendon stays thin."""
    outward = {"superior": (0, 0, 1), "inferior": (0, 0, -1), "medial": (-1, 0, 0), "lateral": (1, 0, 0)}[
        name
    ]
    forward = unit(side.globe - side.apex)
    e = unit(vector(outward) - forward * float(forward @ vector(outward)))
    length = float(np.linalg.norm(side.globe - side.apex))
    thick = side.muscle[name]
    lift = 0.6 * (thick - 1)
    stations = (
        (0.08, 4.8, 1.8),
        (0.3, 8.6, 2.3),
        (0.55, 11.6, 2.5),
        (0.8, 13.4, 2.0),
        (1.0, side.radius + 1.5, 1.5),
    )
    path, radii = [], []
    for along, away, half in stations:
        belly = thick if 0.1 < along < 0.9 else 0.5 + 0.5 * thick
        path.append(side.at(side.apex + forward * along * length + e * (away - lift * (along < 0.9))))
        radii.append(1.7 * half * belly**0.75)
    flat = 2.0 / float(thick**0.25)
    return tube(path, radii, (side.at(e), flat), pieces=9)


def _paint_nerve(head: Brush, side: Side) -> None:
    behind = side.globe + unit(side.apex - side.globe) * (side.radius - 0.5) + vector((-1.5, 0, 0))
    middle = 0.5 * (behind + side.apex) + side.bend
    path = [
        side.at(p) for p in (behind, middle, side.apex + vector((0, 2, 0)), side.apex + vector((-3, -7, 2)))
    ]
    outer = tube(path, [2.0 + side.sheath_mm] * 4)
    head.fill(outer, "nerve_sheath", NERVE)
    head.fill(tube(path, [2.0] * 4), "optic_nerve", NERVE)


def _paint_globe(head: Brush, side: Side, gaze: NDArray[np.float64]) -> None:
    centre, r = side.at(side.globe), side.radius
    head.fill(ellipsoid(centre, (r, r * 1.02, r)), "sclera", GLOBE)
    head.fill(ellipsoid(centre, (r - 1.2, r * 1.02 - 1.2, r - 1.2)), "vitreous", GLOBE)
    head.fill(ellipsoid(centre + gaze * (r - 4.2), (4.7, 2.4, 4.7)), "lens", label=None, over=["vitreous"])


def _paint_side(head: Brush, side: Side, gaze: NDArray[np.float64]) -> None:
    cone = _cone(side)
    head.fill(cone, "fat", FAT)
    centre = side.at(side.globe)
    lid = ellipsoid(centre + vector((0, 1.5, 0)), vector((1, 1, 1)) * (side.radius + 4)) & half_space(
        (0, 8, 0), (0, 1, 0)
    )
    head.fill(lid, "skin")
    _paint_nerve(head, side)
    vein = tube(
        [side.at(side.apex + vector(p)) for p in ((2, 6, 5), (8, 18, 8), (4, 34, 10))], [1.4, 1.5, 1.3]
    )
    head.fill(vein, "vessel")
    oblique = tube(
        [side.at(side.apex + vector(p)) for p in ((-2, 4, 4), (-2, 22, 9), (1, 38, 12))], [1.8, 2.4, 1.6]
    )
    head.fill(oblique, "eye_muscle", OBLIQUE)
    for name, label in _MUSCLES.items():
        head.fill(_muscle(side, name), "eye_muscle", label)
    gland = side.globe + vector((9.5, 3.5 - 0.4 * side.globe[1], 10.5))
    axes = rotation((0, side.sign * 40, 0))
    head.fill(ellipsoid(side.at(gland), vector((7.5, 6.9, 3.6)) * side.gland, axes), "lacrimal_gland", GLAND)
    _paint_globe(head, side, gaze)


def orbit_disease(seed: int, subject: int) -> Disease:
    """The disease of one subject; every second subject is healthy."""
    kind = balanced_choice(FAMILY, seed, subject, "disease", DISEASE)
    return _draw_disease(stream(FAMILY, seed, subject, "disease state"), kind)


def paint_orbits(grid: Grid, seed: int, subject: int, split: Split = SPLIT) -> Painted:
    """Paint one subject; labels 1..9 as in this module's constants, both sides alike.

    Args:
        grid: RAS; its origin is the centre of the view.
        seed: of the data set.
        subject: number of the subject, from 0.
        split: parts into which each voxel is split.

    Returns:
        The finished anatomy.
    """
    return paint_in_slabs(lambda part: _paint_part(part, seed, subject, split), grid, split)


def _paint_part(grid: Grid, seed: int, subject: int, split: Split) -> Painted:
    rng, disease = stream(FAMILY, seed, subject, "anatomy"), orbit_disease(seed, subject)
    canvas = Canvas(grid, "air", split, _REACH_MM)
    scale = float(log_normal(rng, 0.055))
    turn = rotation(bounded_normal(rng, 1.0, 3) * (9, 7, 9))
    shift = bounded_normal(rng, 1.0, 3) * (3.0, 3.5, 3.5) - turn @ vector(_VIEW_CENTRE) * scale
    head = canvas.brush(turn, shift, scale, rng, (0.9, 14.0))
    half_distance = 31.5 + 0.5 * float(bounded_normal(rng, 2.5))
    gaze = unit((float(rng.normal(0, 0.12)), 1.0, float(rng.normal(0, 0.12))))
    _paint_head(head)
    for sign in (1.0, -1.0):
        _paint_side(head, _draw_side(rng, sign, half_distance, disease), gaze)
    return canvas.finish()
