"""The table that `parallax score` prints: one row per case and structure, what they say together last."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, median

from parallax.errors import counted
from parallax.score.compare import Scored, Wanted
from parallax.score.metrics import EMPTY_RULE_TEXT
from parallax.score.table import VALUED
from parallax.tables.layout import DASH, Table, number

#: The terminal breaks a header at its first comma.
_HEADERS = {
    "dice": "Dice",
    "hd95_mm": "HD95, mm",
    "assd_mm": "ASSD, mm",
    "volume_difference_ml": "Volume, diff. mL",
    "hd95_pooled_mm": "hd95_, pooled_mm",
}
_DIGITS = {"dice": 4, "nsd": 4}
#: Where a mask is empty these hold the image diagonal, so a mean over everything says more about the rule.
_PENALISED = ("hd95_mm", "assd_mm", "hd95_pooled_mm")


def comparison_table(rows: Sequence[Scored], wanted: Wanted, extra: Sequence[str]) -> Table:
    """The table of `score_pair`'s rows; `extra` are predictions without a truth."""
    places = list(dict.fromkeys((str(row["case"]), str(row["structure"])) for row in rows))
    held = {(row["case"], row["structure"], row["metric"]): row for row in rows}
    body = []
    for place in places:
        own = [held[(*place, metric)] for metric in wanted.metrics]
        cells = [_cell(str(row["metric"]), float(row["value"])) for row in own]
        body.append((*place, *cells, str(own[0]["status"]).replace("_", " ").replace("positive", "pos.")))
    headers = {**_HEADERS, "nsd": f"NSD, {wanted.tolerance_mm:g} mm" if wanted.tolerance_mm else ""}
    return Table(
        "comparison",
        "Prediction against truth",
        ("Case", "Structure", *(headers.get(metric, metric) for metric in wanted.metrics), "Status"),
        (*body, *_summary(rows, wanted)),
        _notes(rows, wanted, extra),
        (len(body),),
    )


def _summary(rows: Sequence[Scored], wanted: Wanted) -> list[tuple[str, ...]]:
    counted = [row for row in rows if row["status"] in VALUED]
    found = [row for row in rows if row["status"] == "ok"]

    def line(
        name: str, kept: Sequence[Scored], take: Callable[[list[float]], float], dashed: tuple[str, ...]
    ) -> tuple[str, ...]:
        values = {m: [float(row["value"]) for row in kept if row["metric"] == m] for m in wanted.metrics}
        cells = [_cell(m, take(v) if v and m not in dashed else math.nan) for m, v in values.items()]
        return (name, "all", *cells, f"{len(values['dice'])} values")

    return [
        line("mean", counted, fmean, _PENALISED),
        line("median", counted, median, ()),
        line("mean found", found, fmean, ()),
    ]


def _notes(rows: Sequence[Scored], wanted: Wanted, extra: Sequence[str]) -> tuple[str, ...]:
    dice = [row for row in rows if row["metric"] == "dice"]
    count = {
        status: sum(row["status"] == status for row in dice) for status in (*VALUED, "both_empty", "failed")
    }
    absent = sorted({str(row["case"]) for row in dice if row["status"] == "failed"})
    cases = len({row["case"] for row in dice})
    notes = [
        f"Found {count['ok']}, missed {count['missed']}, false positive {count['false_positive']}: these "
        f"count. Both empty {count['both_empty']}: no value.",
    ]
    if absent:
        notes.append(
            f"No prediction for {len(absent)} of {counted(cases, 'case')}, which no mean holds:"
            f" {', '.join(absent)}."
        )
    if extra:
        notes.append(f"Predictions without a truth, not scored: {', '.join(extra)}.")
    if wanted.tolerance_mm is None:
        notes.append(
            "NSD: not computed; add --tolerance-mm, the distance up to which two boundaries are one."
        )
    if wanted.pooled:
        notes.append(
            "hd95_pooled_mm: one percentile over both directions (medpy); not the HD95 of the other column."
        )
    return (*notes, EMPTY_RULE_TEXT)


def _cell(metric: str, value: float) -> str:
    return number(value, _DIGITS.get(metric, 2)) if math.isfinite(value) else DASH
