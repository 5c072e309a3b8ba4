"""Ranks of methods and how firmly they stand: aggregate-then-rank, repeated on bootstraps of the cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parallax.score.stats.spread import Values


@dataclass(frozen=True)
class Ranking:
    """Ranks by mean over cases (aggregate-then-rank, as challengeR names it), 1 is the highest mean.

    Attributes:
        cases: cases that every method has; only they count.
        ranks: rank of each method; ties share the mean of their places.
        low, high: 2.5th and 97.5th percentile of that rank over bootstraps of the cases.
        tau_median, tau_low: median and 2.5th percentile of Kendall's tau between the ranking of a bootstrap
            and this one.
        swaps: (higher method, lower method, share of bootstraps in which the lower one stands above).
    """

    cases: int
    ranks: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    tau_median: float
    tau_low: float
    swaps: tuple[tuple[int, int, float], ...]


def rank_methods(values: Values, rng: np.random.Generator, draws: int = 2000) -> Ranking:
    """Ranking of methods by values [cases, methods], higher is better; cases with a NaN are left out."""
    from scipy.stats import rankdata

    kept = values[np.isfinite(values).all(axis=1)]
    n = len(kept)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=draws)
    # rounded, so that equal methods tie whatever the order in which their values are added
    means, drawn = kept.mean(axis=0).round(12), (counts @ kept / n).round(12)
    ranks = rankdata(-means)
    places = rankdata(-drawn, axis=1)
    low, high = np.percentile(places, [2.5, 97.5], axis=0)
    first, second = np.triu_indices(len(means), 1)
    order, orders = np.sign(means[first] - means[second]), np.sign(drawn[:, first] - drawn[:, second])
    tau = kendall_tau(order, orders)
    flipped = (orders * order < 0).mean(axis=0)
    swaps = [
        (int(a), int(b), float(share)) if sign >= 0 else (int(b), int(a), float(share))
        for a, b, sign, share in zip(first, second, order, flipped, strict=True)
        if share >= 0.05
    ]
    return Ranking(
        n, tuple(map(float, ranks)), tuple(map(float, low)), tuple(map(float, high)),
        float(np.median(tau)), float(np.percentile(tau, 2.5)), tuple(sorted(swaps, key=lambda s: -s[2])),
    )  # fmt: skip


def kendall_tau(order: NDArray[np.float64], orders: NDArray[np.float64]) -> Values:
    """Kendall's tau-b of signs of pairs [pairs] with those of many rankings [rankings, pairs].

    A ranking in which all are tied has no order to agree with: tau 0. scipy has no form for many rankings.
    """
    ties = np.sqrt((order != 0).sum() * (orders != 0).sum(axis=1))
    agreed: Values = (orders * order).sum(axis=1) / np.maximum(ties, 1)
    return agreed
