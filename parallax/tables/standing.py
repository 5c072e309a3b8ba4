"""Who holds up: each method at the easiest and at the hardest condition, and what the comparisons decided."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from parallax.score.stats.paired import case_runs
from parallax.score.stats.spread import LEAST_CASES, bootstrap_interval, generator_for
from parallax.tables.comparisons import BETTER, FEW, OPEN, WORSE, Comparison, Comparisons
from parallax.tables.layout import (
    DASH,
    Context,
    Table,
    condition_label,
    condition_of,
    group_rules,
    in_order,
    label,
    number,
)
from parallax.tables.statistics_tables import contender_of, interval, rank_cell, signed, stem, title_of
from parallax.tables.summary import CONDITION, CONTENDER, Line, with_all_modalities

_NAMED = 6  # more methods than these are counted, not named


@dataclass(frozen=True)
class Ends:
    """The easiest and the hardest condition of a dataset, each with its lines."""

    easiest: list[Line]
    hardest: list[Line]

    @property
    def differ(self) -> bool:
        """Whether there is more than one condition."""
        return _condition(self.easiest[0]) != _condition(self.hardest[0])


def ends_of(lines: Iterable[Line]) -> Ends:
    """Of the lines of one dataset: least shift with most labels, and largest shift with fewest labels.

    Annotated in full where that was run; a level that moves nothing comes before another one that does not.
    Conditions for a few methods alone (fewer than half of the most) say nothing about who holds up.
    """
    groups = [list(own) for _, own in groupby(sorted(lines, key=_condition), key=_condition)]
    most = max(map(len, groups))
    groups = [own for own in groups if 2 * len(own) >= most]

    def hardness(own: list[Line]) -> tuple[bool, float, float]:
        line = own[0]
        return (line.misalignment != "aligned", max(x.shift_mm for x in own), -line.label_fraction)

    full = [own for own in groups if own[0].annotation == "full"] or groups
    return Ends(min(full, key=hardness), max(full, key=hardness))


def standing_tables(
    lines: Sequence[Line], table: pd.DataFrame, compared: Sequence[Comparisons], context: Context
) -> list[Table]:
    """Per dataset: rank, Dice at both ends, what is lost between them, and the verdict at the hardest.

    Of the first preset of each method; the tables of the dataset have the others.
    """
    lines = [line for line in lines if line.preset in ("paper", "")]
    scores = with_all_modalities(table[table["status"] != "skipped"])
    return [
        _standing(ends_of(own), scores[scores["dataset"] == name], compared, context)
        for name, own in ((name, list(group)) for name, group in groupby(lines, key=lambda x: x.dataset))
    ]


def decided_table(compared: Sequence[Comparisons], lines: Sequence[Line], context: Context) -> Table:
    """Per dataset and condition: what is better or worse than the reference, and what stays open."""
    rows = tuple(_decided(one, lines, context) for one in compared if one.rows)
    header = ("Dataset", "Condition", "Against", "Better", "Worse", "Not decided")
    notes = (
        "Better and worse: p after Holm and the probability of a false claim at most 0.05, and an interval"
        " that leaves out zero. Not decided is not the same as equal: more cases or seeds may decide it.",
    )
    return Table("decided", "What is decided, and what is not", header, rows, notes, text=True)


def _standing(ends: Ends, scores: pd.DataFrame, compared: Sequence[Comparisons], context: Context) -> Table:
    one = next((one for one in compared if one.condition == _condition(ends.hardest[0])), None)
    verdicts = {contender_of(row): row for row in one.rows} if one else {}
    easy = {contender_of(line): line for line in ends.easiest}
    ordered = in_order(ends.hardest, context)
    reference = title_of(one.reference, context) if one and one.reference else ""
    names = [condition_label(own[0]) for own in (ends.hardest, ends.easiest)]
    header = ["Method", "Rank", f"Dice: {names[0]}"]
    header += [f"Dice: {names[1]}", "Lost between (points)"] if ends.differ else []
    header += [f"Against {reference} (points)", "Verdict"] if reference else []
    rows = []
    for line in ordered:
        key = contender_of(line)
        cells = [label(line, context), rank_cell(one, key) if one else DASH, _dice(line)]
        cells += [_dice(easy.get(key)), _lost(scores, ends, key)] if ends.differ else []
        cells += _against(verdicts.get(key)) if reference else []
        rows.append(tuple(cells))
    dataset = ends.hardest[0].dataset
    return Table(
        stem("standing", dataset),
        f"Who holds up on {dataset.replace('_', ' ')}?",
        tuple(header),
        tuple(rows),
        _standing_notes(ends, one, reference),
        group_rules(ordered, context),
        dataset,
        condition=condition_of(ends.hardest[0]),
    )


def _standing_notes(ends: Ends, one: Comparisons | None, reference: str) -> tuple[str, ...]:
    cases = max(line.cases_given for line in ends.hardest)
    what = "95 % bootstrap interval over cases" if cases >= LEAST_CASES else "least and most of a case"
    lost = " Lost: Dice at the easiest minus Dice at the hardest condition, on the same cases."
    notes = [f"Brackets: {what}; {cases} test cases.{lost if ends.differ else ''}"]
    if one is None:
        return (*notes, "This dataset is not ranked: methods stand by name.")
    if one.ranking and any(contender[1] != "paper" for contender in one.contenders):
        notes.append("Ranks count every preset that was run; the tables of the dataset show all of them.")
    if one.ranking is None and len(one.contenders) > 1:
        need = f"{len(one.contenders)} methods need {one.needed} test cases"
        notes.append(f"No ranks: {need}, and there are {one.cases}.")
    if reference:
        notes.append(f"Against {reference}: Dice points at the hardest condition, on the same cases.")
    return tuple(notes)


def _dice(line: Line | None) -> str:
    if line is None or line.status != "ok":
        return DASH if line is None else line.status
    low, high = (line.dice_low, line.dice_high)
    low, high = (low, high) if math.isfinite(low) else (line.dice_least, line.dice_most)
    return f"{number(line.dice_mean, 3)} ({number(low, 3)} to {number(high, 3)})"


def _lost(scores: pd.DataFrame, ends: Ends, key: tuple[str, ...]) -> str:
    easy, hard = (_per_case(scores, own[0], key) for own in (ends.easiest, ends.hardest))
    lost = (easy - hard).dropna()
    if lost.empty:
        return DASH
    text = signed(100 * float(lost.mean()), 1)
    if len(lost) < LEAST_CASES:
        return text
    rng = generator_for(("lost", *map(str, (*_condition(ends.hardest[0]), *key))))
    per_case: NDArray[np.float64] = np.asarray(lost, dtype=np.float64)[:, None]
    low, high = bootstrap_interval(per_case, rng)
    return f"{text} ({interval(100 * low, 100 * high, 1)})"


def _per_case(scores: pd.DataFrame, line: Line, key: tuple[str, ...]) -> pd.Series[float]:
    wanted = dict(zip((*CONDITION, *CONTENDER), (*_condition(line), *key), strict=True))
    own = scores
    for name, value in wanted.items():
        own = own[own[name] == value]
    return case_runs(own, "dice").mean(axis=1) if len(own) else pd.Series(dtype=float)


def _against(row: Comparison | None) -> list[str]:
    if row is None:
        return [DASH, DASH]
    low, high = (row.runs_low, row.runs_high) if math.isfinite(row.runs_low) else (row.low, row.high)
    difference = signed(100 * row.difference, 1)
    if not math.isfinite(low):
        return [difference, row.verdict]
    return [f"{difference} ({interval(100 * low, 100 * high, 1)})", row.verdict]


def _decided(one: Comparisons, lines: Sequence[Line], context: Context) -> tuple[str, ...]:
    own = [line for line in lines if _condition(line) == one.condition]
    names = {contender_of(line): label(line, context) for line in own}
    found = {
        verdict: [names[contender_of(row)] for row in one.rows if row.verdict == verdict]
        for verdict in (BETTER, WORSE, OPEN, FEW)
    }
    few = f"too few cases: {one.cases}, needs {one.needed}" if found[FEW] else ""
    return (
        str(one.condition[0]),
        condition_label(own[0]),
        title_of(one.reference, context),
        _listed(found[BETTER]),
        _listed(found[WORSE]),
        "; ".join(filter(None, (_listed(found[OPEN]) if found[OPEN] else "", few))) or "none",
    )


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    return f"{len(names)}: {', '.join(names)}" if len(names) <= _NAMED else f"{len(names)} methods"


def _condition(line: Line) -> tuple[object, ...]:
    return tuple(getattr(line, name) for name in CONDITION)
