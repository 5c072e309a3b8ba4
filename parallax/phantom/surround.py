"""What fills the body between the organs of a label map: wall, ribs, lungs, heart, fat and bowel.

Every millimetre below is a textbook size or was read off axial CT; coordinates are those of `Torso.polar`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parallax.phantom.canvas import Canvas
from parallax.phantom.fields import Array, Axes, smooth_field, stream
from parallax.phantom.torso import Torso

FAMILY = "from_labels"
#: Ribs that reach the abdomen: height of the head above the kidneys, angle (rad) at which the bone ends.
_RIBS = (
    (228.0, 0.3), (200.0, 0.35), (172.0, 0.45), (143.0, 0.6), (113.0, 0.85), (82.0, 1.7), (50.0, 2.15)
)  # fmt: skip
#: Fall of a rib per millimetre of its way forward.
_RIB_FALL = 0.42

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Slab:
    """A part of the scan that is being filled.

    Attributes:
        canvas: painted on.
        torso: the plan of the body.
        seed, case: of the data set and the case: random fields depend on nothing else.
        tissue: the part of the canvas that is looked at.
        axes_mm: its coordinates.
        x, y, z: mm from the spine (x, y) and above the kidneys (z).
        angle, distance, beyond: see `Torso.polar`.
    """

    canvas: Canvas
    torso: Torso
    seed: int
    case: str
    tissue: NDArray[np.uint8]
    axes_mm: Axes
    x: Array
    y: Array
    z: Array
    angle: Array
    distance: Array
    beyond: Array

    @staticmethod
    def of(canvas: Canvas, torso: Torso, seed: int, case: str) -> Slab:
        """The whole of a canvas."""
        z = canvas.axes_mm[2][None, None, :] - np.float32(torso.level_mm)
        x, y, angle, distance, beyond = torso.polar(canvas.axes_mm)
        axes = canvas.axes_mm
        return Slab(canvas, torso, seed, case, canvas.tissue, axes, x, y, z, angle, distance, beyond)

    def near_spine(self, side_mm: float, back_mm: float, front_mm: float) -> Slab:
        """The columns that come within these distances of the spine; what is painted there is cheap."""
        columns = np.asarray((np.abs(self.x) < side_mm).any(axis=(1, 2)))
        rows = np.asarray(((self.y > -back_mm) & (self.y < front_mm)).any(axis=(0, 2)))
        i, j = _run(columns), _run(rows)
        polar = (array[i, j] for array in (self.angle, self.distance, self.beyond))
        axes = (self.axes_mm[0][i], self.axes_mm[1][j], self.axes_mm[2])
        return Slab(
            self.canvas, self.torso, self.seed, self.case, self.tissue[i, j], axes,
            self.x[i], self.y[:, j], self.z, *polar,
        )  # fmt: skip

    def put(self, where: Mask, tissue: str) -> None:
        """Fill a region."""
        self.tissue[where] = self.canvas.index(tissue)

    def held_by(self, tissue: str) -> Mask:
        """Where a tissue is."""
        return np.asarray(self.tissue == self.canvas.index(tissue))

    def field(self, purpose: str, correlation_mm: float) -> Array:
        """A random field of about unit RMS; each part of each grid sees its part of the same field."""
        rng = stream(FAMILY, self.seed, zlib.crc32(self.case.encode()), purpose)
        return smooth_field(rng, self.axes_mm, correlation_mm, self.torso.half_mm)

    def tubes(self, purpose: str, radius_mm: float, correlation_mm: float) -> Array:
        """Winding tubes about the common zeros of two random fields: 1 on their surface, 0 on their axes."""
        slope = 1 / (np.sqrt(2) * correlation_mm)  # root mean square, by the kernel of the fields
        level = np.hypot(
            self.field(f"{purpose} a", correlation_mm), self.field(f"{purpose} b", correlation_mm)
        )
        return np.asarray(level / np.float32(slope * radius_mm), dtype=np.float32)


def _run(held: Mask) -> slice:
    """From the first to the last that holds."""
    at = np.nonzero(held)[0]
    return slice(int(at[0]), int(at[-1]) + 1) if at.size else slice(0, 0)


def fill_wall(slab: Slab) -> None:
    """Skin, subcutaneous fat, muscles of the wall and of the back, ribs; fat inside."""
    turned = np.abs(slab.angle)
    muscle_mm = np.interp(turned, [0, 0.5, 1.2, 1.6], [9.0, 9.0, 13.0, 15.0])
    fat_mm = slab.torso.fat * np.interp(turned, [0, 0.8, 1.8, 2.6], [11.0, 11.0, 14.0, 17.0])
    back = ((np.abs(slab.x) / 92) ** 4 + (np.abs(slab.y + 18) / 62) ** 4) ** 0.25
    level = _soft_min(slab.beyond - muscle_mm, (back - 1) * 50)
    slab.put(level < fat_mm + 2, "skin")
    slab.put(level < fat_mm, "fat")
    slab.put(level < 0, "muscle")
    slab.put((np.abs(slab.x) < 2.5) & (turned < 0.5) & (level > -6) & (level < 0), "fat")
    slab.put((np.abs(turned - 0.6) < 0.05) & (level > -9) & (level < -2), "fat")  # beside the recti
    slab.put((np.abs(slab.x) < 1.2) & (slab.y < -36) & (level < 0), "fat")
    layers = (turned > 0.85) & (turned < 2.1) & (slab.z < -10)
    slab.put(layers & (np.abs(np.abs(slab.beyond - 7.5) - 2.2) < 0.6), "fat")
    streaks = slab.field("streaks", 3.0) > 1.1 + 0.6 * slab.torso.fat
    slab.put(streaks & (turned > 2.0) & (level < -2), "fat")
    _ribs(slab, turned)
    slab.put(slab.beyond < 0, "visceral_fat")


def _soft_min(a: NDArray[np.floating], b: NDArray[np.floating], width: float = 6.0) -> Array:
    low, high = np.minimum(a, b), np.maximum(a, b)
    return np.asarray(low - width * np.log1p(np.exp((low - high) / width)), dtype=np.float32)


def _ribs(slab: Slab, turned: Array) -> None:
    fall = _RIB_FALL * slab.distance * (np.pi - turned)
    for head_mm, end in _RIBS:
        section = ((slab.z - head_mm + fall) / 7.5) ** 2 + ((slab.beyond - 6.5) / 3.8) ** 2
        bony = (turned > end) & (turned < 2.8)
        slab.put((section < 1) & bony, "rib")
        slab.put((section < 1) & (turned <= end) & (turned > end - 0.22), "disc")  # cartilage


def fill_bowel(slab: Slab) -> None:
    """Loops of small bowel, a frame of colon and mesenteric vessels, in the fat in front of the spine."""
    dome = slab.torso.dome(slab.axes_mm)
    height = slab.axes_mm[2][None, None, :]
    zone = slab.held_by("visceral_fat") & (slab.y > 26) & (slab.beyond < -3)
    if dome is not None:
        zone &= height < dome - 45
    loops = slab.tubes("bowel", 12.0, 8.5)
    content = slab.field("content", 24.0)
    slab.put(zone & (loops < 1), "bowel_wall")
    lumen = zone & (loops < 0.78) & (content > -0.5)
    slab.put(lumen, "paste")
    slab.put(lumen & (content > 0.25), "fluid")
    slab.put(lumen & (content > 1.3) & (slab.y > 60), "gas")
    _colon(slab, zone | (slab.held_by("visceral_fat") & (slab.beyond < -3)))
    vessels = slab.tubes("mesentery", 1.3, 7.0) < 1
    slab.put(vessels & slab.held_by("visceral_fat") & (slab.beyond < -6), "blood_vein")


def _colon(slab: Slab, room: Mask) -> None:
    """Ascending and descending part on the flanks and the transverse part in front, with haustra."""
    bubbles = slab.field("bubbles", 2.5) > 0.9
    depth = slab.beyond + 25
    for angle, top in ((1.75, 5.0), (-1.85, 45.0)):
        across = np.hypot(depth, slab.distance * (slab.angle - angle))
        section = across / (19 + 3 * np.sin(slab.z / 4.5))
        gas_mm = -slab.distance * np.sign(angle) * (slab.angle - angle)  # towards the front
        _gut(slab, room & (slab.z < top), section, gas_mm, bubbles)
    across = np.hypot(depth - 2, slab.z + 12 - 0.3 * slab.x + 18 * np.cos(slab.angle))
    section = across / (19 + 3 * np.sin(slab.x / 4.5))
    _gut(slab, room & (np.abs(slab.angle) < 1.2), section, depth, bubbles)


def _gut(slab: Slab, room: Mask, section: Array, gas_mm: Array, bubbles: Mask) -> None:
    slab.put(room & (section < 1), "bowel_wall")
    lumen = room & (section < 0.86)
    slab.put(lumen, "paste")
    slab.put(lumen & (bubbles | (gas_mm > 5)), "gas")


def fill_chest(slab: Slab) -> None:
    """Diaphragm, lungs with their vessels and the underside of the heart, above the organs."""
    dome = slab.torso.dome(slab.axes_mm)
    if dome is None or slab.torso.dome_mm is None:
        return
    above = slab.axes_mm[2][None, None, :] - dome
    mediastinum = ((slab.x + 5) / 32) ** 2 + ((slab.y - 30) / 27) ** 2 < 1
    chest = (slab.beyond < 0) & (above > 0) & (slab.y > -30)
    slab.put(chest, "muscle")
    chest &= (above > 3) & (slab.beyond < -1)
    slab.put(chest, "lung")
    slab.put(chest & (slab.tubes("lung", 1.6, 7.0) < 1), "blood_vein")
    slab.put(chest & mediastinum, "visceral_fat")
    top = float(slab.torso.dome_mm.max()) - slab.torso.level_mm
    u, v, w = (slab.x + 30) / 62, (slab.y - 78) / 46, (slab.z - top - 38) / 50
    heart = np.sqrt(u**2 + v**2 + w**2)
    slab.put(chest & (heart < 1.12), "visceral_fat")
    slab.put(chest & (heart < 1), "myocardium")
    slab.put(chest & (heart < 0.84) & (np.abs(u + 0.6 * v) > 0.12), "blood_vein")
