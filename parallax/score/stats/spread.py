"""Means, spreads and bootstrap intervals whose unit is the case."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

#: Below this number of test cases nothing is ranked and no interval is printed: with five or fewer cases
#: a two-sided Wilcoxon test cannot reach 0.05 whatever the values are.
LEAST_CASES = 6


@dataclass(frozen=True)
class Spread:
    """Mean over cases of per-case means over runs, and how it varies (NaN where undefined).

    `low` and `high` bound the mean at 95 % (bootstrap over cases); `least` and `most` are single cases.
    """

    cases: int
    mean: float
    sd_cases: float
    sd_runs: float
    low: float
    high: float
    least: float
    most: float


def spread(values: Values, rng: np.random.Generator) -> Spread:
    """Summary of values [cases, runs]; NaN where a run has no value for a case.

    Runs (seeds and label draws) are averaged before anything is said about cases. Cases without any
    value are left out and show in `cases`.
    """
    kept = values[np.isfinite(values).any(axis=1)]
    if len(kept) == 0:
        nan = float("nan")
        return Spread(0, nan, nan, nan, nan, nan, nan, nan)
    per_case = mean_of_finite(kept, axis=1)
    runs = mean_of_finite(kept[:, np.isfinite(kept).any(axis=0)], axis=0)
    low, high = bootstrap_interval(kept, rng) if len(kept) >= LEAST_CASES else (float("nan"),) * 2
    return Spread(
        len(kept), float(per_case.mean()), _sd(per_case), _sd(runs), low, high,
        float(per_case.min()), float(per_case.max()),
    )  # fmt: skip


def bootstrap_interval(values: Values, rng: np.random.Generator, draws: int = 2000) -> tuple[float, float]:
    """95 % studentised bootstrap interval of the mean over cases of values [cases, runs].

    Cases are drawn with replacement, and inside each drawn case the runs that have a value for it. The mean
    of each draw is measured in standard errors of that draw (Efron and Tibshirani 1993, 12.5): at 10 cases
    the plain percentiles of the means cover the truth in 88 % of samples, these in 93 % (docs/statistics.md).
    """
    finite = [row[np.isfinite(row)] for row in values]
    per_case = np.array([row.mean() for row in finite])
    drawn = draw_case_means(finite, rng, draws)
    n = len(values)
    mean, error = per_case.mean(), per_case.std(ddof=1) / np.sqrt(n)
    apart = drawn.mean(axis=1) - mean
    errors = drawn.std(axis=1, ddof=1) / np.sqrt(n)
    # a draw of one case n times has no spread: it lies as far out as can be, or nowhere
    flat = np.where(np.abs(apart) > 1e-12, np.copysign(np.inf, apart), 0.0)
    scaled = np.divide(apart, errors, out=flat, where=errors > 1e-12)
    # without interpolation, which has no answer next to an infinite value
    high, low = np.percentile(scaled, [2.5, 97.5], method="inverted_cdf")
    if error <= 1e-12:
        return float(mean), float(mean)
    return float(mean - low * error), float(mean - high * error)


def draw_case_means(finite: Sequence[Values], rng: np.random.Generator, draws: int) -> Values:
    """Bootstrap draws [draws, cases] of means over runs; `finite` holds the values of each case."""
    chosen = rng.integers(0, len(finite), size=(draws, len(finite)))
    means = np.zeros(chosen.shape)
    for index, row in enumerate(finite):
        hits = chosen == index
        if len(row) == 1:
            means[hits] = row[0]
        else:
            runs = rng.integers(0, len(row), size=(int(hits.sum()), len(row)))
            means[hits] = row[runs].mean(axis=1)
    return means


def mean_of_finite(values: Values, axis: int) -> Values:
    """Mean over the finite values of an axis on which each line has at least one."""
    finite = np.isfinite(values)
    totals: Values = np.where(finite, values, 0.0).sum(axis=axis)
    means: Values = totals / finite.sum(axis=axis)
    return means


def generator_for(key: object, seed: int = 0) -> np.random.Generator:
    """A generator that depends on the key alone, so that adding a method changes no other interval."""
    return np.random.default_rng([seed, zlib.crc32(repr(key).encode())])


def _sd(values: Values) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
