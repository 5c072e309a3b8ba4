"""The anatomy of the abdomen phantom: AMOS organs, bowel, vessels, spine and fat.

Positions and volumes after 13 AMOS label maps; coordinates are RAS mm from the midpoint between the kidneys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parallax.case import Grid
from parallax.phantom.abdomen_body import body_slab, draw_stature
from parallax.phantom.canvas import SPLIT, Brush, Canvas, Island, Painted, Split, paint_in_slabs
from parallax.phantom.fields import bounded_normal, log_normal, stream
from parallax.phantom.geometry import Shape, capsule, ellipsoid, half_space, rotation, tube, vector
from parallax.phantom.spine import fill_spine
from parallax.phantom.surround import Slab, fill_bowel, fill_chest, fill_wall

FAMILY = "abdomen"
#: Label values of AMOS (Ji et al., NeurIPS 2022). 14 and 15, bladder and prostate, lie outside this upper
#: abdomen, as in most of its MR scans.
SPLEEN, RIGHT_KIDNEY, LEFT_KIDNEY, GALL_BLADDER, ESOPHAGUS, LIVER, STOMACH = range(1, 8)
AORTA, POSTCAVA, PANCREAS, RIGHT_ADRENAL, LEFT_ADRENAL, DUODENUM = range(8, 14)

PHASES = ("plain",) * 3 + ("arterial",) * 2 + ("portal",) * 5

_VIEW_CENTRE = (2.0, 10.0, 32.0)
#: Half the region in which the deformation is drawn: no grid of this family reaches beyond.
_REACH_MM = (165.0, 135.0, 105.0)
#: Standard deviation of where an organ lies, along x, y and z (mm), and of how it leans (degrees): AMOS less
#: what the position of the whole subject adds, and less where the organ would leave its neighbours.
_MOVES_MM = {
    "liver": (5, 6, 8),
    "spleen": (5, 7, 10),
    "stomach": (7, 9, 13),
    "gall_bladder": (10, 7, 10),
    "pancreas": (5, 6, 8),
    "duodenum": (5, 5, 9),
    "aorta": (4.0, 2.5, 3.0),
    "postcava": (3.5, 2.5, 3.0),
}
_LEANS_DEG = {"liver": 5, "spleen": 9, "gall_bladder": 12, "right_kidney": 7, "left_kidney": 7}


@dataclass(frozen=True)
class Build:
    """Linear sizes of one subject's organs relative to the template, where each is shifted, how it leans."""

    size: Mapping[str, float]
    shift_mm: Mapping[str, NDArray[np.float64]]
    lean_deg: Mapping[str, NDArray[np.float64]]

    def place(self, organ: str, *point: float) -> NDArray[np.float64]:
        """A point of the organ in this subject."""
        return vector(point) + self.shift_mm[organ]

    def lean(self, organ: str) -> NDArray[np.float64]:
        """Rotation of the organ relative to the template."""
        return rotation(self.lean_deg[organ])


def _draw_build(rng: np.random.Generator) -> Build:
    # Standard deviation of the log of the volume: AMOS less what the size of the whole subject adds (0.1);
    # halved for the stomach, whose extremes would leave the field of view.
    volume_sd = {
        "liver": 0.03,
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
    }
    size = {organ: float(log_normal(rng, sd / 3)) for organ, sd in volume_sd.items()}
    shift = {o: bounded_normal(rng, 1.0, 3) * vector(_MOVES_MM.get(o, (4.0, 4.5, 8.0))) for o in volume_sd}
    lean = {organ: bounded_normal(rng, float(sd), 3) for organ, sd in _LEANS_DEG.items()}
    return Build(size, shift, lean)


