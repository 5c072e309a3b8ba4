"""The tables of a run, from the tidy per-case table and the costs of its runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from parallax.score.metrics import EMPTY_RULE_TEXT
from parallax.tables.layout import (
    DASH,
    Context,
    Table,
    can_rank,
    condition_label,
    condition_of,
    contender,
    group_rules,
    in_order,
    label,
    mean_sd,
    nsd_header,
    nsd_tolerance,
    number,
    percent,
    short_count,
    with_annotation,
)
from parallax.tables.notes import (
    DICE_NOTE,
    GIVEN_NOTE,
    HD95_CELLS_NOTE,
    absent_notes,
    all_notes,
    condition_notes,
    loss_notes,
    nsd_notes,
    pairing,
    shared_notes,
)
from parallax.tables.summary import CONDITION, CONTENDER, Line, failures, skipped


def overview_tables(lines: Sequence[Line], table: pd.DataFrame, context: Context) -> list[Table]:
    """Per dataset: methods by conditions, Dice only. The table to read first."""
    return [
        _overview(list(own), absent_notes(name, table), context)
        for name, own in groupby(lines, key=lambda line: line.dataset)
    ]


def main_tables(lines: Sequence[Line], costs: pd.DataFrame, context: Context) -> list[Table]:
    """Per dataset and condition: Dice, NSD, HD95, counts and cost of every method."""
    by_cost = mean_costs(costs)
    return [_main(own, by_cost, context) for own in _by_condition(lines)]


def full_tables(structure_lines: Sequence[Line], lines: Sequence[Line], context: Context) -> list[Table]:
    """Per dataset and condition: Dice, NSD and HD95 of every structure in every modality, a table each.

    `lines` are those of the main tables, whose order and whose skipped methods these tables repeat.
    """
    by_condition = {_key(own[0]): own for own in _by_condition(structure_lines)}
    return [
        table for own in _by_condition(lines) for table in _full(own, by_condition[_key(own[0])], context)
    ]


def given_tables(given_lines: Sequence[Line], lines: Sequence[Line], context: Context) -> list[Table]:
    """Per dataset and condition: Dice and HD95 of each modality by the modalities that a method was given.

    `lines` are those of the main tables, whose order and whose skipped methods these tables repeat.
    """
    by_condition = {_key(own[0]): own for own in _by_condition(given_lines)}
    return [
        table
        for own in _by_condition(lines)
        if _key(own[0]) in by_condition
        for table in _given(own, by_condition[_key(own[0])], context)
    ]


def _given(lines: list[Line], parts: list[Line], context: Context) -> list[Table]:
    sets = {(line.modality, -line.available.count("+"), line.available) for line in parts}
    places = [(modality, available) for modality, _, available in sorted(sets)]
    cells = {(contender(line), line.modality, line.available): line for line in parts}
    ordered = in_order(lines, context)

    def table(stem: str, metric: str, cell: Callable[[Line | None], str], note: str) -> Table:
        rows = []
        for line in ordered:
            absent = line if line.status == "skipped" else None
            found = (cells.get((contender(line), *place), absent) for place in places)
            rows.append((label(line, context), *map(cell, found)))
        return Table(
            _stem(stem, lines[0]),
            f"{metric} by modalities given at test, {lines[0].dataset}: {condition_label(lines[0])}",
            ("Method", *(f"{modality}, given {available}" for modality, available in places)),
            tuple(rows),
            (GIVEN_NOTE, note, *shared_notes(lines, context)),
            group_rules(ordered, context),
            lines[0].dataset,
            condition=condition_of(lines[0]),
        )

    return [
        table("given", "Dice", _dice_cell, DICE_NOTE),
        table("given_hd95", "HD95 (mm)", _hd95_cell, f"{HD95_CELLS_NOTE} {EMPTY_RULE_TEXT}"),
    ]


def excluded_table(table: pd.DataFrame, context: Context) -> Table:
    """What was skipped and what failed, with reasons."""
    rows = []
    for data, moved, fraction, annotated, method, preset, reason in skipped(table).itertuples(index=False):
        where = (data, moved or "all", with_annotation(_fraction(fraction), annotated))
        rows.append(("skipped", *where, context.name(method, preset), DASH, reason))
    lost = failures(table).itertuples(index=False)
    for data, moved, fraction, annotated, draw, method, preset, seed, reason, count in lost:
        labels = with_annotation(percent(fraction), annotated)
        where = (data, moved, f"{labels} (draw {draw}, seed {seed})")
        rows.append(("failed", *where, context.name(method, preset), str(count), reason))
    header = ("Outcome", "Dataset", "Misalignment", "Labels", "Method", "Values lost", "Reason")
    return Table("excluded", "Skipped and failed runs", header, tuple(rows), text=True)


def read_costs(path: Path | None) -> pd.DataFrame:
    """costs.csv of a run: a row per training; empty where there is none."""
    if path is None or not path.exists():
        return pd.DataFrame()
    # Without `keep_default_na` pandas would read the pretraining "none" as no value.
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def mean_costs(costs: pd.DataFrame) -> dict[tuple[Any, ...], dict[str, float]]:
    """Mean cost over seeds and label draws, by condition and method."""
    names = ["parameters", "steps", "samples_seen", "forward_passes_per_step", "train_s", "peak_memory_mib"]
    if costs.empty:
        return {}
    values = costs[names].apply(pd.to_numeric, errors="coerce")
    means = values.groupby([costs[name] for name in (*CONDITION, *CONTENDER)]).mean()
    return {key: dict(zip(names, row, strict=True)) for key, *row in means.itertuples(name=None)}


def cost_of(line: Line, costs: dict[tuple[Any, ...], dict[str, float]]) -> dict[str, float]:
    """Cost of a line, empty where none is known."""
    return costs.get(tuple(getattr(line, name) for name in (*CONDITION, *CONTENDER)), {})


def _overview(lines: list[Line], absent: list[str], context: Context) -> Table:
    dataset = lines[0].dataset
    conditions = sorted({_condition(line) for line in lines}, key=lambda key: (-key[0], *key[1:]))
    names = {_condition(line): condition_label(line) for line in lines}
    cells = {(contender(line), _condition(line)): line for line in lines}
    # One line stands for its method in every condition: the first condition decides the order.
    first = in_order({contender(line): line for line in reversed(lines)}.values(), context)
    rows = [
        (label(line, context), *(_dice_cell(cells.get((contender(line), key))) for key in conditions))
        for line in first
    ]
    return Table(
        f"overview_{dataset}",
        f"Dice on {dataset} ({pairing(lines)})",
        ("Method", *(names[key] for key in conditions)),
        tuple(rows),
        (
            DICE_NOTE,
            *shared_notes(lines, context),
            *absent,
            *loss_notes(lines, context),
        ),
        group_rules(first, context),
        dataset,
    )


def _main(lines: list[Line], costs: dict[tuple[Any, ...], dict[str, float]], context: Context) -> Table:
    ordered = in_order(lines, context)
    tolerance_mm = nsd_tolerance(lines)
    dropped = set() if can_rank(lines, context) else {"95 % interval"}
    dropped |= set() if tolerance_mm else {"NSD"}
    columns = [column for column in _MAIN if column[0] not in dropped]
    rows = [
        (label(line, context), *(cell(line, cost_of(line, costs)) for _, cell in columns)) for line in ordered
    ]
    return Table(
        _stem("main", lines[0]),
        f"{lines[0].dataset}: {condition_label(lines[0])}",
        ("Method", *(nsd_header(tolerance_mm) if name == "NSD" else name for name, _ in columns)),
        tuple(rows),
        all_notes(lines, context),
        group_rules(ordered, context),
        lines[0].dataset,
        condition=condition_of(lines[0]),
    )


Cell = Callable[[Line, dict[str, float]], str]

_MAIN: tuple[tuple[str, Cell], ...] = (
    ("Adapter", lambda line, _: line.adapter or DASH),
    ("Dice", lambda line, _: _dice_cell(line)),
    ("95 % interval", lambda line, _: _interval(line)),
    ("Ceiling", lambda line, _: number(line.ceiling_mean, 3)),
    ("NSD", lambda line, _: _nsd_cell(line)),
    ("HD95 median (mm)", lambda line, _: number(line.hd95_median_mm, 1)),
    ("HD95 found (mm)", lambda line, _: mean_sd(line.hd95_found_mean_mm, line.hd95_found_sd_mm, 1)),
    ("Missed", lambda line, _: _share(line.missed, line)),
    ("False pos.", lambda line, _: _share(line.false_positive, line)),
    ("Cases", lambda line, _: _part(line.cases, line.cases_given)),
    ("Runs", lambda line, _: _part(line.runs - line.runs_failed, line.runs)),
    ("Parameters", lambda _, cost: short_count(cost.get("parameters", math.nan))),
    ("Steps", lambda _, cost: number(cost.get("steps", math.nan), 0)),
    ("Passes/step", lambda _, cost: number(cost.get("forward_passes_per_step", math.nan), 1)),
    ("Train (s)", lambda _, cost: number(cost.get("train_s", math.nan), 0)),
    ("Memory (MiB)", lambda _, cost: number(cost.get("peak_memory_mib", math.nan), 0)),
)


def _full(lines: list[Line], parts: list[Line], context: Context) -> list[Table]:
    places = sorted({(line.modality, line.structure) for line in parts})
    cells = {(contender(line), line.modality, line.structure): line for line in parts}
    ordered = in_order(lines, context)
    header = ("Method", *(f"{modality}: {structure}" for modality, structure in places))

    def table(kind: str, title: str, cell: Callable[[Line], str], *note: str) -> Table:
        rows = [
            (label(line, context), *(cell(cells.get((contender(line), *place), line)) for place in places))
            for line in ordered
        ]
        where = f"{lines[0].dataset}: {condition_label(lines[0])}"
        notes, rules = (*note, *condition_notes(lines, context)), group_rules(ordered, context)
        stem, condition = _stem(f"full_{kind}", lines[0]), condition_of(lines[0])
        name = lines[0].dataset
        return Table(stem, f"{title}, {where}", header, tuple(rows), notes, rules, name, condition=condition)

    tolerance_mm = nsd_tolerance(lines)
    nsd = [table("nsd", nsd_header(tolerance_mm), _nsd_cell, *nsd_notes(lines))] if tolerance_mm else []
    return [
        table("dice", "Dice", _dice_cell, DICE_NOTE),
        *nsd,
        table("hd95", "HD95 (mm)", _hd95_cell, HD95_CELLS_NOTE),
    ]


def _hd95_cell(line: Line | None) -> str:
    if line is None or not line.counted:
        return _dice_cell(line)
    found = mean_sd(line.hd95_found_mean_mm, line.hd95_found_sd_mm, 1)
    lost = f"{line.missed}+{line.false_positive}/{line.counted}"
    return f"{number(line.hd95_median_mm, 1)} | {found} | {lost}"


def _dice_cell(line: Line | None) -> str:
    if line is None:
        return DASH
    return line.status if line.status != "ok" else mean_sd(line.dice_mean, line.dice_sd_cases, 3)


def _nsd_cell(line: Line) -> str:
    return line.status if line.status != "ok" else mean_sd(line.nsd_mean, line.nsd_sd_cases, 3)


def _by_condition(lines: Iterable[Line]) -> list[list[Line]]:
    return [list(own) for _, own in groupby(lines, key=_key)]


def _key(line: Line) -> tuple[str, ...]:
    return tuple(str(getattr(line, name)) for name in CONDITION)


def _condition(line: Line) -> tuple[float, float, str, bool, str]:
    annotation = line.annotation
    return (line.label_fraction, line.shift_mm, line.misalignment, annotation != "full", annotation)


def _stem(kind: str, line: Line) -> str:
    stem = f"{kind}_{line.dataset}_{line.misalignment}_f{round(100 * line.label_fraction):03d}"
    return stem if line.annotation == "full" else f"{stem}_{line.annotation}"


def _interval(line: Line) -> str:
    low, high = number(line.dice_low, 3), number(line.dice_high, 3)
    return DASH if low == DASH else f"{low} to {high}"


def _share(count: int, line: Line) -> str:
    return f"{count}/{line.counted}" if line.counted else DASH


def _part(done: int, given: int) -> str:
    return DASH if not given else str(done) if done == given else f"{done} of {given}"


def _fraction(fraction: float) -> str:
    return percent(fraction) if math.isfinite(fraction) else "all"
