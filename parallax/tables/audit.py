"""The audit of reproducibility: methods as their papers have them, as released, and as published."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby

from parallax.tables.comparisons import Comparison, Comparisons
from parallax.tables.layout import DASH, Context, Table, condition_label, label, number
from parallax.tables.sourced import EVIDENCE, is_reason, plain
from parallax.tables.standing import ends_of
from parallax.tables.statistics_tables import contender_of, interval, signed
from parallax.tables.summary import CONDITION, Line

_PRESETS = ("paper", "released")
_DICE = ("dice", "mean_dice")


def audit_table(
    lines: Sequence[Line],
    compared: Sequence[Comparisons],
    published: Collection[Mapping[str, str]],
    context: Context,
) -> Table:
    """Per dataset, at its easiest condition: Dice of both presets, their difference, and published Dice.

    Methods without a second preset and without a published number have nothing to audit and no row.
    `compared` are presets against the default one (`compare_presets`).
    """
    rows = []
    for _, group in groupby(lines, key=lambda line: line.dataset):
        easiest = ends_of(group).easiest
        for method in sorted({line.method for line in easiest} - context.controls):
            own = {line.preset: line for line in easiest if line.method == method}
            numbers = _numbers_of(method, published, context)
            if "paper" in own and ("released" in own or numbers):
                rows.append(_row(own, _difference(own, compared), numbers, context))
    header = ("Method", "Dataset", "Condition", "As in the paper", "As released",
              "Released minus paper (points)", "Published Dice", "Evidence", "Comparable")  # fmt: skip
    notes = (
        "As in the paper and as released: Dice of this run, of the two presets; docs/methods/ has the"
        " switches between them. Brackets: 95 % interval. A dash: not run, or never released.",
        "Published Dice: range of the sourced numbers of results/published.csv. They come from other data,"
        " splits or settings unless the last column says otherwise; the published numbers stand apart, each.",
    )
    return Table("audit", "Do releases do what their papers say?", header, tuple(rows), notes, text=True)


def _row(
    own: Mapping[str, Line],
    difference: Comparison | None,
    numbers: Sequence[Mapping[str, str]],
    context: Context,
) -> tuple[str, ...]:
    line = own["paper"]
    return (
        label(line, context),
        line.dataset,
        condition_label(line),
        *(_dice(own.get(preset)) for preset in _PRESETS),
        _points(difference),
        _range(numbers),
        "; ".join(sorted({EVIDENCE.get(entry["evidence"], entry["evidence"]) for entry in numbers})) or DASH,
        _comparable(numbers, line.dataset),
    )


def _numbers_of(
    method: str, published: Collection[Mapping[str, str]], context: Context
) -> list[Mapping[str, str]]:
    """Published Dice of a method, in its own words or ours."""
    names = {plain(method), plain(context.title(method))}
    return [
        entry
        for entry in published
        if plain(entry["method"].split("(")[0]) in names
        and entry["metric"] in _DICE
        and _value(entry) is not None
    ]


def _difference(own: Mapping[str, Line], compared: Sequence[Comparisons]) -> Comparison | None:
    released = own.get("released")
    if released is None:
        return None
    condition = tuple(getattr(released, name) for name in CONDITION)
    rows = (row for one in compared if one.condition == condition for row in one.rows)
    return next((row for row in rows if contender_of(row) == contender_of(released)), None)


def _points(row: Comparison | None) -> str:
    if row is None:
        return DASH
    low, high = (row.runs_low, row.runs_high) if math.isfinite(row.runs_low) else (row.low, row.high)
    ends = f" ({interval(100 * low, 100 * high, 1)})" if math.isfinite(low) else ""
    return signed(100 * row.difference, 1) + ends


def _dice(line: Line | None) -> str:
    if line is None:
        return DASH
    if line.status != "ok":
        return line.status
    ends = (
        f" ({number(line.dice_low, 3)} to {number(line.dice_high, 3)})"
        if math.isfinite(line.dice_low)
        else ""
    )
    return number(line.dice_mean, 3) + ends


def _range(numbers: Sequence[Mapping[str, str]]) -> str:
    if not numbers:
        return DASH
    values = sorted(value for entry in numbers if (value := _value(entry)) is not None)
    where = ", ".join(sorted({entry["dataset"] for entry in numbers}))
    span = number(values[0], 3) if len(values) == 1 else f"{values[0]:.3f} to {values[-1]:.3f}"
    return f"{span} ({len(values)} on {where})"


def _value(entry: Mapping[str, str]) -> float | None:
    """A published Dice as a fraction; None where it has no number."""
    try:
        value = float(entry["value"])
    except ValueError:
        return None
    return value / 100 if entry["unit"] == "%" else value


def _comparable(numbers: Sequence[Mapping[str, str]], dataset: str) -> str:
    if not numbers:
        return DASH
    same = [entry for entry in numbers if plain(entry["dataset"]).startswith(plain(dataset))]
    if not same:
        return "no: other data"
    if all(is_reason(entry["comparable_to"]) for entry in same):
        return "no: " + "; ".join(sorted({entry["comparable_to"].removeprefix("none: ") for entry in same}))
    return "no: another split or setting"