def _paint_liver(torso: Brush, slab: Slab, build: Build) -> None:
    s, at, only = build.size["liver"], build.place, ["visceral_fat"]
    lean = build.lean("liver")
    right = ellipsoid(at("liver", 69, 30, 58), vector((68, 84, 92)) * s, lean @ rotation((0, 14, -12)), 2.5)
    left = ellipsoid(at("liver", 17, 64, 76), vector((67, 35, 44)) * s, lean @ rotation((0, -12, 6)), 2.5)
    torso.fill([right, left], "liver", LIVER, over=only)
    tree: list[Shape] = []
    porta, turn = at("liver", 40, 46, 50), at("liver", 62, 36, 56)
    tree += [capsule((34, 44, 40), porta, (7, 6.5)), capsule(porta, turn, (6, 5))]
    tree += [capsule(porta, at("liver", 8, 66, 70), (5, 3))]
    for fork in ((84, 22, 72), (84, 40, 40), (66, 62, 62)):
        tree.append(capsule(turn, at("liver", *fork), (4.2, 3)))
        for away in ((14, 12, 14), (16, -12, -10)):
            tree.append(capsule(at("liver", *fork), at("liver", *(vector(fork) + away)), (3, 1.6)))
    for end in ((98, 34, 74), (56, 70, 74), (92, 0, 62), (4, 72, 84)):
        bend = 0.5 * (vector((26, 38, 100)) + at("liver", *end)) + vector((0, 0, 8))
        tree += tube([(26, 38, 104), bend, at("liver", *end)], [5.2, 4, 2], pieces=5)
    torso.fill(tree, "blood_portal", label=None, over=["liver"])
    slab.put(slab.held_by("liver") & (slab.tubes("liver", 1.4, 9.0) < 1), "blood_portal")
    bladder = ellipsoid(
        at("gall_bladder", 58, 74, 10),
        vector((12.5, 14.5, 29)) * build.size["gall_bladder"],
        build.lean("gall_bladder") @ rotation((28, 0, 0)),
    )
    torso.fill(bladder, "bile", GALL_BLADDER, over=["visceral_fat", "liver"])


def _paint_stomach(torso: Brush, slab: Slab, build: Build, rng: np.random.Generator) -> None:
    """Fundus under the diaphragm, body to the left and in front, antrum across the midline."""
    s, at = build.size["stomach"], build.place
    path = [
        at("stomach", *p)
        for p in ((-44, 16, 100), (-60, 40, 80), (-54, 66, 50), (-30, 78, 22), (2, 76, 14), (26, 64, 24))
    ]
    radii = vector((26, 31, 27, 22.5, 18, 11)) * s
    torso.fill(
        tube(path, radii, ((0, 1, 0), 1.15), 14), "stomach_wall", STOMACH, over=["visceral_fat", "liver"]
    )
    wall = 4.0 + np.maximum(radii - 20, 0) * 0.08
    content, share = str(rng.choice(["fluid", "paste"])), float(rng.uniform(0.1, 0.6))
    lumen = tube(path, radii - wall, ((0, 1, 0), 1.2), 14)
    torso.fill(lumen, content, label=None, over=["stomach_wall"])
    inside = slab.held_by(content) & (slab.canvas.label == STOMACH)
    slab.put(inside & (slab.tubes("folds", 1.3, 5.0) < 1), "stomach_wall")
    level = at("stomach", 0, 92 - 40 * share, 0)[1]
    gas = half_space((0, level, 0), (0, 1, 0))
    torso.fill([piece & gas for piece in lumen], "gas", label=None, over=["stomach_wall", content])


