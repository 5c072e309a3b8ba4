"""Vertebrae with arches and processes, discs, canal and the muscles beside them, along a planned spine."""

from __future__ import annotations

import numpy as np

from parallax.phantom.fields import Array
from parallax.phantom.surround import Mask, Slab
from parallax.phantom.torso import VERTEBRA_MM

#: Distance of neighbouring lumbar vertebrae; a disc lies at the height of the kidneys.
_PITCH_MM = 34.0
_CANAL_MM = -25.0


def fill_spine(slab: Slab) -> None:
    """Psoas and quadratus lumborum, then the spine over everything."""
    _muscles(slab.near_spine(90, 40, 30))
    slab = slab.near_spine(42, 66, 22)
    turn = slab.z / _PITCH_MM
    from_disc = (turn - np.rint(turn)) * _PITCH_MM
    from_middle = (turn - np.floor(turn) - 0.5) * _PITCH_MM
    side, behind = np.abs(slab.x), slab.y - _CANAL_MM
    slab.put((slab.x / 15) ** 2 + (behind / 12) ** 2 < 1, "fat")
    _arch(slab, side, behind, from_middle)
    slab.put((slab.x / 10.5) ** 2 + (behind / 8) ** 2 < 1, "fluid")
    slab.put((slab.x / 7) ** 2 + ((behind + 1) / 4.5) ** 2 < 1, "brain")  # cord, then roots
    _bodies(slab, from_disc)


def _muscles(slab: Slab) -> None:
    fat = slab.held_by("visceral_fat")
    down = np.maximum(25 - slab.z, 0)
    radius = np.minimum(5 + 0.17 * down, 24)
    psoas = np.hypot(np.abs(slab.x) - 27 - 0.12 * down, slab.y + 3) < radius
    slab.put(fat & psoas & (slab.z < 25), "muscle")
    lumborum = ((np.abs(slab.x) - 60) / 22) ** 2 + ((slab.y + 25) / 9) ** 2 < 1
    slab.put(fat & lumborum & (slab.z < 45), "muscle")


def _arch(slab: Slab, side: Array, behind: Array, middle: Array) -> None:
    ring = ((slab.x / 17) ** 2 + (behind / 14) ** 2 < 1) & (behind < 1)
    _bone(slab, ring & (np.abs(middle + 2) < 11))
    _bone(slab, (np.abs(side - 13) < 4) & (np.abs(behind - 6) < 10) & (np.abs(middle - 5) < 7))
    _bone(slab, (np.abs(side - 26) < 13) & (np.abs(behind + 0.15 * side) < 4.5) & (np.abs(middle - 4) < 6))
    _bone(slab, (((side - 17) / 6) ** 2 + ((behind + 7) / 8) ** 2 < 1) & (np.abs(middle) > 9))
    _bone(slab, (side < 3.5) & (np.abs(behind + 24) < 13) & (np.abs(middle + 7) < 11))


def _bone(slab: Slab, where: Mask) -> None:
    slab.put(where, "bone")


def _bodies(slab: Slab, from_disc: Array) -> None:
    waist = 1 + 0.06 * np.cos(2 * np.pi * from_disc / _PITCH_MM)
    body = ((slab.x / 22) ** 2 + (slab.y / VERTEBRA_MM) ** 2) / waist**2
    inside = (body < 1) & (slab.y > -15)
    slab.put(inside, "bone")
    trabeculae = slab.field("trabeculae", 2.0)
    core = inside & (body < 0.88)
    slab.put(core, "marrow")
    slab.put(core & (trabeculae > 1.4), "bone")
    slab.put(core & (trabeculae < -1.6), "disc")
    slab.put(inside & (np.abs(from_disc) < 6), "bone")
    slab.put(inside & (np.abs(from_disc) < 4.5), "disc")
