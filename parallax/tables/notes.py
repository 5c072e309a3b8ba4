"""The sentences under a table: what the numbers mean, and what is missing from them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from parallax.score.metrics import EMPTY_RULE_TEXT
from parallax.score.stats.spread import LEAST_CASES
from parallax.tables.layout import (
    Context,
    can_rank,
    condition_label,
    contaminated,
    label,
    most_cases,
    nsd_tolerance,
    percent,
)
from parallax.tables.summary import Line

DICE_NOTE = (
    "Dice: mean ± SD over test cases; structures, modalities, seeds and label draws are averaged within "
    "each case first."
)
HD95_NOTE = (
    "HD95: directed-max, in mm, over single values (case × modality × structure × run): median over all "
    "that count; mean ± SD over those found (both masks present)."
)
HD95_CELLS_NOTE = (
    f"{HD95_NOTE} Cells: median | mean ± SD of the found | missed + false positives / all that count."
)
_NSD_NOTE = (
    "NSD: part of both boundaries, by area, within a tolerance of the other one; mean ± SD over test cases, "
    "averaged as the Dice. Tolerance in mm: "
)
GIVEN_NOTE = (
    "Columns: the modality that is segmented, and the modalities that the method was given of the case. Only "
    "given modalities are scored; the training is the same in all columns."
)
_INTERVAL_NOTE = "95 % interval: bootstrap interval of the mean Dice over cases, runs resampled within cases."
_CEILING_NOTE = (
    "Ceiling (broadcast rows): Dice that a map perfect on the reference modality reaches when it is copied "
    "to every modality."
)


def absent_notes(dataset: str, table: pd.DataFrame) -> list[str]:
    """One sentence per misalignment or annotation of which a dataset has no condition at all."""
    own, notes = table[table["dataset"] == dataset], []
    for column in ("misalignment", "annotation"):
        ran = set(own.loc[own["status"] != "skipped", column])
        absent = own[~own[column].isin([*ran, "", *([] if column == "misalignment" else ["full"])])]
        groups = absent.groupby(column, sort=True)["reason"]
        notes += [f"Skipped: {name}: {' / '.join(sorted(set(reasons)))}" for name, reasons in groups]
    return notes


def shared_notes(lines: Sequence[Line], context: Context) -> tuple[str, ...]:
    """Order, nature of the methods, numbers of labelled cases and the run's own notes."""
    order = _order_note(lines, context)
    seen = _contamination_notes(lines, context)
    return (order, *seen, *_kind_notes(lines, context), *_label_notes(lines, context), *context.notes)


def all_notes(lines: Sequence[Line], context: Context) -> tuple[str, ...]:
    """Every sentence that the table of one condition needs; the first ones explain the metrics."""
    return (DICE_NOTE, *nsd_notes(lines), HD95_NOTE, *condition_notes(lines, context))


def nsd_notes(lines: Sequence[Line]) -> tuple[str, ...]:
    """What the NSD is, and its tolerances; nothing where there is no NSD."""
    tolerance_mm = nsd_tolerance(lines)
    return (f"{_NSD_NOTE}{tolerance_mm}.",) if tolerance_mm else ()


def condition_notes(lines: Sequence[Line], context: Context) -> tuple[str, ...]:
    """The sentences of one condition, whatever the metric."""
    empty = max((line.both_empty for line in lines), default=0)
    ceiling = [_CEILING_NOTE] if any(math.isfinite(line.ceiling_mean) for line in lines) else []
    return (
        EMPTY_RULE_TEXT + (f" Both empty: at most {empty} values of a method." if empty else ""),
        *([_INTERVAL_NOTE] if any(math.isfinite(line.dice_low) for line in lines) else []),
        *ceiling,
        f"Pairing level: {pairing(lines)}.",
        *shared_notes(lines, context),
        *loss_notes(lines, context),
    )


def _order_note(lines: Sequence[Line], context: Context) -> str:
    cases, fixed = most_cases(lines), "order is alphabetical (nnU-Net first, controls last)"
    counted = f"{cases} test case{'' if cases == 1 else 's'}"
    if cases < LEAST_CASES:
        return f"{counted}: too few to rank; {fixed}."
    if not can_rank(lines, context):
        return f"{counted}; this dataset is not ranked by its configuration; {fixed}."
    return f"{counted}; ordered by mean Dice (nnU-Net first, controls last); an order is no claim."


def _kind_notes(lines: Sequence[Line], context: Context) -> list[str]:
    """What the methods of a table are, where a name alone would claim too much."""
    kinds = {context.title(line.method): context.kind(line.method) for line in lines}
    told = [f"{name}: {kind}" for name, kind in sorted(kinds.items()) if kind not in ("", "control")]
    return [f"{'; '.join(told)}."] if told else []


def _contamination_notes(lines: Sequence[Line], context: Context) -> list[str]:
    names = sorted({label(line, context) for line in lines if contaminated(line, context)})
    told = "its weights saw this dataset, so its numbers say nothing about unseen cases."
    return [f"Contaminated: {name}: {told}" for name in names]


def _label_notes(lines: Sequence[Line], context: Context) -> list[str]:
    fractions = sorted({(line.dataset, line.label_fraction) for line in lines}, reverse=True)
    known = [f"{percent(key[1])} = {context.labels[key]}" for key in fractions if key in context.labels]
    return [f"Labels: {', '.join(known)}."] if known else []


def loss_notes(lines: Sequence[Line], context: Context) -> list[str]:
    """One sentence per method that was skipped or that lost something."""
    notes: dict[str, None] = {}
    for line in lines:
        name = label(line, context)
        if line.status == "skipped":
            notes[f"Skipped: {name}: {line.reason}"] = None
        elif line.failed:
            text = f"Failed: {name}: {line.runs_failed} of {line.runs} runs, {line.failed} values lost"
            notes[f"{text} ({condition_label(line)}): {line.reason}"] = None
    return list(notes)


def pairing(lines: Sequence[Line]) -> str:
    """The pairing level in words."""
    return lines[0].pairing.replace("_", " ")
