"""Random numbers and smooth random fields that depend on millimetres, not on the grid."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Axes = tuple[Array, Array, Array]

#: Knots that reach a point; the next one would have a weight below 1/400.
_TAPS = 7


def stream(family: str, seed: int, subject: int, purpose: str) -> np.random.Generator:
    """The generator of one purpose (anatomy, one modality, ...) of one subject; streams are independent."""
    key = [zlib.crc32(family.encode()), seed, subject, zlib.crc32(purpose.encode())]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def balanced_choice(family: str, seed: int, subject: int, purpose: str, pattern: Sequence[str]) -> str:
    """One entry of `pattern` per subject, so that each run of len(pattern) subjects holds every entry once.

    Strata drawn independently leave too few cases in the rare ones to report them.
    """
    block, place = divmod(subject, len(pattern))
    order = stream(family, seed, block, purpose).permutation(len(pattern))
    return pattern[int(order[place])]


def log_normal(rng: np.random.Generator, sd: float, size: int | None = None) -> NDArray[np.float64]:
    """Factors exp(N(0, sd)), limited to two standard deviations so that no anatomy falls apart."""
    return np.asarray(np.exp(np.clip(rng.normal(0.0, sd, size), -2 * sd, 2 * sd)), dtype=np.float64)


def bounded_normal(rng: np.random.Generator, sd: float, size: int | None = None) -> NDArray[np.float64]:
    """N(0, sd), limited to two standard deviations."""
    return np.asarray(np.clip(rng.normal(0.0, sd, size), -2 * sd, 2 * sd), dtype=np.float64)


def smooth_field(
    rng: np.random.Generator,
    axes_mm: Axes,
    correlation_mm: float,
    reach_mm: tuple[float, float, float] | None = None,
) -> Array:
    """A Gaussian random field of about unit RMS on the grid spanned by three coordinate axes.

    White noise on a lattice of pitch `correlation_mm`, spread by a Gaussian kernel along each axis in turn.
    The lattice is fixed in millimetres, so that coarse and fine grids of one field of view see one field.

    Args:
        rng: source of the lattice values.
        axes_mm: coordinates along x, y and z.
        correlation_mm: pitch of the lattice and width of the kernel.
        reach_mm: half the extent that the lattice covers; None = that of the axes. With the same reach, any
            part of any grid sees the same field.

    Returns:
        float32 [X, Y, Z].
    """
    half_mm = reach_mm or [max(abs(axis[0]), abs(axis[-1])) for axis in axes_mm]
    extent = [float(np.ceil(half / (4 * correlation_mm))) * 4 for half in half_mm]
    knots = [np.arange(-n - 2, n + 3) * correlation_mm for n in extent]
    field = rng.standard_normal([len(k) for k in knots], dtype=np.float32)
    for axis, (coordinate, knot) in enumerate(zip(axes_mm, knots, strict=True)):
        field = np.moveaxis(_spread(np.moveaxis(field, axis, 0), coordinate, knot), 0, axis)
    return np.ascontiguousarray(field)


def winding_tubes(first: Array, second: Array, radius_mm: float, correlation_mm: float) -> Array:
    """Winding tubes about the common zeros of two smooth fields: 1 on their surface, 0 on their axes.

    Args:
        first, second: fields of `smooth_field` with this correlation.
        radius_mm: mean radius of a tube.
        correlation_mm: of the fields.
    """
    slope = 1 / (np.sqrt(2) * correlation_mm)  # root mean square, by the kernel of the fields
    return np.asarray(np.hypot(first, second) / np.float32(slope * radius_mm), dtype=np.float32)


def _spread(values: Array, coordinate: Array, knot: NDArray[np.float64]) -> Array:
    """Gaussian sums of the nearest knots along the first axis; no BLAS, whose bytes depend on threads."""
    pitch = float(knot[1] - knot[0])
    last = len(knot) - min(_TAPS, len(knot))
    start = np.clip(np.rint((coordinate - knot[0]) / pitch - (_TAPS - 1) / 2).astype(int), 0, last)
    index = start[:, None] + np.arange(min(_TAPS, len(knot)))
    kernel = np.exp(-0.5 * ((coordinate[:, None] - knot[index]) / pitch) ** 2)
    kernel = (kernel / np.sqrt((kernel**2).sum(axis=1, keepdims=True))).astype(np.float32)
    total = np.zeros((len(coordinate), *values.shape[1:]), dtype=np.float32)
    for tap in range(index.shape[1]):
        total += kernel[:, tap, None, None] * values[index[:, tap]]
    return total
