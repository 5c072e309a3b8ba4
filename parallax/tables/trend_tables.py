"""The trends as tables: robustness to shift, and what more labels bring."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby

from parallax.score.stats.robustness import Robustness
from parallax.score.stats.trend import Trend
from parallax.tables.layout import DASH, Context, Table, in_order, label, number, percent, with_annotation
from parallax.tables.statistics_tables import contender_of, signed, stem, title_of
from parallax.tables.summary import Line
from parallax.tables.trends import MethodTrend


def trend_tables(found: Sequence[MethodTrend], lines: Sequence[Line], context: Context) -> list[Table]:
    """Per dataset, family of misalignment and label fraction: robustness; per dataset and level: labels."""
    return [
        (_shift_table if key[1] == "shift" else _labels_table)(list(own), lines, context)
        for key, own in groupby(found, key=_trend_key)
    ]


def _trend_key(one: MethodTrend) -> tuple[str, ...]:
    names = ("dataset", "along", "family", "misalignment", "label_fraction", "annotation")
    return tuple(str(getattr(one, name)) for name in names)


def _shift_table(found: list[MethodTrend], lines: Sequence[Line], context: Context) -> Table:
    one, reach_mm = found[0], max((t.curve.reach_mm for t in found if t.curve), default=math.nan)
    reference = title_of(one.reference, context)
    labels = with_annotation(f"{percent(one.label_fraction)} labels", one.annotation)
    levels = max(trend.own.levels for trend in found)
    straight = " With two levels the curve is a straight line." if levels == 2 else ""
    return Table(
        stem(
            "robustness", one.dataset, one.family, f"f{round(100 * one.label_fraction):03d}", one.annotation
        ),
        f"Robustness to {one.family} misalignment, {one.dataset}: {labels}",
        ("Method", "Kept", "Loses 5 points at (mm)", "Points per mm", f"Against {reference}", "Fit"),
        tuple(
            (name, *_curve_cells(trend.curve), _slope(trend.own), _slope(trend.against), _state(trend))
            for name, trend in _named(found, lines, context)
        ),
        (
            f"Kept: area under Dice against the realised shift up to {number(reach_mm, 1)} mm, as a share of"
            " the aligned Dice: 1 means that nothing is lost. Brackets: 95 % bootstrap intervals over cases."
            f"{straight}",
            f"Points per mm: slope of a mixed model (case, slope by case, run). Against {reference}: slope of"
            " the paired difference, above zero where the method loses less.",
            *_fit_notes(found),
        ),
        (),
        one.dataset,
    )


def _labels_table(found: list[MethodTrend], lines: Sequence[Line], context: Context) -> Table:
    one = found[0]
    reference = title_of(one.reference, context)
    level = with_annotation(one.misalignment, one.annotation)
    return Table(
        stem("labels", one.dataset, one.misalignment, one.annotation),
        f"What more labels bring, {one.dataset}: {level}",
        ("Method", "Points per doubling", f"Against {reference}", "Fit"),
        tuple(
            (name, _slope(trend.own), _slope(trend.against), _state(trend))
            for name, trend in _named(found, lines, context)
        ),
        (
            "Points per doubling: Dice points gained each time the labelled cases double, slope of a mixed"
            f" model (case, slope by case, run). Against {reference}: slope of the paired difference, below"
            " zero where the method needs labels less.",
            *_fit_notes(found),
        ),
        (),
        one.dataset,
    )


def _named(
    found: Iterable[MethodTrend], lines: Sequence[Line], context: Context
) -> list[tuple[str, MethodTrend]]:
    trends = {contender_of(trend): trend for trend in found}
    dataset = next(iter(trends.values())).dataset
    first = {contender_of(line): line for line in reversed(lines) if line.dataset == dataset}
    ordered = in_order([line for key, line in first.items() if key in trends], context)
    return [(label(line, context), trends[contender_of(line)]) for line in ordered]


def _fit_notes(found: Iterable[MethodTrend]) -> list[str]:
    states = {state for trend in found for state in (trend.own.state, *_states(trend.against))}
    notes = [
        "Fit boundary: cases or runs were found not to differ, so the model is smaller; the slope stands."
    ]
    return [note for note in notes if "boundary" in states] + (
        ["Fit failed: no slope; trends.csv has the reason."] if "failed" in states else []
    )


def _states(trend: Trend | None) -> list[str]:
    return [trend.state] if trend else []


def _state(trend: MethodTrend) -> str:
    states = [trend.own.state, *_states(trend.against)]
    return next((state for state in ("failed", "boundary") if state in states), "ok")


def _curve_cells(curve: Robustness | None) -> tuple[str, str]:
    if curve is None or not curve.cases:
        return DASH, DASH
    kept = _bracket(number(curve.area, 2), number(curve.area_low, 2), number(curve.area_high, 2))
    ends = [_reached(mm, curve) for mm in (curve.loss_mm, curve.loss_low_mm, curve.loss_high_mm)]
    return kept, _bracket(*ends) if ends[0] != ends[1] or ends[1] != ends[2] else ends[0]


def _reached(shift_mm: float, curve: Robustness) -> str:
    return f"> {curve.reach_mm:.1f}" if shift_mm == math.inf else number(shift_mm, 1)


def _slope(trend: Trend | None) -> str:
    if trend is None:
        return DASH
    return _bracket(*(signed(100 * value, 2) for value in (trend.slope, trend.low, trend.high)))


def _bracket(value: str, low: str, high: str) -> str:
    return value if DASH in (low, high) else f"{value} ({low} to {high})"
