"""The robustness curve of a method: mean Dice against the realised shift in mm, and two numbers for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parallax.score.stats.spread import LEAST_CASES, Values, bootstrap_interval

#: The loss of Dice whose shift is looked for: five points.
LOSS = 0.05


@dataclass(frozen=True)
class Robustness:
    """Two summaries of a curve, with 95 % bootstrap intervals over cases (NaN below six cases).

    Attributes:
        cases: cases that have every level; only they count.
        aligned: mean Dice without shift.
        reach_mm: largest mean shift that was tested.
        area: area under the curve from 0 to `reach_mm`, divided by `reach_mm` and by `aligned`: the share of
            the aligned Dice that is kept on average. 1 means that nothing is lost.
        loss_mm: shift at which five Dice points are lost, interpolated; infinite where it is not reached.
    """

    cases: int
    aligned: float
    reach_mm: float
    area: float
    area_low: float
    area_high: float
    loss_mm: float
    loss_low_mm: float
    loss_high_mm: float


def robustness(shift_mm: Values, dice: Values, rng: np.random.Generator, draws: int = 2000) -> Robustness:
    """Summaries of Dice [cases, levels] at realised shifts [cases, levels]; one level is aligned (shift 0).

    The shift of a level is its mean over cases. Raises `ValueError` where no level is aligned.
    """
    kept = np.isfinite(dice).all(axis=1)
    n, nan = int(kept.sum()), math.nan
    if n == 0:
        return Robustness(0, nan, nan, nan, nan, nan, nan, nan, nan)
    levels_mm = shift_mm[kept].mean(axis=0)
    order = np.argsort(levels_mm, kind="stable")
    levels_mm, curves = levels_mm[order], dice[kept][:, order]
    if levels_mm[0] != 0 or len(levels_mm) < 2 or levels_mm[-1] == 0:
        raise ValueError("a robustness curve needs an aligned level and a shifted one")
    areas = np.trapezoid(curves, levels_mm, axis=1) / levels_mm[-1]
    aligned = float(curves[:, 0].mean())
    area = float(areas.mean()) / aligned if aligned > 0 else nan
    loss_mm = float(shift_at_loss(levels_mm, curves.mean(axis=0)[None])[0])
    low, high, loss_low, loss_high = nan, nan, nan, nan
    if n >= LEAST_CASES and aligned > 0:
        # the mean of these is the area, and their spread is that of the ratio of two means (delta method)
        parts = area + (areas - area * curves[:, 0]) / aligned
        low, high = bootstrap_interval(parts[:, None], rng, draws)
        counts = rng.multinomial(n, np.full(n, 1 / n), size=draws)
        losses = shift_at_loss(levels_mm, counts @ curves / n)
        loss_low, loss_high = np.quantile(losses, _levels(n), method="inverted_cdf")
    return Robustness(
        n, aligned, float(levels_mm[-1]), area, low, high, loss_mm, float(loss_low), float(loss_high)
    )


def shift_at_loss(levels_mm: NDArray[np.float64], curves: Values, loss: float = LOSS) -> Values:
    """Shift in mm at which each of curves [curves, levels] first lies `loss` below its start; else infinity.

    Linear between levels, which ascend from 0 mm.
    """
    below = curves[:, :1] - curves - loss
    reached = below >= -1e-12
    after = np.argmax(reached, axis=1)
    rows, before = np.arange(len(curves)), np.maximum(after - 1, 0)
    start, end = below[rows, before], below[rows, after]
    share = np.divide(-start, end - start, out=np.zeros(len(curves)), where=end > start)
    found = levels_mm[before] + share * (levels_mm[after] - levels_mm[before])
    return np.where(reached.any(axis=1), found, np.inf)


def _levels(n: int) -> list[float]:
    """Percentiles of a 95 % interval, moved outwards for few cases (Hesterberg 2015, expanded ones)."""
    from scipy.stats import norm, t

    tail = float(norm.cdf(-math.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1)))
    return [tail, 1 - tail]
