"""The anatomy of the abdomen phantom: AMOS organs, bowel, vessels, spine and fat.

Positions and volumes after 13 AMOS label maps; coordinates are RAS mm from the midpoint between the kidneys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parallax.case import Grid
from parallax.phantom.canvas import SPLIT, Brush, Canvas, Island, Painted, Split, paint_in_slabs
from parallax.phantom.fields import bounded_normal, log_normal, stream
from parallax.phantom.geometry import Shape, capsule, cylinder, ellipsoid, half_space, rotation, tube, vector

FAMILY = "abdomen"
#: Label values of AMOS (Ji et al., NeurIPS 2022). 14 and 15, bladder and prostate, lie outside this upper
#: abdomen, as in most of its MR scans.
SPLEEN, RIGHT_KIDNEY, LEFT_KIDNEY, GALL_BLADDER, ESOPHAGUS, LIVER, STOMACH = range(1, 8)
AORTA, POSTCAVA, PANCREAS, RIGHT_ADRENAL, LEFT_ADRENAL, DUODENUM = range(8, 14)

PHASES = ("plain",) * 3 + ("arterial",) * 2 + ("portal",) * 5

_VIEW_CENTRE = (2.0, 20.0, 32.0)
#: Half the region in which the deformation is drawn: no grid of this family reaches beyond.
_REACH_MM = (165.0, 135.0, 105.0)
_VESSELS = ("aorta", "postcava")


@dataclass(frozen=True)
class Build:
    """Linear sizes of one subject's organs relative to the template, and where each is shifted (mm)."""

    size: Mapping[str, float]
    shift_mm: Mapping[str, NDArray[np.float64]]
    fat: float

    def place(self, organ: str, *point: float) -> NDArray[np.float64]:
        """A point of the organ in this subject."""
        return vector(point) + self.shift_mm[organ]


def _draw_build(rng: np.random.Generator) -> Build:
    # Standard deviation of the log of the volume: AMOS less what the size of the whole subject adds (0.1);
    # halved for the stomach, whose extremes would leave the field of view.
    volume_sd = {
        "liver": 0.08,
        "spleen": 0.4,
        "right_kidney": 0.08,
        "left_kidney": 0.08,
        "stomach": 0.38,
        "pancreas": 0.28,
        "gall_bladder": 0.45,
        "aorta": 0.25,
        "postcava": 0.25,
        "esophagus": 0.3,
        "duodenum": 0.3,
        "adrenal": 0.3,
        "bowel": 0.3,
    }
    size = {organ: float(log_normal(rng, sd / 3)) for organ, sd in volume_sd.items()}
    shift = {organ: bounded_normal(rng, 2.8 if organ in _VESSELS else 3.8, 3) for organ in volume_sd}
    return Build(size, shift, float(log_normal(rng, 0.25)))


def _paint_body(body: Brush, build: Build) -> None:
    rim = 12.0 * build.fat
    body.fill(cylinder((0, 20), (125 + rim, 88 + rim), 2.5), "skin")
    body.fill(cylinder((0, 20), (122 + rim, 85 + rim), 2.5), "fat")
    body.fill(cylinder((0, 20), (125, 86), 2.5), "muscle")
    for k in range(-1, 7):
        low, high = k * 26.0 - 5, k * 26.0 + 5
        ring = cylinder((0, 20), (123.5, 84.5), 2.5, (low, high)) - cylinder((0, 20), (118, 79), 2.5)
        front = half_space((0, 60 - 12 * k, 0), (0, -1, 0))
        body.fill(ring & front, "rib")
    body.fill(cylinder((0, 22), (115, 76), 2.5), "visceral_fat")
    body.fill(cylinder((0, -52), (70, 26), 2.5), "muscle")
    body.fill(cylinder((0, -66), (5, 22)), "bone")
    body.fill(cylinder((0, -2), (24, 19), 2.5), "bone")
    body.fill(cylinder((0, -2), (22, 17), 2.5), "marrow")
    for k in range(-4, 5):
        disc = cylinder((0, -2), (23, 18), 2.5, (k * 36 - 4, k * 36 + 4))
        body.fill(disc, "disc", over=["marrow", "bone"])
    body.fill(cylinder((0, -26), (9, 8)), "fluid")
    for side in (-1.0, 1.0):
        psoas = tube([(side * 30, -6, 50), (side * 36, -4, 0), (side * 46, 4, -80)], [8, 17, 23])
        body.fill(psoas, "muscle", over=["visceral_fat"])


def _paint_lungs(torso: Brush) -> None:
    """Everything in the cavity above the dome of the diaphragm."""
    dome = ellipsoid((5, 25, 10), (132, 92, 112), power=2.5)
    above = cylinder((0, 22), (140, 100), 2.5, (30, 200)) - dome
    torso.fill(above, "lung", over=["visceral_fat"])