def _paint_kidney(torso: Brush, build: Build, side: float) -> None:
    """A bean in fat: pyramids round a sinus that holds fat and opens forward and to the middle."""
    organ, label = ("right_kidney", RIGHT_KIDNEY) if side > 0 else ("left_kidney", LEFT_KIDNEY)
    centre, s = build.place(organ, side * 61, -1, -3 if side > 0 else 3), build.size[organ]
    axes = build.lean(organ) @ rotation((-9, side * 9, side * 38))
    semi = vector((25.5, 23.5, 50)) * s
    inward, forward, up = -side * axes[:, 0], axes[:, 1], axes[:, 2]
    # most of the fat round a kidney lies behind it and to the side
    round_it = ellipsoid(centre - 2 * inward - 3 * forward, semi + vector((6, 8, 9)), axes)
    torso.fill(round_it, "fat", over=["visceral_fat", "muscle"])
    torso.fill(ellipsoid(centre, semi, axes, 2.5), "kidney_cortex", label)
    for height in (-0.62, -0.22, 0.2, 0.62):
        for turn in (-1.25, -0.4, 0.4, 1.25):
            out = -inward * np.cos(turn) * semi[0] + forward * np.sin(turn) * semi[1]
            narrow = float(np.sqrt(1 - height**2))
            start = centre + up * (height * 0.75 * semi[2]) + 0.3 * out + inward * 2
            stop = centre + up * (height * semi[2]) + (0.7 * narrow) * out
            torso.fill(capsule(start, stop, (2.2 * s, 5.4 * s)), "kidney_medulla", None, ["kidney_cortex"])
    hilum = centre + inward * (semi[0] - 3)
    sinus = ellipsoid(centre + inward * 7 * s, vector((13, 6.5, 23)) * s, axes)
    mouth = capsule(centre + inward * 8, hilum + inward * 8, (4.5 * s, 6 * s), (up, 0.5))
    torso.fill([sinus, mouth], "fat", 0, ["kidney_cortex", "kidney_medulla"])
    pelvis = capsule(centre + inward * 6 - forward * 2, hilum + inward * 6, (4.5, 3.5), (forward, 1.4))
    torso.fill(pelvis, "fluid", 0, ["fat", "visceral_fat"])
    great = (12.0, 34.0, 4.0) if side > 0 else (-14.0, 42.0, 6.0)
    vein = tube([centre + inward * 8 + forward * 3, hilum + inward * 8 + forward * 6, great], [3, 4.2, 4.6])
    artery = capsule(hilum + inward * 6, (-8, 26, 8), (2.4, 3.0))
    torso.fill(vein, "blood_vein", 0, ["fat", "visceral_fat"])
    torso.fill(artery, "blood_artery", 0, ["fat", "visceral_fat"])


def _paint_retroperitoneum(torso: Brush, slab: Slab, build: Build) -> None:
    at, size = build.place, build.size
    loop = [
        at("duodenum", *p) for p in ((34, 56, 24), (52, 46, 6), (46, 40, -20), (22, 42, -30), (-14, 42, -20))
    ]
    outer = vector((13.5, 14.5, 14, 12.5, 11)) * size["duodenum"]
    torso.fill(tube(loop, outer), "bowel_wall", DUODENUM)
    torso.fill(tube(loop, outer - 3.6), "fluid", label=None, over=["bowel_wall"])
    path = [
        at("pancreas", *p)
        for p in ((32, 46, -2), (24, 50, 14), (2, 60, 22), (-22, 54, 32), (-46, 38, 38), (-70, 20, 46))
    ]
    s = size["pancreas"]
    radii = vector((13, 14.5, 11, 10.5, 11.5, 9.5)) * s
    torso.fill(tube(path, radii, ((0, 0, 1), 0.82), pieces=14), "pancreas", PANCREAS)
    slab.put(slab.held_by("pancreas") & (slab.field("lobules", 2.5) > 2.3), "fat")
    splenic = [p - vector((0, 12, 0)) for p in path[1:]]
    splenic[0] = at("pancreas", 14, 44, 16)
    torso.fill(tube(splenic, [5.2, 5, 4.6, 4.2, 4]), "blood_portal", 0, ["visceral_fat", "fat", "pancreas"])
    torso.fill(capsule(splenic[0], (36, 45, 44), (6.2, 6.5)), "blood_portal", over=["visceral_fat"])
    torso.fill(capsule(splenic[0], (6, 54, -80), (5, 5.5)), "blood_portal", over=["visceral_fat"])
    cava = tube(
        [
            at("postcava", *p)
            for p in ((20, 50, 128), (23, 38, 100), (24, 32, 60), (21, 31, 0), (17, 32, -90))
        ],
        vector((12.5, 13.5, 13, 12.5, 12.5)) * size["postcava"],
        ((0, 1, 0), 1.4),
    )
    torso.fill(cava, "blood_vein", POSTCAVA)
    aorta = tube(
        [
            at("aorta", *p)
            for p in ((-14, 14, 140), (-12, 21, 90), (-7, 28, 40), (-6, 32, -20), (-4, 33, -90))
        ],
        vector((12, 11.8, 11.2, 10.2, 9.4)) * size["aorta"],
    )
    torso.fill(aorta, "blood_artery", AORTA)
    top = at("aorta", -7, 36, 32)
    steps = [vector(step) for step in ((0, 0, 0), (2, 20, -12), (4, 26, -50), (8, 30, -110))]
    mesenteric = tube([top + step for step in steps], [3.6, 3.6, 3.4, 3])
    torso.fill(mesenteric, "blood_artery", 0, ["visceral_fat", "fat"])


