"""What fills the body between the organs: wall, ribs, lungs, heart, fat and bowel.

Shared by the abdomen phantom and by bodies built round a label map. Every millimetre below is a textbook size
or was read off axial CT; coordinates are those of `Slab`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from parallax.phantom.canvas import Canvas
from parallax.phantom.fields import Array, Axes, smooth_field, winding_tubes

#: Ribs that reach the abdomen: height of the head above the kidneys, angle (rad) at which the bone ends.
_RIBS = (
    (252.0, 0.3), (222.0, 0.35), (194.0, 0.45), (166.0, 0.6), (136.0, 0.85), (102.0, 1.7), (64.0, 2.15)
)  # fmt: skip
#: Fall of a rib per millimetre of its way forward.
_RIB_FALL = 0.6

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Slab:
    """A part of the scan that is being filled.

    Attributes:
        canvas: painted on.
        rng: source of the random field of a purpose.
        reach_mm: half the region in which fields are drawn.
        fat: thickness of subcutaneous fat relative to the mean.
        tissue: the part of the canvas that is looked at.
        axes_mm: its scanner coordinates.
        x, y, z: mm from the middle of the vertebral body (x, y) and above the kidneys (z).
        angle, distance: from the middle of the abdomen, 0 = forward, positive to the right (rad, mm).
        beyond: depth (mm) beyond the inner surface of the wall, negative in the cavity.
        above: height (mm) above the diaphragm; None without one.
        dome_mm: height of the highest point of the diaphragm above the kidneys.

    Arrays are [X, Y, Z] of this part or can be broadcast to it.
    """

    canvas: Canvas
    rng: Callable[[str], np.random.Generator]
    reach_mm: tuple[float, float, float] | None
    fat: float
    tissue: NDArray[np.uint8]
    axes_mm: Axes
    x: Array
    y: Array
    z: Array
    angle: Array
    distance: Array
    beyond: Array
    above: Array | None = None
    dome_mm: float = 0.0

    def near_spine(self, side_mm: float, back_mm: float, front_mm: float) -> Slab:
        """The columns that come within these distances of the spine; what is painted there is cheap."""
        columns = np.asarray((np.abs(self.x) < side_mm).any(axis=(1, 2)))
        rows = np.asarray(((self.y > -back_mm) & (self.y < front_mm)).any(axis=(0, 2)))
        i, j = _run(columns), _run(rows)

        def part(array: Array) -> Array:
            cut = (i if array.shape[0] > 1 else slice(None), j if array.shape[1] > 1 else slice(None))
            return array[cut]

        return replace(
            self,
            tissue=self.tissue[i, j],
            axes_mm=(self.axes_mm[0][i], self.axes_mm[1][j], self.axes_mm[2]),
            x=part(self.x),
            y=part(self.y),
            angle=part(self.angle),
            distance=part(self.distance),
            beyond=part(self.beyond),
            z=part(self.z),
            above=None if self.above is None else part(self.above),
        )

    def put(self, where: Mask, tissue: str) -> None:
        """Fill a region."""
        self.tissue[where] = self.canvas.index(tissue)

    def held_by(self, tissue: str) -> Mask:
        """Where a tissue is."""
        return np.asarray(self.tissue == self.canvas.index(tissue))

    def field(self, purpose: str, correlation_mm: float) -> Array:
        """A random field of about unit RMS; each part of each grid sees its part of the same field."""
        return smooth_field(self.rng(purpose), self.axes_mm, correlation_mm, self.reach_mm)

    def tubes(self, purpose: str, radius_mm: float, correlation_mm: float) -> Array:
        """Winding tubes about the common zeros of two random fields: 1 on their surface, 0 on their axes."""
        first, second = (self.field(f"{purpose} {which}", correlation_mm) for which in "ab")
        return winding_tubes(first, second, radius_mm, correlation_mm)


def _run(held: Mask) -> slice:
    """From the first to the last that holds."""
    at = np.nonzero(held)[0]
    return slice(int(at[0]), int(at[-1]) + 1) if at.size else slice(0, 0)


def fill_wall(slab: Slab) -> None:
    """Skin, subcutaneous fat, muscles of the wall and of the back, ribs; fat inside."""
    turned = np.abs(slab.angle)
    muscle_mm = np.interp(turned, [0, 0.5, 1.2, 1.6], [9.0, 9.0, 13.0, 15.0])
    fat_mm = slab.fat * np.interp(turned, [0, 0.8, 1.8, 2.6], [11.0, 11.0, 14.0, 17.0])
    side = np.abs(slab.x)
    groove = 61 - 5 * np.exp(-((slab.x / 13) ** 2))
    back = ((side / 86) ** 3 + (np.abs(slab.y + 18) / groove) ** 3) ** (1 / 3)
    level = _soft_min(slab.beyond - muscle_mm, (back - 1) * 50)
    slab.put(level < fat_mm + 2, "skin")
    slab.put(level < fat_mm, "fat")
    slab.put(level < 0, "muscle")
    slab.put((np.abs(slab.x) < 2.5) & (turned < 0.5) & (level > -6) & (level < 0), "fat")
    slab.put((np.abs(turned - 0.6) < 0.05) & (level > -9) & (level < -2), "fat")  # beside the recti
    # between the muscles of the back: in the midline, and longissimus from iliocostalis
    slab.put((side < 1.2) & (slab.y < -36) & (level < 0), "fat")
    slab.put((np.abs(side - 56 - 0.5 * (slab.y + 60)) < 0.9) & (slab.y < -40) & (level < -3), "fat")
    layers = (turned > 0.85) & (turned < 2.1) & (slab.z < -10)
    slab.put(layers & (np.abs(np.abs(slab.beyond - 7.5) - 2.2) < 0.6), "fat")
    streaks = slab.field("streaks", 2.2) > 1.1 + 0.6 * slab.fat
    slab.put(streaks & (turned > 2.0) & (level < -2), "fat")
    _ribs(slab, turned)
    slab.put(slab.beyond < 0, "visceral_fat")


def _soft_min(a: NDArray[np.floating], b: NDArray[np.floating], width: float = 6.0) -> Array:
    low, high = np.minimum(a, b), np.maximum(a, b)
    return np.asarray(low - width * np.log1p(np.exp((low - high) / width)), dtype=np.float32)


def _ribs(slab: Slab, turned: Array) -> None:
    fall = _RIB_FALL * slab.distance * (np.pi - turned)
    for head_mm, end in _RIBS:
        section = ((slab.z - head_mm + fall) / 6.5) ** 2 + ((slab.beyond - 6.5) / 3.8) ** 2
        bony = (turned > end) & (turned < 2.8)
        slab.put((section < 1) & bony, "rib")
        slab.put((section < 1) & (turned <= end) & (turned > end - 0.22), "disc")  # cartilage


def fill_bowel(slab: Slab) -> None:
    """Loops of small bowel, a frame of colon and mesenteric vessels, in the fat in front of the spine."""
    zone = slab.held_by("visceral_fat") & (slab.y > 26) & (slab.beyond < -3)
    if slab.above is not None:
        zone &= slab.above < -45
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
    if slab.above is None:
        return
    mediastinum = ((slab.x + 5) / 32) ** 2 + ((slab.y - 30) / 27) ** 2 < 1
    chest = (slab.beyond < 0) & (slab.above > 0) & (slab.y > -30)
    slab.put(chest, "muscle")
    chest &= (slab.above > 3) & (slab.beyond < -1)
    slab.put(chest, "lung")
    slab.put(chest & (slab.tubes("lung", 1.6, 7.0) < 1), "blood_vein")
    slab.put(chest & mediastinum, "fat")
    u, v, w = (slab.x + 30) / 62, (slab.y - 78) / 46, (slab.z - slab.dome_mm - 38) / 50
    heart = np.sqrt(u**2 + v**2 + w**2)
    slab.put(chest & (heart < 1.12), "fat")
    slab.put(chest & (heart < 1), "myocardium")
    slab.put(chest & (heart < 0.84) & (np.abs(u + 0.6 * v) > 0.12), "blood_vein")
