"""Where body wall, spine and diaphragm must lie, told from the organs of a label map alone.

No image is looked at and nothing is thresholded: the spine runs behind the aorta, the wall encloses the
organs, the diaphragm covers liver, spleen and stomach. Sizes of wall and vertebrae are textbook values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from parallax.phantom.fields import Array, Axes, log_normal
from parallax.phantom.label_shapes import LabelMap

#: Pitch (mm) of the grid on which body wall and diaphragm are planned.
PLAN_MM = 4.0
#: Directions round the body in which its wall is planned.
_RAYS = 72
#: Vertebral body: half its depth; and the distance from its centre to the middle of the abdominal cavity.
VERTEBRA_MM = 17.0
_TO_CENTRE_MM = 48.0
#: The anterior border of the spine lies this far behind the aorta's centre line, and behind the kidneys'.
_BEHIND_AORTA_MM = 2.0
_KIDNEY_TO_SPINE_MM = 2.0
#: The aorta runs this far left of the midline, the postcava right of it (13 AMOS label maps).
_LEFT_OF_MIDLINE_MM = {"aorta": -10.0, "postcava": 22.0}

Row = NDArray[np.float64]


@dataclass(frozen=True)
class Torso:
    """The plan of one body.

    Attributes:
        z_mm: heights at which the rows below are given.
        midline_mm, spine_mm: x and y of the vertebral bodies' centres, one per height.
        cavity_mm: distance of the cavity's wall from the centre, [direction, height]; from front to right.
        level_mm: height of the kidneys, about the disc between the first two lumbar vertebrae.
        plane_mm: x and y of the columns of `dome_mm`.
        dome_mm: height of the diaphragm, [x, y]; None without an organ below it.
        half_mm: half the field of view.
        fat: thickness of subcutaneous fat relative to the mean.
    """

    z_mm: Row
    midline_mm: Row
    spine_mm: Row
    cavity_mm: NDArray[np.float64]
    level_mm: float
    plane_mm: tuple[Array, Array]
    dome_mm: NDArray[np.float64] | None
    half_mm: tuple[float, float, float]
    fat: float

    def polar(self, axes_mm: Axes) -> tuple[Array, Array, Array, Array, Array]:
        """On a grid: x and y from the spine, angle (rad) and distance from the centre, depth beyond the wall.

        All are float32 [X, Y, Z] (x: [X, 1, Z], y: [1, Y, Z]), mm; the depth is negative inside the cavity.
        """
        x, y, z = axes_mm
        from_x = (x[:, None, None] - np.interp(z, self.z_mm, self.midline_mm)).astype(np.float32)
        from_y = (y[None, :, None] - np.interp(z, self.z_mm, self.spine_mm)).astype(np.float32)
        angle = np.arctan2(from_x, from_y - np.float32(_TO_CENTRE_MM))
        distance = np.hypot(from_x, from_y - np.float32(_TO_CENTRE_MM))
        ray = np.mod(angle / (2 * np.pi), 1.0) * _RAYS
        height = np.broadcast_to(np.interp(z, self.z_mm, np.arange(self.z_mm.size)), angle.shape)
        closed = np.concatenate([self.cavity_mm, self.cavity_mm[:1]]).astype(np.float32)
        wall = ndimage.map_coordinates(closed, [ray, height], order=1, mode="nearest")
        return from_x, from_y, angle, distance, distance - wall

    def dome(self, axes_mm: Axes) -> Array | None:
        """Height of the diaphragm over the columns of a grid: float32 [X, Y, 1]; None without one."""
        if self.dome_mm is None:
            return None
        at = [
            np.interp(axis, own, np.arange(own.size))
            for axis, own in zip(axes_mm[:2], self.plane_mm, strict=True)
        ]
        grid = np.meshgrid(*at, indexing="ij")
        height = ndimage.map_coordinates(self.dome_mm, grid, order=1, mode="nearest")
        return np.asarray(height[:, :, None], dtype=np.float32)


def plan_torso(label: LabelMap, names: Mapping[int, str], rng: np.random.Generator) -> Torso:
    """Fit the plan to the organs of one subject.

    Args:
        label: the organs; at least one voxel is labelled.
        names: structure name of each id; aorta, postcava, kidneys, liver, spleen and stomach are looked for.
        rng: source of the build (fat).
    """
    plan, axes = label.coarse(PLAN_MM)
    where = {
        name: tuple(axis[i] for axis, i in zip(axes, np.nonzero(plan == value), strict=True))
        for value, name in names.items()
        if (plan == value).any()
    }
    every = tuple(axis[i] for axis, i in zip(axes, np.nonzero(plan), strict=True))
    z = axes[2].astype(np.float64)
    midline, spine = _midline(where, every, z), _spine(where, every, z)
    cavity = _cavity(every, z, midline, spine)
    kidneys = [where[k][2].mean() for k in ("right_kidney", "left_kidney") if k in where]
    level = float(np.mean(kidneys)) if kidneys else float(np.median(every[2])) - 40.0
    return Torso(
        z,
        midline,
        spine,
        cavity,
        level,
        (axes[0], axes[1]),
        _dome(plan, axes, names),
        label.half_mm,
        float(log_normal(rng, 0.3)),
    )


def _midline(where: Mapping[str, tuple[Array, ...]], every: tuple[Array, ...], z: Row) -> Row:
    if "right_kidney" in where and "left_kidney" in where:
        middle = (where["right_kidney"][0].mean() + where["left_kidney"][0].mean()) / 2
    else:
        guesses = [where[k][0].mean() - mm for k, mm in _LEFT_OF_MIDLINE_MM.items() if k in where]
        middle = np.mean(guesses) if guesses else (every[0].min() + every[0].max()) / 2
    return np.full(z.size, float(middle))


def _spine(where: Mapping[str, tuple[Array, ...]], every: tuple[Array, ...], z: Row) -> Row:
    """Centre of the vertebral bodies: behind the aorta's posterior edge, smooth along z."""
    if "aorta" in where:
        _, y, height = where["aorta"]
        held = np.unique(height)
        edge = np.array([np.percentile(y[height == h], 10) for h in held])
        smooth = ndimage.gaussian_filter1d(edge, 24.0 / PLAN_MM, mode="nearest")
        return np.interp(z, held, smooth) - PLAN_MM / 2 - _BEHIND_AORTA_MM - VERTEBRA_MM
    kidneys = [where[k][1].mean() for k in ("right_kidney", "left_kidney") if k in where]
    back = np.mean(kidneys) - _KIDNEY_TO_SPINE_MM if kidneys else np.percentile(every[1], 2) + 15.0
    return np.full(z.size, float(back))


