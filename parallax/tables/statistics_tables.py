"""The statistics as tables: comparisons with the reference, and ranks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from parallax.tables.comparisons import FEW, OPEN, Comparison, Comparisons, Contender
from parallax.tables.layout import (
    DASH,
    Context,
    Table,
    condition_label,
    in_order,
    label,
    number,
)
from parallax.tables.summary import CONDITION, CONTENDER, Line

_COMPARED = (
    "Difference (points)",
    "95 % interval",
    "p (Holm)",
    "Effect",
    "P(false claim)",
    "Cases",
    "Verdict",
)
_MEANING = (
    "P(false claim): probability that the true difference has the other sign. Verdict: better or worse only"
    " if p and P(false claim) are at most 0.05, the interval leaves out zero, and with several seeds so does"
    " the one over cases and trainings (runs_low, runs_high in statistics.csv); else not separable."
)


def comparison_tables(found: Sequence[Comparisons], lines: Sequence[Line], context: Context) -> list[Table]:
    """Per dataset and condition: every method against the reference; `lines` are those of the main tables."""
    return [_comparison(one, _own(one, lines), context) for one in found if one.rows]


def rank_tables(found: Sequence[Comparisons], lines: Sequence[Line], context: Context) -> list[Table]:
    """Per dataset: rank of every method at each condition, or why there is none."""
    several = [one for one in found if len(one.contenders) > 1]
    return [
        _ranks(list(own), lines, context) for _, own in groupby(several, key=lambda one: one.condition[0])
    ]


def _comparison(one: Comparisons, lines: Sequence[Line], context: Context) -> Table:
    rows = {contender_of(row): row for row in one.rows}
    shown = [
        (line, rows[contender_of(line)]) for line in in_order(lines, context) if contender_of(line) in rows
    ]
    dataset, level, fraction, annotation = one.condition
    return Table(
        stem("statistics", dataset, level, f"f{round(100 * fraction):03d}", annotation),
        f"Against {title_of(one.reference, context)}, {dataset}: {condition_label(lines[0])}",
        ("Method", *_COMPARED),
        tuple((label(line, context), *_cells(row, one.needed)) for line, row in shown),
        _comparison_notes(one, lines, context),
        (),
        str(dataset),
    )


def _cells(row: Comparison, needed: int) -> tuple[str, ...]:
    return (
        signed(100 * row.difference, 1),
        interval(100 * row.low, 100 * row.high, 1),
        _p(row.p_holm),
        signed(row.effect, 2),
        _p(row.false_claim),
        str(row.cases),
        _verdict(row, needed),
    )


def _verdict(row: Comparison, needed: int) -> str:
    if row.verdict == FEW:
        return f"{FEW}: needs {needed}"
    return f"{row.verdict}, one seed" if row.seeds < 2 and row.verdict != OPEN else row.verdict


def _comparison_notes(one: Comparisons, lines: Sequence[Line], context: Context) -> tuple[str, ...]:
    reference = title_of(one.reference, context)
    stand_in = f" {title_of(one.wanted, context)} did not run here." if one.wanted != one.reference else ""
    return (
        _separation_note(one),
        *_first_note(one, lines, context),
        f"Difference: method minus {reference}, in Dice points (0.01 Dice), mean over cases that both have; "
        f"95 % interval: studentised bootstrap over cases.{stand_in}",
        f"p: Wilcoxon signed-rank test, corrected after Holm for the {len(one.rows)} methods of this table. "
        "Effect: rank-biserial correlation, -1 to 1.",
        _MEANING,
        *_loss_notes(one, lines, context),
        *_seed_notes(one.rows),
    )


def _separation_note(one: Comparisons) -> str:
    """Printed before any winner: does the dataset tell these methods apart at all?"""
    if not math.isfinite(one.within):
        return "One run per method: whether the methods differ by more than their own runs do is not known."
    parts = f"SD between methods {number(one.between, 1)} points, of a method over its runs {one.within:.1f}"
    ratio = one.between / one.within if one.within else math.inf
    if ratio > 1:
        return f"{parts}: ratio {ratio:.1f}."
    return f"{parts}: ratio {ratio:.1f}. This dataset does not separate these methods; read no winner."


def _first_note(one: Comparisons, lines: Sequence[Line], context: Context) -> list[str]:
    if not math.isfinite(one.first_false):
        return []
    names = {contender_of(line): label(line, context) for line in lines}
    first, second = (names[contender] for contender in one.contenders[:2])
    risk = f"P(false claim) {_p(one.first_false)}"
    if one.cases < one.needed:
        return [f"Highest mean: {first}, then {second} ({risk}); {one.cases} cases are too few for a winner."]
    verdict = f"{first} is ahead" if one.first_ahead else "not separable, no winner"
    return [f"Highest mean: {first}, then {second} ({risk}): {verdict}."]


def _loss_notes(one: Comparisons, lines: Sequence[Line], context: Context) -> list[str]:
    names = {contender_of(line): label(line, context) for line in lines}
    return [
        f"Not paired: {names[contender_of(row)]}: {row.only_method} cases of its own, {row.only_reference} of"
        " the reference."
        for row in one.rows
        if row.only_method or row.only_reference
    ]


def _seed_notes(rows: Iterable[Comparison]) -> list[str]:
    if max((row.seeds for row in rows), default=0) > 1:
        return []
    return ["One training seed: a verdict holds for these trained networks, not yet for the methods."]


def _ranks(found: list[Comparisons], lines: Sequence[Line], context: Context) -> Table:
    own = {line.dataset: None for line in lines if line.dataset == found[0].condition[0]}
    dataset = next(iter(own))
    names = [condition_label(_own(one, lines)[0]) for one in found]
    known = {contender for one in found for contender in one.contenders}
    first = {contender_of(line): line for line in reversed(lines) if line.dataset == dataset}
    ordered = in_order([line for contender, line in first.items() if contender in known], context)
    rows = [
        (label(line, context), *(rank_cell(one, contender_of(line)) for one in found)) for line in ordered
    ]
    return Table(
        stem("ranks", dataset),
        f"Ranks on {dataset}",
        ("Method", *names),
        tuple(rows),
        (
            "Rank by mean Dice over cases (aggregate, then rank), in brackets 95 % of its values over"
            " bootstraps of the cases. Kendall tau: agreement of those rankings with this one, at most 1.",
            *(_rank_note(one, name, lines, context) for one, name in zip(found, names, strict=True)),
        ),
        (),
        dataset,
    )


def rank_cell(one: Comparisons, contender: Contender) -> str:
    """Rank of a method at a condition, with 95 % of its bootstrapped values; a dash where there is none."""
    if one.ranking is None or contender not in one.contenders:
        return DASH
    place = one.contenders.index(contender)
    rank, low, high = (values[place] for values in (one.ranking.ranks, one.ranking.low, one.ranking.high))
    return f"{rank:g}" if low == high else f"{rank:g} ({low:.3g} to {high:.3g})"


def _rank_note(one: Comparisons, name: str, lines: Sequence[Line], context: Context) -> str:
    alone = (
        ""
        if one.reference
        else f" Neither {title_of(one.wanted, context)} nor supervised ran, so nothing is compared."
    )
    if one.ranking is None:
        methods = len(one.contenders)
        return f"{name}: not ranked; {methods} methods need {one.needed} cases, there are {one.cases}.{alone}"
    told = f"{name}:{alone} tau median {one.ranking.tau_median:.2f}, 2.5 % {one.ranking.tau_low:.2f}"
    titles = {contender_of(line): label(line, context) for line in lines}
    swaps = [
        f"{titles[one.contenders[a]]} and {titles[one.contenders[b]]} ({100 * share:.0f} %)"
        for a, b, share in one.ranking.swaps
    ]
    return (
        f"{told}; change places: {', '.join(swaps)}." if swaps else f"{told}; no pair changes places in 5 %."
    )


def _own(one: Comparisons, lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if tuple(getattr(line, name) for name in CONDITION) == one.condition]


def contender_of(one: Any) -> Contender:
    """What identifies the method of a line, a comparison or a trend."""
    return tuple(getattr(one, name) for name in CONTENDER)


def title_of(name: str, context: Context) -> str:
    """Title of `NAME` or `NAME:PRESET`."""
    method, _, preset = name.partition(":")
    return context.name(method, preset)


def stem(*parts: str) -> str:
    """Name of a table from its parts; what is empty or ordinary is left out."""
    return "_".join(part for part in parts if part not in ("", "full"))


def interval(low: float, high: float, digits: int) -> str:
    """`low to high` with signs, a dash where there is none."""
    return f"{signed(low, digits)} to {signed(high, digits)}" if math.isfinite(low) else DASH


def signed(value: float, digits: int) -> str:
    """A number with its sign; one that rounds to zero has a plus."""
    return f"{round(value, digits) + 0.0:+.{digits}f}" if math.isfinite(value) else DASH


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else number(value, 3)
