"""Shapes as level functions in millimetres, negative inside; with bounding boxes, so painting is cheap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]
Points = tuple[Array, Array, Array]
Vector = NDArray[np.float64]

_FAR_MM = 1e4


@dataclass(frozen=True)
class Shape:
    """A solid in anatomy coordinates.

    Attributes:
        low, high: corners (mm) of a box that holds the solid.
        level: points (x, y, z; mm, arrays of one shape) to a float array, negative inside the solid.
    """

    low: Vector
    high: Vector
    level: Callable[[Points], Array]

    def __and__(self, other: Shape) -> Shape:
        """What lies in both."""
        low, high = np.maximum(self.low, other.low), np.minimum(self.high, other.high)
        return Shape(low, high, lambda p: np.maximum(self.level(p), other.level(p)))

    def __sub__(self, other: Shape) -> Shape:
        """What lies in this one and not in the other."""
        return Shape(self.low, self.high, lambda p: np.maximum(self.level(p), -other.level(p)))


def vector(values: ArrayLike) -> Vector:
    """Three numbers as a float64 array."""
    return np.asarray(values, dtype=np.float64)


def unit(values: ArrayLike) -> Vector:
    """The direction of a vector."""
    v = vector(values)
    return v / np.linalg.norm(v)


def rotation(angles_deg: ArrayLike) -> NDArray[np.float64]:
    """Rotation matrix Rz @ Ry @ Rx from angles (degrees) about the x, y and z axes."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.deg2rad(angles_deg)), np.sin(np.deg2rad(angles_deg))
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(rz @ ry @ rx, dtype=np.float64)


