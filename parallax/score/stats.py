"""Means, spreads and bootstrap intervals whose unit is the case."""

from __future__ import annotations

import zlib
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
    """95 % percentile interval of the mean of values [cases, runs].

    Cases are drawn with replacement, and inside each drawn case the runs that have a value for it.
    """
    n = len(values)
    finite = [row[np.isfinite(row)] for row in values]
    chosen = rng.integers(0, n, size=(draws, n))
    means = np.zeros((draws, n))
    for index, row in enumerate(finite):
        hits = chosen == index
        runs = rng.integers(0, len(row), size=(int(hits.sum()), len(row)))
        means[hits] = row[runs].mean(axis=1)
    low, high = np.percentile(means.mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


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