def _paint_bowel(torso: Brush, build: Build, rng: np.random.Generator) -> None:
    """Loops of small bowel and a frame of colon: unlabelled, as bright or dark as what is labelled."""
    only = ["visceral_fat"]
    size = build.size["bowel"]
    colon: list[list[tuple[float, float, float]]] = [
        [(92, 20, -90), (98, 26, -40), (92, 40, -8)],
        [(92, 40, -8), (40, 82, -22), (-30, 84, -16), (-88, 44, 16)],
        [(-88, 44, 16), (-104, 16, -20), (-100, 10, -90)],
    ]
    for path in colon:
        torso.fill(tube(path, [22 * size] * len(path)), "bowel_wall", over=only)
    for path in colon:
        torso.fill(tube(path, [18.5 * size] * len(path)), "paste", over=["bowel_wall"])
        gas = tube([(x, y + 8, z) for x, y, z in path], [12 * size] * len(path))
        torso.fill(gas, "gas", over=["paste"])
    for _ in range(14):
        centre = vector((rng.uniform(-70, 70), rng.uniform(38, 80), rng.uniform(-85, -12)))
        reach = rng.normal(size=3) * (22, 9, 9)
        content = str(rng.choice(["fluid", "paste", "fluid", "gas"]))
        loop, lumen = (capsule(centre - reach, centre + reach, (r, r)) for r in (12.5, 9.5))
        torso.fill(loop, "bowel_wall", over=only)
        torso.fill(lumen, content, over=["bowel_wall"])


def _liver(build: Build) -> list[Shape]:
    s, at = build.size["liver"], build.place
    right = ellipsoid(at("liver", 71, 30, 58), vector((60, 74, 73)) * s, rotation((0, 14, -12)), 2.5)
    left = ellipsoid(at("liver", 12, 62, 76), vector((64, 31, 36)) * s, rotation((0, -12, 6)), 2.5)
    return [right, left]


def _paint_liver(torso: Brush, build: Build) -> None:
    at, only = build.place, ["visceral_fat"]
    torso.fill(_liver(build), "liver", LIVER, over=only)
    portal = at("liver", 48, 46, 52)
    for end in ((92, 30, 66), (80, 62, 44), (30, 66, 76), (86, 12, 40)):
        branch = capsule(portal, at("liver", *end), (5.5, 3.0))
        torso.fill(branch, "blood_portal", label=None, over=["liver"])
    for end in ((84, 40, 92), (52, 70, 92), (90, 8, 76)):
        vein = capsule((22, 32, 104), at("liver", *end), (5.0, 2.5))
        torso.fill(vein, "blood_portal", label=None, over=["liver"])
    bladder = ellipsoid(at("gall_bladder", 60, 72, 10), vector((14, 15, 28)) * build.size["gall_bladder"])
    torso.fill(bladder, "bile", GALL_BLADDER, over=["visceral_fat", "liver"])


def _paint_stomach(torso: Brush, build: Build, rng: np.random.Generator) -> None:
    s, at, only = build.size["stomach"], build.place, ["visceral_fat"]
    path = [
        at("stomach", *p) for p in ((-46, 26, 98), (-58, 44, 76), (-46, 64, 48), (-18, 74, 28), (14, 68, 26))
    ]
    radii = vector((24, 31, 27)) * s
    outer = tube(path, [*radii, 19 * s, 13 * s])
    inner = tube(path, [*(radii - 4.5), 19 * s - 4.5, 13 * s - 4.5])
    torso.fill(outer, "stomach_wall", STOMACH, over=[*only, "liver"])
    content = str(rng.choice(["fluid", "paste"]))
    torso.fill(inner, content, label=None, over=["stomach_wall"])
    level = half_space((0, at("stomach", 0, rng.uniform(52, 72), 0)[1], 0), (0, 1, 0))
    torso.fill([piece & level for piece in inner], "gas", label=None, over=["stomach_wall", content])


def _paint_kidney(torso: Brush, build: Build, side: float) -> None:
    organ, label = ("right_kidney", RIGHT_KIDNEY) if side > 0 else ("left_kidney", LEFT_KIDNEY)
    centre, s = build.place(organ, side * 60, -2, -2 if side > 0 else 3), build.size[organ]
    axes = rotation((-8, side * 10, side * 25))
    semi = vector((25, 26.5, 51)) * (s * (0.985 if side > 0 else 1.055))
    hilum = centre + axes @ vector((-side * 19, 4, 0))
    torso.fill(ellipsoid(centre, semi + 9, axes), "visceral_fat")
    torso.fill(ellipsoid(centre, semi, axes), "kidney_cortex", label)
    torso.fill(ellipsoid(centre, semi - 8, axes), "kidney_medulla", label=None, over=["kidney_cortex"])
    torso.fill(
        ellipsoid(hilum, vector((15, 8, 22)) * s, axes),
        "visceral_fat",
        over=["kidney_cortex", "kidney_medulla"],
    )
    ends = (0.6 * hilum + 0.4 * vector((side * 12, 28, 4)), (side * 10, 30, 6))
    torso.fill(
        [capsule(hilum, ends[0], (6, 5)), capsule(ends[0], ends[1], (5, 5))],
        "blood_vein",
        over=["visceral_fat"],
    )


