"""Two runs beside each other: how the mean Dice of every method changed from the first to the second."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from parallax.score.stats.paired import Paired, case_runs, pair
from parallax.score.stats.spread import LEAST_CASES, bootstrap_interval, generator_for
from parallax.tables.layout import Context, Table, condition_name
from parallax.tables.statistics_tables import interval, signed
from parallax.tables.summary import CONDITION, CONTENDER, with_all_modalities

_PLACE = (*CONDITION, *CONTENDER)


@dataclass(frozen=True)
class Change:
    """The Dice of one method at one condition in two runs: second minus first on the cases of both."""

    place: tuple[Any, ...]
    paired: Paired

    @property
    def mean(self) -> float:
        """Mean change over cases."""
        return float(self.paired.per_case.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the mean over cases; NaN with fewer than six."""
        if len(self.paired.cases) < LEAST_CASES:
            return math.nan, math.nan
        return bootstrap_interval(self.paired.differences, generator_for(("change", *self.place)))


def changes(first: pd.DataFrame, second: pd.DataFrame) -> list[Change]:
    """What both runs have and what is not the same to the last bit in both, largest change first."""
    ours, theirs = _by_place(first), _by_place(second)
    found = [Change(place, pair(theirs[place], ours[place])) for place in ours if place in theirs]
    moved = [one for one in found if np.any(one.paired.differences[np.isfinite(one.paired.differences)])]
    return sorted(moved, key=lambda one: (-abs(one.mean), tuple(map(str, one.place))))


def changes_table(found: Sequence[Change], context: Context, most: int = 20) -> Table:
    """The largest changes as a table, in points of Dice."""
    notes = ["Change: second run minus first on the cases of both; interval: 95 %, bootstrap over cases."]
    notes += [f"Not shown: smaller changes, {len(found) - most} of them."] if len(found) > most else []
    rows = tuple(_cells(one, context) for one in found[:most])
    header = ("Method", "Dataset", "Condition", "Change (points)", "95 % interval", "Cases")
    return Table("changes", "Dice that changed", header, rows, tuple(notes))


def _by_place(table: pd.DataFrame) -> dict[tuple[Any, ...], pd.DataFrame]:
    scores = with_all_modalities(table[(table["status"] != "skipped") & (table["metric"] == "dice")])
    return dict(_frames(scores))


def _frames(scores: pd.DataFrame) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    for place, own in scores.groupby(list(_PLACE), sort=True):
        frame = case_runs(own, "dice")
        if frame.notna().any(axis=None):
            yield tuple(place), frame


def _cells(one: Change, context: Context) -> tuple[str, ...]:
    values = dict(zip(_PLACE, one.place, strict=True))
    low, high = (100 * bound for bound in one.interval)
    return (
        context.name(values["method"], values["preset"]),
        values["dataset"].replace("_", " "),
        condition_name(values["label_fraction"], values["misalignment"], values["annotation"]),
        signed(100 * one.mean, 2),
        interval(low, high, 2),
        str(len(one.paired.cases)),
    )
