"""The rows of one line of a table as arrays: tables ask thousands of groups a dozen questions each."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from parallax.score.stats.paired import RUN
from parallax.score.stats.spread import Values, mean_of_finite


@dataclass(frozen=True)
class Group:
    """Rows of one method by column; `run` numbers the pairs of label draw and seed, `runs` of them."""

    metric: NDArray[Any]
    status: NDArray[Any]
    value: Values
    case: NDArray[Any]
    structure: NDArray[Any]
    reason: NDArray[Any]
    tolerance_mm: Values
    run: NDArray[np.intp]
    runs: int

    @property
    def cases(self) -> int:
        """How many cases there are."""
        return len(set(self.case))

    def values(self, metric: str, statuses: Collection[str] | None = None) -> Values:
        """Values of a metric that are finite, of all statuses or of some."""
        chosen = (self.metric == metric) & np.isfinite(self.value)
        if statuses is not None:
            chosen &= np.isin(self.status, list(statuses))
        found: Values = self.value[chosen]
        return found

    def by_case(self, metric: str) -> Values:
        """Values [cases, runs]: means over modalities and structures, NaN where there are none."""
        chosen = self.metric == metric
        _, case = np.unique(self.case[chosen], return_inverse=True)
        place = case * self.runs + self.run[chosen]
        table = np.full((int(case.max(initial=-1)) + 1, self.runs), math.nan)
        if len(np.unique(place)) == len(place):  # a table by structure: nothing to average
            table.flat[place] = self.value[chosen]
        else:
            means = pd.Series(self.value[chosen]).groupby(place).mean()
            table.flat[means.index.to_numpy()] = means.to_numpy()
        return table

    def tolerances(self) -> str:
        """Tolerances of the NSD as text: one number, or each with its structures."""
        nsd = (self.metric == "nsd") & ~np.isnan(self.tolerance_mm)
        pairs = set(zip(self.tolerance_mm[nsd].tolist(), self.structure[nsd], strict=True))
        found = sorted({tolerance for tolerance, _ in pairs})
        if len(found) == 1:
            return f"{found[0]:g}"
        names = {tolerance: ", ".join(sorted(s for t, s in pairs if t == tolerance)) for tolerance in found}
        return ", ".join(f"{tolerance:g} ({names[tolerance]})" for tolerance in found)


def group_of(rows: pd.DataFrame) -> Group:
    """The rows as arrays."""
    texts = {
        name: rows[name].to_numpy(dtype=object)
        for name in ("metric", "status", "case", "structure", "reason")
    }
    numbers = {name: rows[name].to_numpy(dtype=np.float64) for name in ("value", "tolerance_mm")}
    draw, seed = (np.unique(rows[name].to_numpy(), return_inverse=True) for name in RUN)
    seeds = len(seed[0])
    return Group(**texts, **numbers, run=draw[1] * seeds + seed[1], runs=len(draw[0]) * seeds)


def mean_and_sd_over_cases(values: Values) -> tuple[float, float]:
    """Of values [cases, runs]; NaN where there are no cases, or one for the SD."""
    kept = values[np.isfinite(values).any(axis=1)]
    per_case = mean_of_finite(kept, axis=1)
    mean = float(per_case.mean()) if len(kept) else math.nan
    return mean, float(np.std(per_case, ddof=1)) if len(kept) > 1 else math.nan