def _paint_small_organs(torso: Brush, build: Build) -> None:
    """Esophagus and adrenal glands: a few voxels wide, for fine grids."""
    at, size, free = build.place, build.size, ["visceral_fat", "fat", "lung", "muscle"]
    path = [at("esophagus", *p) for p in ((-4, 25, 145), (-9, 32, 120), (-20, 40, 104), (-36, 36, 97))]
    radii = vector((9, 8.5, 8.5, 9)) * size["esophagus"]
    torso.fill(tube(path, radii), "bowel_wall", ESOPHAGUS, over=free)
    torso.fill(tube(path[:2], [2.5, 2.5], pieces=3), "gas", label=None, over=["bowel_wall"])
    glands = ((RIGHT_ADRENAL, (33, 8, 47), (-35, 20)), (LEFT_ADRENAL, (-32, 20, 41), (-25, 35)))
    for label, point, turns_deg in glands:
        for turn_deg in turns_deg:
            semi = vector((3.0, 11.5, 16)) * size["adrenal"]
            limb = ellipsoid(at("adrenal", *point), semi, rotation((0, 0, turn_deg)))
            torso.fill(limb, "adrenal", label, over=["visceral_fat"])


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
    build, stature = _draw_build(rng), draw_stature(rng)
    canvas = Canvas(grid, "air", split, _REACH_MM)
    # wide or narrow, deep or flat, long or short: bodies differ in each
    centre, scale = (
        vector(_VIEW_CENTRE),
        float(log_normal(rng, 0.03)) * np.exp(bounded_normal(rng, 1.0, 3) * (0.03, 0.045, 0.04)),
    )
    # on the back on a table: hardly any roll
    turn = rotation(bounded_normal(rng, 1.0, 3) * (2.5, 2, 2))
    shift = bounded_normal(rng, 1.0, 3) * (8, 8.5, 11) - turn @ (centre * scale)
    body = canvas.brush(turn, shift, scale, rng, (2.5, 45.0))
    torso = canvas.brush(turn, shift, scale, rng, (3.6, 38.0), (0.7, 8.0))
    slab = body_slab(body, stature, lambda purpose: stream(FAMILY, seed, subject, purpose), _REACH_MM)
    fill_wall(slab)
    fill_spine(slab)
    fill_chest(slab)
    for side in (1.0, -1.0):
        _paint_kidney(torso, build, side)
    spleen = ellipsoid(
        build.place("spleen", -88, 2, 58),
        vector((32, 52, 70)) * build.size["spleen"],
        build.lean("spleen") @ rotation((20, -14, -25)),
    )
    torso.fill(spleen, "spleen", SPLEEN, over=["visceral_fat"])
    _paint_retroperitoneum(torso, slab, build)
    _paint_small_organs(torso, build)
    _paint_liver(torso, slab, build)
    _paint_stomach(torso, slab, build, rng)
    fill_bowel(slab)
    canvas.speckle(rng, 2.5, {"visceral_fat": Island("strand", 0.08)})
    return canvas.finish()
