"""A mean difference when both the cases and the trainings are a sample: what a claim about a method needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from parallax.score.stats.spread import Values


@dataclass(frozen=True)
class Crossed:
    """Mean over cases and trainings with its standard error and Satterthwaite's degrees of freedom."""

    mean: float
    error: float
    freedom: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided t interval."""
        from scipy.stats import t

        half = float(t.ppf(0.5 + level / 2, self.freedom)) * self.error if self.error else 0.0
        return self.mean - half, self.mean + half

    def p(self, bound: float = 0.0) -> float:
        """Two-sided p value of the expected difference being `bound`."""
        from scipy.stats import t

        if not self.error:
            return 1.0 if self.mean == bound else 0.0
        return float(2 * t.sf(abs(self.mean - bound) / self.error, self.freedom))


def crossed(values: Values) -> Crossed:
    """Two-way random effects of values [cases, trainings], both 2 or more; cases with a NaN are left out.

    Every training is tested on the same cases, as every reader of a reading study sees them: the variance of
    the mean is (MS_cases + MS_trainings - MS_rest) / (cases x trainings), with Satterthwaite's degrees of
    freedom (Dorfman, Berbaum and Metz 1992; Hillis 2007). A negative part counts as none.
    """
    kept = values[np.isfinite(values).all(axis=1)]
    n, runs = kept.shape
    if n < 2 or runs < 2:
        return Crossed(float(kept.mean()) if kept.size else math.nan, math.nan, math.nan)
    mean = float(kept.mean())
    by_case, by_run = kept.mean(axis=1), kept.mean(axis=0)
    rest = kept - by_case[:, None] - by_run + mean
    squares = np.array([runs * by_case.var(ddof=1), n * by_run.var(ddof=1), (rest**2).sum()])
    squares[2] /= (n - 1) * (runs - 1)
    total = max(squares[0] + squares[1] - squares[2], squares[0], squares[1])
    if total <= 1e-24:
        return Crossed(mean, 0.0, 1.0)
    freedoms = np.array([n - 1, runs - 1, (n - 1) * (runs - 1)])
    freedom = total**2 / (squares**2 / freedoms).sum()
    return Crossed(mean, math.sqrt(total / (n * runs)), float(max(freedom, 1.0)))
