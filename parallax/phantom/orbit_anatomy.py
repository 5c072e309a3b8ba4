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
from parallax.phantom.orbit_head import paint_head

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
    cone: float
    muscle: Mapping[str, float]
    gland: float
    gland_shift_mm: NDArray[np.float64]
    sheath_mm: float
    bend: NDArray[np.float64]
    gaze: NDArray[np.float64]

    def at(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """The point on this side of the head."""
        return point * (self.sign, 1.0, 1.0)


def _draw_disease(rng: np.random.Generator, kind: str) -> Disease:
    severity, activity = rng.uniform(0.3, 1.0), rng.uniform(0.0, 1.0)
    return Disease(float(severity), float(activity)) if kind == "tao" else Disease(0.0, 0.0)


def _draw_side(
    rng: np.random.Generator,
    sign: float,
    half_distance_mm: float,
    disease: Disease,
    gaze: NDArray[np.float64],
) -> Side:
    severity = float(np.clip(disease.severity * log_normal(rng, 0.15), 0, 1.1))
    proptosis = 3.5 * severity
    muscle = {}
    for name, weight in _WEIGHT.items():
        growth = 1.0 + 0.7 * severity * weight * rng.uniform(0.6, 1.3)
        muscle[name] = float(growth * log_normal(rng, 0.15))
    # both eyes look at one point, less a few degrees
    look = gaze * (sign, 1.0, 1.0) + bounded_normal(rng, 0.04, 3)
    return Side(
        sign,
        vector((half_distance_mm, proptosis, 0)) + bounded_normal(rng, 1.0, 3) * (0.8, 1.6, 0.7),
        vector((16.5, -36, 1)) + bounded_normal(rng, 1.0, 3) * (1.3, 1.8, 1.3),
        12.0 * float(log_normal(rng, 0.035)),
        float(log_normal(rng, 0.05)),
        muscle,
        float(log_normal(rng, 0.09)) * (1 + 0.08 * severity),
        bounded_normal(rng, 0.8, 3),
        1.35 * (1 - 0.35 * severity),
        bounded_normal(rng, 1.2, 3),
        unit(look),
    )


def _cone(side: Side, margin_mm: float = 0.0) -> list[Shape]:
    """The orbit within its bony walls: from the apex it widens to the rim, which lies back at the temple."""
    rim = side.at(vector((side.globe[0] + 0.5, 8, 0)))
    apex = side.at(side.apex)
    inner = apex + 0.5 * (rim - apex)
    radii = vector((4.0, 14.5, 18.5)) * side.cone + margin_mm
    front = half_space(side.at(vector((32, 13.5, 0))), side.at(vector((-0.28, -1, 0))))
    return [capsule(apex, inner, (radii[0], radii[1])), capsule(inner, rim, (radii[1], radii[2])) & front]


#: Of each muscle: direction from the nerve, how much thinner than wide, thickness relative to the mean.
_BELLIES = {
    "superior": ((0.1, 0, 1), 2.4, 0.9),
    "inferior": ((0.05, 0, -1), 2.1, 1.0),
    "medial": ((-1, 0, 0), 2.0, 1.0),
    "lateral": ((1, 0, 0), 2.7, 0.92),
}
#: Along the way from apex to globe: share of the way, distance from the axis (mm), relative half thickness.
_STATIONS = (
    (0.02, 2.6, 0.45), (0.16, 5.2, 0.72), (0.36, 8.9, 1.0), (0.58, 11.7, 1.0), (0.8, 12.9, 0.66)
)  # fmt: skip


def _muscle(side: Side, name: str) -> list[Shape]:
    """A belly between two tendons: from the ring at the apex round the globe to where it inserts.

    The insertion turns with the eye, the belly swells with the disease, the tendons stay thin.
    """
    direction, flat, size = _BELLIES[name]
    forward = unit(side.globe - side.apex)
    e = unit(vector(direction) - forward * float(forward @ vector(direction)))
    length = float(np.linalg.norm(side.globe - side.apex))
    thick = side.muscle[name]
    lift = 0.6 * (thick - 1)
    path, half = [], []
    for along, away, share in _STATIONS:
        path.append(side.apex + forward * along * length + e * (away - lift * (along > 0.1)))
        half.append(1.86 * size * (0.4 + (share - 0.4) * thick**0.9))
    out = unit(e - side.gaze * float(side.gaze @ e))
    for turn_deg in (-6, 14, 32):
        turn = np.deg2rad(turn_deg)
        around = out * np.cos(turn) + side.gaze * np.sin(turn)
        path.append(side.globe + around * (side.radius + 0.5))
        half.append(0.75)
    return tube([side.at(p) for p in path], flat * vector(half), (side.at(e), flat), pieces=12)


def _levator(side: Side) -> list[Shape]:
    """The lifter of the lid, a thin strap on the superior rectus; data sets label the two as one."""
    points = ((0, 3, 5.5), (5, 14, 12.0), (11, 28, 15.8), (15, 41, 15.2))
    path = [side.at(side.apex + vector(p)) for p in points]
    return tube(path, vector((2.0, 3.4, 4.0, 4.4)), ((0, 0, 1), 3.8), pieces=7)


def _paint_nerve(head: Brush, side: Side) -> None:
    """A winding nerve in a sheath of fluid, wide behind the globe and gone at the canal."""
    behind = side.globe - side.gaze * (side.radius - 0.5) + vector((-1.5, 0, 0))
    first, second = (behind + share * (side.apex - behind) for share in (0.35, 0.7))
    path = [
        behind,
        first + side.bend,
        second - 0.4 * side.bend,
        side.apex + vector((0, 2, 0)),
        side.apex + vector((-4, -8, 2)),
    ]
    ways = [side.at(p) for p in path]
    sheath = side.sheath_mm * vector((1.15, 0.95, 0.7, 0.3, 0.0))
    head.fill(tube(ways, 2.0 + sheath), "nerve_sheath", NERVE)
    head.fill(tube(ways, [2.05, 2.0, 1.95, 1.9, 1.9]), "optic_nerve", NERVE)


def _paint_globe(head: Brush, side: Side) -> None:
    centre, r, look = side.at(side.globe), side.radius, side.at(side.gaze)
    frame = np.stack([unit(np.cross(look, (0, 0, 1))), look, (0, 0, 0)], axis=1)
    frame[:, 2] = np.cross(frame[:, 0], look)
    cornea = centre + look * (r - 6.2)
    head.fill(ellipsoid(cornea, (7.8, 7.8, 7.8)), "sclera", GLOBE)
    head.fill(ellipsoid(centre, (r, r * 1.02, r)), "sclera", GLOBE)
    head.fill(ellipsoid(cornea, (7.0, 7.0, 7.0)), "vitreous", GLOBE)
    head.fill(ellipsoid(centre, (r - 1.2, r * 1.02 - 1.2, r - 1.2)), "vitreous", GLOBE)
    lens = ellipsoid(centre + look * (r - 4.4), (4.7, 2.3, 4.7), frame)
    ring = ellipsoid(centre + look * (r - 3.2), (6.8, 1.0, 6.8), frame)
    head.fill([ring], "eye_muscle", label=None, over=["vitreous"])
    head.fill(lens, "lens", label=None, over=["vitreous", "eye_muscle"])


def _paint_side(head: Brush, side: Side) -> None:
    head.fill(_cone(side), "fat", FAT)
    centre = side.at(side.globe)
    lid = ellipsoid(centre + vector((0, 0.8, 0)), vector((1, 1, 1)) * (side.radius + 3.2))
    head.fill(lid & half_space((0, 7, 0), (0, 1, 0)), "skin")
    _paint_nerve(head, side)
    vein = tube(
        [side.at(side.apex + vector(p)) for p in ((2, 6, 5), (8, 18, 8), (4, 34, 10))], [1.4, 1.5, 1.3]
    )
    head.fill(vein, "vessel")
    oblique = tube(
        [side.at(side.apex + vector(p)) for p in ((-1, 3, 4), (-2, 22, 10.5), (2, 39, 12.5))], [1.4, 2.5, 1.5]
    )
    head.fill(oblique, "eye_muscle", OBLIQUE)
    head.fill(_levator(side), "eye_muscle", SUPERIOR)
    for name, label in _MUSCLES.items():
        head.fill(_muscle(side, name), "eye_muscle", label)
    gland = side.globe + vector((9.5, 3.5 - 0.4 * side.globe[1], 10.5)) + side.gland_shift_mm
    axes = rotation((0, side.sign * 40, 0))
    head.fill(ellipsoid(side.at(gland), vector((7.5, 6.9, 3.6)) * side.gland, axes), "lacrimal_gland", GLAND)
    _paint_globe(head, side)


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
    scale = float(log_normal(rng, 0.05)) * log_normal(rng, 0.035, 3)
    # nodding varies most; a head is laid straight between the cushions of the coil
    turn = rotation(bounded_normal(rng, 1.0, 3) * (9, 2, 5.5))
    shift = bounded_normal(rng, 1.0, 3) * (3.5, 4.0, 4.5) - turn @ (vector(_VIEW_CENTRE) * scale)
    head = canvas.brush(turn, shift, scale, rng, (1.1, 14.0))
    half_distance = 31.5 + 0.5 * float(bounded_normal(rng, 2.8))
    gaze = vector((float(bounded_normal(rng, 0.16)), 1.0, float(bounded_normal(rng, 0.14))))
    sides = [_draw_side(rng, sign, half_distance, disease, gaze) for sign in (1.0, -1.0)]
    paint_head(head, [piece for side in sides for piece in _cone(side, 3.2)], rng)
    for side in sides:
        _paint_side(head, side)
    return canvas.finish()