def _cavity(every: tuple[Array, ...], z: Row, midline: Row, spine: Row) -> NDArray[np.float64]:
    """Distance of the cavity's wall by direction and height: a smoothed, dilated hull of the organs."""
    row = np.searchsorted(z, every[2])
    dx, dy = every[0] - midline[row], every[1] - spine[row] - _TO_CENTRE_MM
    angle = np.mod(np.arctan2(dx, dy), 2 * np.pi)
    distance = np.hypot(dx, dy)
    need = np.zeros((_RAYS, z.size))
    np.maximum.at(need, (np.rint(angle / (2 * np.pi) * _RAYS).astype(int) % _RAYS, row), distance)
    need = np.where(need > 0, need + 4.0, 0.0)
    hull = np.maximum(need, _common_section(dx, dy)[:, None])
    hull = ndimage.maximum_filter(hull, (3, round(24 / PLAN_MM)), mode=("wrap", "nearest"))
    smooth = ndimage.gaussian_filter(hull, (2.0, 24 / PLAN_MM), mode=("wrap", "nearest"))
    close = ndimage.gaussian_filter(
        ndimage.maximum_filter(need, 3, mode=("wrap", "nearest")), 0.8, mode=("wrap", "nearest")
    )
    return np.asarray(np.maximum(smooth, close))


def _common_section(dx: Row, dy: Row) -> Row:
    """A superellipse about the organs of all heights: the waist where nothing is labelled."""
    side = 0.95 * max(float(np.percentile(np.abs(dx), 99.5)), 95.0)
    front = max(float(np.percentile(dy, 99.5)), 40.0)
    back = min(max(float(np.percentile(-dy, 99.5)), 60.0), 90.0)
    angle = np.arange(_RAYS) / _RAYS * 2 * np.pi
    along = np.where(np.cos(angle) > 0, front, back)
    return np.asarray(
        (np.abs(np.sin(angle) / side) ** 2.4 + np.abs(np.cos(angle) / along) ** 2.4) ** (-1 / 2.4)
    )


def _dome(plan: NDArray[np.uint8], axes: Axes, names: Mapping[int, str]) -> NDArray[np.float64] | None:
    """Upper surface of liver, spleen and stomach, continued sideways as a falling paraboloid."""
    below = [value for value, name in names.items() if name in ("liver", "spleen", "stomach")]
    held = np.isin(plan, below)
    if not held.any():
        return None
    top = np.where(held.any(2), axes[2][plan.shape[2] - 1 - held[:, :, ::-1].argmax(2)], -1e3)
    reach = round(64 / PLAN_MM)
    steps = [np.arange(-reach, reach + 1) * float(axis[1] - axis[0]) for axis in axes[:2]]
    sag = -np.add.outer(steps[0] ** 2, steps[1] ** 2) / (2 * 50.0)
    dome = ndimage.grey_dilation(top, structure=sag)
    dome = np.maximum(dome, top.max() - 90.0)
    return np.asarray(np.maximum(ndimage.gaussian_filter(dome, 2.0), top + 3.0), dtype=np.float64)
