"""What each preset of a method changes: ablations, and what the bugs of a release cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import pandas as pd

from parallax.tables.comparisons import Comparison, Comparisons, compare
from parallax.tables.layout import DASH, Context, Table, condition_label, label, number
from parallax.tables.statistics_tables import contender_of, interval, signed, stem, title_of
from parallax.tables.summary import Line

_NOTES = (
    "First row: Dice, mean over cases. Other rows: difference to it in Dice points (0.01 Dice) on the same"
    " cases, with its 95 % interval: over cases and trainings where there are several, else over cases.",
    "Changes: the switches in which a preset differs from the first row; docs/methods/ explains them.",
)


def compare_presets(table: pd.DataFrame, context: Context) -> list[Comparisons]:
    """Of every method with several presets, each preset against the default one, at every condition."""
    presets = table[~table["method"].isin(context.controls)].groupby("method")["preset"].unique()
    several = sorted(str(name) for name, found in presets.items() if len(found) > 1 and "paper" in found)
    return [
        one
        for name in several
        for one in compare(table[table["method"] == name], replace(context, reference=name))
        if one.rows
    ]


def preset_tables(found: Sequence[Comparisons], lines: Sequence[Line], context: Context) -> list[Table]:
    """Per method and condition: its presets as rows, the datasets as columns."""
    ordered = sorted(found, key=lambda one: (one.reference, *map(str, one.condition[1:]), one.condition[0]))
    groups = groupby(ordered, key=lambda one: (one.reference, *one.condition[1:]))
    return [_table(list(own), lines, context) for _, own in groups]


def _table(found: Sequence[Comparisons], lines: Sequence[Line], context: Context) -> Table:
    method = found[0].reference
    _, level, fraction, annotation = found[0].condition
    by_dataset = {str(one.condition[0]): _lines_of(one, lines) for one in found}
    rows = {str(one.condition[0]): {contender_of(row): row for row in one.rows} for one in found}
    names = list(dict.fromkeys(key for own in by_dataset.values() for key in own))
    names.sort(key=lambda key: (key[1] != "paper", _place(method, key[1], context)))
    first = next(iter(next(iter(by_dataset.values())).values()))
    return Table(
        stem("presets", method, level, f"f{round(100 * fraction):03d}", annotation),
        f"Presets of {title_of(method, context)}: {condition_label(replace(first, shift_mm=0.0))}",
        ("Preset", "Changes", *by_dataset),
        tuple(
            (
                _name(key, by_dataset, context),
                context.changes.get((method, key[1]), "") or DASH,
                *(_cell(key, by_dataset[name], rows[name]) for name in by_dataset),
            )
            for key in names
        ),
        _NOTES,
        (1,),
        text=True,
    )


def _lines_of(one: Comparisons, lines: Iterable[Line]) -> dict[tuple[str, ...], Line]:
    own = (
        line
        for line in lines
        if (line.dataset, line.misalignment, line.label_fraction, line.annotation) == one.condition
        and line.method == one.reference
    )
    return {contender_of(line): line for line in own}


def _place(method: str, preset: str, context: Context) -> int:
    known = [name for owner, name in context.changes if owner == method]
    return known.index(preset) if preset in known else len(known)


def _name(
    key: tuple[str, ...], by_dataset: Mapping[str, Mapping[tuple[str, ...], Line]], context: Context
) -> str:
    line = next(own[key] for own in by_dataset.values() if key in own)
    return label(line, context)


def _cell(
    key: tuple[str, ...],
    lines: Mapping[tuple[str, ...], Line],
    rows: Mapping[tuple[str, ...], Comparison],
) -> str:
    row = rows.get(key)
    if row is None:
        return number(lines[key].dice_mean, 3) if key in lines else DASH
    low, high = (row.runs_low, row.runs_high) if math.isfinite(row.runs_low) else (row.low, row.high)
    difference = signed(100 * row.difference, 1)
    return f"{difference} ({interval(100 * low, 100 * high, 1)})" if math.isfinite(low) else difference