def _paint_retroperitoneum(torso: Brush, build: Build) -> None:
    at, size = build.place, build.size
    loop = [at("duodenum", *p) for p in ((36, 52, 22), (52, 46, 4), (42, 40, -22), (4, 38, -26))]
    outer = vector((14, 15, 15, 13)) * size["duodenum"]
    torso.fill(tube(loop, outer), "bowel_wall", DUODENUM)
    torso.fill(tube(loop, outer - 4), "fluid", label=None, over=["bowel_wall"])
    path = [
        at("pancreas", *p) for p in ((30, 44, 2), (14, 50, 16), (-14, 54, 28), (-42, 42, 36), (-66, 24, 44))
    ]
    s = size["pancreas"]
    torso.fill(tube(path, [17 * s, 14 * s, 13.5 * s, 13.5 * s, 11.5 * s], pieces=12), "pancreas", PANCREAS)
    splenic = [p - vector((0, 12, 2)) for p in path[1:]]
    torso.fill(tube(splenic, [5.5, 5, 5, 5]), "blood_portal", over=["visceral_fat", "pancreas"])
    torso.fill(
        capsule(path[1] - vector((0, 10, 0)), (46, 46, 52), (6.5, 7)),
        "blood_portal",
        over=["visceral_fat"],
    )
    torso.fill(capsule((2, 44, 10), (4, 52, -80), (5, 6)), "blood_portal", over=["visceral_fat"])
    cava = tube(
        [at("postcava", *p) for p in ((24, 30, 140), (24, 32, 70), (23, 31, 0), (19, 29, -90))],
        vector((12.4, 12, 12, 11.6)) * size["postcava"],
        ((0, 1, 0), 1.15),
    )
    torso.fill(cava, "blood_vein", POSTCAVA)
    aorta = tube(
        [at("aorta", *p) for p in ((-10, 24, 140), (-10, 30, 70), (-8, 31, 0), (-4, 29, -90))],
        vector((13.5, 13.5, 12.5, 11.5)) * size["aorta"],
    )
    torso.fill(aorta, "blood_artery", AORTA)


def _paint_small_organs(torso: Brush, build: Build) -> None:
    """Esophagus and adrenal glands: a few voxels wide, for fine grids."""
    at, size, free = build.place, build.size, ["visceral_fat", "lung"]
    path = [at("esophagus", *p) for p in ((-6, 52, 145), (-9, 51, 118), (-22, 46, 102), (-38, 38, 96))]
    radii = vector((8, 7.5, 7.5, 8)) * size["esophagus"]
    torso.fill(tube(path, radii), "bowel_wall", ESOPHAGUS, over=free)
    torso.fill(tube(path[:2], [2.5, 2.5], pieces=3), "gas", label=None, over=["bowel_wall"])
    glands = ((RIGHT_ADRENAL, (33, 8, 47), (-35, 20)), (LEFT_ADRENAL, (-32, 20, 41), (-25, 35)))
    for label, point, turns_deg in glands:
        for turn_deg in turns_deg:
            semi = vector((3.0, 11.5, 16)) * size["adrenal"]
            limb = ellipsoid(at("adrenal", *point), semi, rotation((0, 0, turn_deg)))
            torso.fill(limb, "adrenal", label, over=["visceral_fat"])


def _islands(rng: np.random.Generator) -> Mapping[str, Island]:
    """Fat between the fibres of muscle, more in some subjects; vessels and strands in the mesentery."""
    fatty = float(rng.uniform(0.08, 0.4))
    return {
        "muscle": Island("fat", fatty),
        "visceral_fat": Island("strand", 0.08),
        "fat": Island("strand", 0.04),
    }


def paint_abdomen(grid: Grid, seed: int, subject: int, split: Split = SPLIT) -> Painted:
    """Paint one subject; labels are AMOS values.

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
    rng = stream(FAMILY, seed, subject, "anatomy")
    build = _draw_build(rng)
    canvas = Canvas(grid, "air", split, _REACH_MM)
    centre, scale = vector(_VIEW_CENTRE), float(log_normal(rng, 0.035))
    turn = rotation(bounded_normal(rng, 1.0, 3) * (4, 4, 7))
    shift = bounded_normal(rng, 1.0, 3) * (8, 7, 9) - turn @ centre * scale
    body = canvas.brush(turn, shift, scale, rng, 2.5, 45.0)
    torso = canvas.brush(turn, shift, scale, rng, 3.6, 38.0)
    _paint_body(body, build)
    _paint_lungs(torso)
    for side in (1.0, -1.0):
        _paint_kidney(torso, build, side)
    spleen = ellipsoid(
        build.place("spleen", -92, 4, 58),
        vector((29, 46, 63)) * build.size["spleen"],
        rotation((20, -14, -25)),
    )
    torso.fill(spleen, "spleen", SPLEEN, over=["visceral_fat"])
    _paint_retroperitoneum(torso, build)
    _paint_small_organs(torso, build)
    _paint_liver(torso, build)
    _paint_stomach(torso, build, rng)
    _paint_bowel(torso, build, rng)
    canvas.speckle(rng, 6.0, _islands(rng))
    return canvas.finish()
