"""Paired values: two methods on the same cases, run by run where both have the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from parallax.score.stats.spread import Values, mean_of_finite

RUN = ("label_draw", "seed")


@dataclass(frozen=True)
class Paired:
    """Differences of a method to a reference on the cases that both have.

    Attributes:
        cases: ids of the cases, in the order of the rows of `differences`.
        differences: method minus reference [cases, runs]; NaN where a run lacks a case.
        only_method, only_reference: cases that count for one side only, and so for neither.
        runs: pairs of label draw and seed that both sides have; 0 where the sides share none and their means
            over runs stand for them.
        seeds: different seeds among them.
    """

    cases: tuple[str, ...]
    differences: Values
    only_method: int
    only_reference: int
    runs: int
    seeds: int

    @property
    def per_case(self) -> Values:
        """Mean difference over runs [cases]."""
        return mean_of_finite(self.differences, axis=1)

    @property
    def per_seed(self) -> Values:
        """Mean difference over cases of each run [runs]; empty where the sides share no run."""
        if not self.runs:
            return np.empty(0)
        return mean_of_finite(self.differences, axis=0)


def case_runs(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Values of one method at one condition: a line per case, a column per (label draw, seed).

    Means over structures and modalities. A case of which any value failed in a run has no value there: a mean
    over what is left would be another quantity than that of the other methods.
    """
    own = rows[rows["metric"] == metric]
    wide = own.pivot_table(
        index="case", columns=list(RUN), values="value", aggfunc="mean", dropna=False, sort=True
    )
    lost = own.assign(lost=own["status"] == "failed").pivot_table(
        index="case", columns=list(RUN), values="lost", aggfunc="max", sort=True
    )
    return wide.mask(lost.reindex_like(wide).eq(True))


def pair(method: pd.DataFrame, reference: pd.DataFrame) -> Paired:
    """Pair two results of `case_runs` on identical cases, and run by run where both have the run."""
    ours, theirs = (frame.dropna(how="all") for frame in (method, reference))
    shared = sorted(set(ours.index) & set(theirs.index))
    runs = [run for run in ours.columns if run in set(theirs.columns)]
    if runs:
        apart = ours.loc[shared, runs] - theirs.loc[shared, runs]
        apart = apart.dropna(axis=1, how="all").dropna(axis=0, how="all")
    else:
        apart = (ours.loc[shared].mean(axis=1) - theirs.loc[shared].mean(axis=1)).to_frame()
    kept = [str(case) for case in apart.index]
    return Paired(
        cases=tuple(kept),
        differences=apart.to_numpy(dtype=np.float64),
        only_method=len(ours) - len(kept),
        only_reference=len(theirs) - len(kept),
        runs=apart.shape[1] if runs else 0,
        seeds=len({run[1] for run in apart.columns}) if runs else 0,
    )


def difference_of(first: Paired, second: Paired) -> Paired:
    """First minus second on the cases that both have, by case: how much one difference exceeds another."""
    cases = [case for case in first.cases if case in set(second.cases)]
    rows = [_rows(paired, cases) for paired in (first, second)]
    same = first.differences.shape[1] == second.differences.shape[1] and first.runs == second.runs
    parts = rows if same else [mean_of_finite(part, axis=1)[:, None] for part in rows]
    apart = parts[0] - parts[1]
    kept = np.isfinite(apart).any(axis=1)
    return Paired(
        tuple(cases[index] for index in np.flatnonzero(kept)),
        apart[kept],
        len(first.cases) - int(kept.sum()),
        len(second.cases) - int(kept.sum()),
        first.runs if same else 0,
        min(first.seeds, second.seeds),
    )


def _rows(paired: Paired, cases: Sequence[str]) -> Values:
    place = {case: index for index, case in enumerate(paired.cases)}
    return paired.differences[[place[case] for case in cases]]