def _raised(value: Array, power: float) -> Array:
    """|value| ** power for whole and half powers, which need no pow() (a fifth of the time)."""
    twice = round(2 * power)
    if twice != 2 * power or twice < 2:
        raise ValueError(f"power {power} is not a multiple of 0.5 from 1")
    size = np.abs(value)
    result = size
    for _ in range(twice // 2 - 1):
        result = result * size
    return np.asarray(result * np.sqrt(size) if twice % 2 else result, dtype=np.float32)


def ellipsoid(
    centre: ArrayLike, semi_mm: ArrayLike, axes: NDArray[np.float64] | None = None, power: float = 2.0
) -> Shape:
    """A (super)ellipsoid: sum over axes of |distance along axis / semi axis|**power < 1.

    Args:
        centre: mm.
        semi_mm: semi axes along the columns of `axes`.
        axes: orthonormal columns; None = the coordinate axes.
        power: 2 = ellipsoid; larger = boxier; a multiple of 0.5.
    """
    c, s = vector(centre), vector(semi_mm)
    frame = np.eye(3) if axes is None else axes
    reach = np.abs(frame * s)
    half = np.sqrt((reach**2).sum(axis=1)) if power == 2.0 else reach.sum(axis=1)
    rows = (frame / s).T.astype(np.float32)

    def level(p: Points) -> Array:
        d = [p[i] - np.float32(c[i]) for i in range(3)]
        projected = [row[0] * d[0] + row[1] * d[1] + row[2] * d[2] for row in rows]
        return np.asarray(sum(_raised(q, power) for q in projected) - np.float32(1), dtype=np.float32)

    return Shape(c - half, c + half, level)


def half_space(point: ArrayLike, normal: ArrayLike) -> Shape:
    """All that lies on the side of `point` to which `normal` points."""
    n = unit(normal)
    offset = np.float32(n @ vector(point))
    n32 = n.astype(np.float32)

    def level(p: Points) -> Array:
        return np.asarray(offset - (n32[0] * p[0] + n32[1] * p[1] + n32[2] * p[2]), dtype=np.float32)

    return Shape(np.full(3, -_FAR_MM), np.full(3, _FAR_MM), level)


def cylinder(
    centre_xy: ArrayLike, semi_mm: ArrayLike, power: float = 2.0, z_mm: ArrayLike = (-1e4, 1e4)
) -> Shape:
    """An upright elliptic cylinder: centre (x, y), semi axes (x, y), from z_mm[0] to z_mm[1]."""
    (cx, cy), (sx, sy), (z0, z1) = np.asarray(centre_xy), np.asarray(semi_mm), np.asarray(z_mm)
    x32, y32, wide, deep, low, high = (np.float32(v) for v in (cx, cy, 1 / sx, 1 / sy, z0, z1))

    def level(p: Points) -> Array:
        side = _raised((p[0] - x32) * wide, power) + _raised((p[1] - y32) * deep, power) - np.float32(1)
        return np.asarray(np.maximum(side, np.maximum(low - p[2], p[2] - high)), dtype=np.float32)

    return Shape(vector((cx - sx, cy - sy, z0)), vector((cx + sx, cy + sy, z1)), level)


def partitions(centres_mm: Sequence[ArrayLike], wall_mm: float) -> Shape:
    """Thin walls half-way between neighbouring centres, as between air cells.

    Args:
        centres_mm: of the cells; walls reach at most 20 mm beyond the box of all centres.
        wall_mm: thickness.
    """
    points = np.stack([vector(c) for c in centres_mm])
    apart = np.linalg.norm(points[:, None] - points[None], axis=2).astype(np.float32)

    def level(p: Points) -> Array:
        # of squared distances the two least give the distance from the plane half-way between their centres
        shape = np.broadcast_shapes(*(q.shape for q in p))
        near, second = np.full((2, *shape), _FAR_MM**2, np.float32)
        nearest, other = np.zeros((2, *shape), np.intp)
        for i, c in enumerate(points.astype(np.float32)):
            far = (p[0] - c[0]) ** 2 + (p[1] - c[1]) ** 2 + (p[2] - c[2]) ** 2
            first, beaten = far < near, far < second
            other = np.where(first, nearest, np.where(beaten, i, other))
            second = np.where(first, near, np.where(beaten, far, second))
            nearest, near = np.where(first, i, nearest), np.minimum(near, far)
        return np.asarray((second - near) / (2 * apart[nearest, other]) - wall_mm / 2, dtype=np.float32)

    return Shape(points.min(axis=0) - 20, points.max(axis=0) + 20, level)


def capsule(
    start: ArrayLike,
    stop: ArrayLike,
    radii_mm: tuple[float, float],
    flat: tuple[ArrayLike, float] | None = None,
) -> Shape:
    """A rounded cone about a segment.

    Args:
        start, stop: ends of the segment, mm.
        radii_mm: radius at either end.
        flat: (direction, factor): the solid is `factor` times thinner along that direction.
    """
    a, b = vector(start), vector(stop)
    d = b - a
    inverse = np.float32(1.0 / max(float(d @ d), 1e-9))
    thin = None if flat is None else (unit(flat[0]).astype(np.float32), np.float32(flat[1] ** 2 - 1))
    r0, slope = np.float32(radii_mm[0]), np.float32(radii_mm[1] - radii_mm[0])
    a32, d32 = a.astype(np.float32), d.astype(np.float32)

    def level(p: Points) -> Array:
        q = [p[i] - a32[i] for i in range(3)]
        t = q[0] * (d32[0] * inverse) + q[1] * (d32[1] * inverse) + q[2] * (d32[2] * inverse)
        t = np.minimum(np.maximum(t, 0), 1)
        e = [q[i] - t * d32[i] for i in range(3)]
        squared = e[0] * e[0] + e[1] * e[1] + e[2] * e[2]
        if thin is not None:
            n, extra = thin
            squared = squared + extra * (e[0] * n[0] + e[1] * n[1] + e[2] * n[2]) ** 2
        return np.asarray(np.sqrt(squared) - (r0 + slope * t), dtype=np.float32)

    reach = max(radii_mm)
    return Shape(np.minimum(a, b) - reach, np.maximum(a, b) + reach, level)


def tube(
    path_mm: Sequence[ArrayLike],
    radii_mm: ArrayLike,
    flat: tuple[ArrayLike, float] | None = None,
    pieces: int = 10,
) -> list[Shape]:
    """A tube of varying radius along a smooth curve through `path_mm`, as a chain of capsules.

    A chain, not one union, because each capsule has a small bounding box of its own.
    """
    from scipy.interpolate import CubicSpline, PchipInterpolator

    knots = np.stack([vector(point) for point in path_mm])
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    at = np.linspace(0.0, arc[-1], pieces + 1)
    curve, radius = (
        CubicSpline(arc, knots)(at),
        PchipInterpolator(arc, np.asarray(radii_mm, dtype=np.float64))(at),
    )
    return [
        capsule(curve[i], curve[i + 1], (float(radius[i]), float(radius[i + 1])), flat) for i in range(pieces)
    ]
