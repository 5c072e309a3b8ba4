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
        keys: (label draw, seed) of each column; empty where the sides share no run and their means over runs
            stand for them.
    """

    cases: tuple[str, ...]
    differences: Values
    only_method: int
    only_reference: int
    keys: tuple[tuple[int, int], ...]

    @property
    def runs(self) -> int:
        """Number of runs that both sides have."""
        return len(self.keys)

    @property
    def seeds(self) -> int:
        """Number of different seeds among them."""
        return len({seed for _, seed in self.keys})

    @property
    def per_case(self) -> Values:
        """Mean difference over runs [cases]."""
        return mean_of_finite(self.differences, axis=1)

    @property
    def by_training(self) -> Values:
        """Mean differences [cases, trainings]: of each label draw where there are several, else of each seed.

        Runs on the same labelled cases are no independent sample of what the method does with few labels.
        """
        draws, seeds = (np.array([key[place] for key in self.keys]) for place in (0, 1))
        unit = draws if len(set(draws)) > 1 else seeds
        made = np.full((len(self.cases), len(set(unit))), np.nan)
        for place, one in enumerate(np.unique(unit)):
            columns = self.differences[:, unit == one]
            # a case without a value in a training stays without, and `crossed` leaves it out
            known = np.isfinite(columns).any(axis=1)
            made[known, place] = mean_of_finite(columns[known], axis=1)
        return made


def case_runs(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Values of one method at one condition: a line per case, a column per (label draw, seed).

    Means over structures and modalities. A case of which any value failed in a run has no value there: a mean
    over what is left would be another quantity than that of the other methods.
    """
    own = rows[rows["metric"] == metric]
    # grouped, not pivoted: the same means in a fifth of the time, and a report asks for hundreds of them
    wide = own.groupby(["case", *RUN])["value"].mean().unstack(list(RUN)).sort_index(axis=1)
    failed = own[own["status"] == "failed"]
    if failed.empty:
        return wide
    lost = failed.groupby(["case", *RUN]).size().unstack(list(RUN))
    return wide.mask(lost.reindex_like(wide).notna())


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
        keys=tuple((int(run[0]), int(run[1])) for run in apart.columns) if runs else (),
    )


def difference_of(first: Paired, second: Paired) -> Paired:
    """First minus second on the cases that both have: how much one difference exceeds another."""
    cases = [case for case in first.cases if case in set(second.cases)]
    rows = [_rows(paired, cases) for paired in (first, second)]
    same = first.keys == second.keys and len(first.keys) > 0
    parts = rows if same else [mean_of_finite(part, axis=1)[:, None] for part in rows]
    apart = parts[0] - parts[1]
    kept = np.flatnonzero(np.isfinite(apart).any(axis=1))
    return Paired(
        tuple(cases[index] for index in kept),
        apart[kept],
        len(first.cases) - len(kept),
        len(second.cases) - len(kept),
        first.keys if same else (),
    )


def join(pairs: Sequence[Paired]) -> Paired:
    """Several conditions as one: the cases that all have, with the runs of all side by side."""
    cases = [case for case in pairs[0].cases if all(case in set(paired.cases) for paired in pairs)]
    return Paired(
        tuple(cases),
        np.hstack([_rows(paired, cases) for paired in pairs]),
        max(paired.only_method for paired in pairs),
        max(paired.only_reference for paired in pairs),
        tuple(key for paired in pairs for key in paired.keys) if all(paired.keys for paired in pairs) else (),
    )


def _rows(paired: Paired, cases: Sequence[str]) -> Values:
    place = {case: index for index, case in enumerate(paired.cases)}
    return paired.differences[[place[case] for case in cases]]
