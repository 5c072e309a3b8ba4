"""What tables and figures share: a table of finished text, names of methods, their order, number formats."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from parallax.cards import NO_PRETRAINING, MethodCard, data_seen
from parallax.perturb.annotation import annotation_notes
from parallax.plugin import method_cards
from parallax.score.stats.spread import LEAST_CASES
from parallax.tables.summary import CONTROLS, Line

#: The baseline that stands in the first row: strong, and trained on the same few labels as all others.
FIRST = "nnunet"

DASH = "–"

#: A preset that differs in more switches than these is not described in a table.
_SHOWN = 6

_KIND = re.compile(r" \(((?:re-implementation|control)[^)]*)\)$")


@dataclass(frozen=True)
class Table:
    """A finished table: cells are text, `rules` are indices of rows above which a line is drawn.

    `dataset` and `condition` are empty where a table is about several; `text` says that its cells are
    sentences.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    rules: tuple[int, ...] = ()
    dataset: str = ""
    text: bool = False
    condition: str = ""


@dataclass(frozen=True)
class Context:
    """What tables say beyond the scores.

    Attributes:
        titles: title by method, with what it is in brackets, as the method declares it.
        controls: methods that are reference points.
        labels: (dataset, label fraction) to a text such as `2 of 8 training cases`.
        notes: notes of the run, printed under each table.
        unranked: datasets whose methods are never put in an order.
        reference: method (`NAME` or `NAME:PRESET`) that the others are compared with.
        families: family of each level of misalignment; a level that is not listed is of the family `shift`.
        sources: dataset to the plug-in that it is read by, where that has another name.
        changes: (method, preset) to the switches in which it differs from the default preset, as text.
    """

    titles: Mapping[str, str]
    controls: frozenset[str] = frozenset(CONTROLS)
    labels: Mapping[tuple[str, float], str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unranked: frozenset[str] = frozenset()
    reference: str = FIRST
    families: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def title(self, method: str) -> str:
        """The title for a row: without the brackets that the notes repeat; the id where none is known."""
        return _KIND.sub("", self.titles.get(method, method))

    def name(self, method: str, preset: str) -> str:
        """The title, and the preset where it is not the default of the method."""
        return self.title(method) + (f" · {preset}" if preset not in ("paper", "") else "")

    def kind(self, method: str) -> str:
        """Such as `re-implementation from released code`; empty where nothing is declared."""
        found = _KIND.search(self.titles.get(method, ""))
        return found.group(1) if found else ""


def read_context(splits: Path | None = None, notes: Mapping[str, Any] | None = None) -> Context:
    """Context from what the methods declare, a folder of splits and what `run_notes` made of a run."""
    cards, notes = method_cards(), notes or {}
    return Context(
        titles={card.name: card.title for card in cards.values()},
        controls=frozenset({card.name for card in cards.values() if card.control} | set(CONTROLS)),
        labels=_label_counts(splits) if splits else {},
        notes=tuple(notes.get("notes") or ()),
        unranked=frozenset(notes.get("unranked") or ()),
        reference=str(notes.get("reference") or FIRST),
        families=dict(notes.get("families") or {}),
        sources=dict(notes.get("sources") or {}),
        changes=_changes(cards, notes.get("presets") or {}),
    )


def _changes(
    cards: Mapping[str, MethodCard], own: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[tuple[str, str], str]:
    changes = {}
    for name, card in cards.items():
        presets = card.with_presets(own.get(name) or {}).presets
        first = next(iter(presets.values()))
        for preset, switches in presets.items():
            changed = [f"{key} = {value}" for key, value in switches.items() if value != first[key]]
            many = f"{len(changed)} switches, see docs/methods/{name}.md"
            changes[name, preset] = ", ".join(changed) if len(changed) <= _SHOWN else many
    return changes


def run_notes(config: Mapping[str, Any]) -> dict[str, Any]:
    """What tables need of the configuration of a run, as plain values."""
    datasets: Mapping[str, Any] = config.get("datasets") or {}
    levels: Mapping[str, Any] = config.get("misalignments") or {}
    return {
        "notes": [*(config.get("notes") or []), *annotation_notes(config)],
        "unranked": [name for name, entry in datasets.items() if entry.get("rank") is False],
        "reference": config.get("reference") or FIRST,
        "presets": config.get("presets") or {},
        "sources": {name: entry.get("plugin") or name for name, entry in datasets.items()},
        "families": {name: level.get("family", "rigid") for name, level in levels.items()},
    }


def label(line: Line, context: Context) -> str:
    """Name of a line: the method, and what makes it differ from the default of that method."""
    extras = [f"pretrained: {line.pretraining}"] if line.pretraining not in (NO_PRETRAINING, "") else []
    extras += ["CONTAMINATED"] if contaminated(line, context) else []
    extras += [f"checkpoint: {line.checkpoint_rule}"] if line.checkpoint_rule not in ("last", "") else []
    return " · ".join([context.name(line.method, line.preset), *extras])


def contaminated(line: Line, context: Context) -> bool:
    """Whether the external weights of a line saw the data that the line was tested on."""
    own = {line.dataset.lower(), context.sources.get(line.dataset, line.dataset).lower()}
    return bool(own & data_seen(line.pretraining))


def contender(line: Line) -> tuple[str, str, str, str]:
    """What identifies a row across conditions."""
    return (line.method, line.preset, line.pretraining, line.checkpoint_rule)


def in_order(lines: Iterable[Line], context: Context) -> list[Line]:
    """nnU-Net first, then the methods, then the controls.

    Methods stand by mean Dice where every one was tested on enough cases, else by name, which claims nothing.
    """
    lines = list(lines)
    ranked = can_rank(lines, context)

    def key(line: Line) -> tuple[Any, ...]:
        control = line.method in context.controls
        group = 2 if control else 0 if line.method == FIRST else 1
        fixed = CONTROLS.index(line.method) if line.method in CONTROLS else len(CONTROLS)
        by_dice = -line.dice_mean if ranked and math.isfinite(line.dice_mean) else math.inf
        return (group, fixed, by_dice, label(line, context).lower())

    return sorted(lines, key=key)


def nsd_tolerance(lines: Iterable[Line]) -> str:
    """The tolerance or the tolerances (mm) of the NSD of these lines; empty where none has an NSD."""
    return "; ".join(sorted({line.nsd_tolerance_mm for line in lines} - {""}))


def nsd_header(tolerance_mm: str) -> str:
    """Header of a column of NSD: with its tolerance where there is one, which the notes list otherwise."""
    return "NSD" if "(" in tolerance_mm or ";" in tolerance_mm else f"NSD ({tolerance_mm} mm)"


def can_rank(lines: Sequence[Line], context: Context) -> bool:
    """Whether an order by Dice may be shown: enough test cases, and a dataset that may be ranked."""
    if any(line.dataset in context.unranked for line in lines):
        return False
    return most_cases(lines) >= LEAST_CASES


def most_cases(lines: Sequence[Line]) -> int:
    """Number of test cases of the condition with the most."""
    return max((line.cases_given for line in lines), default=0)


def group_rules(lines: Sequence[Line], context: Context) -> tuple[int, ...]:
    """Index of the first control, above which a line is drawn."""
    first = next((i for i, line in enumerate(lines) if line.method in context.controls), 0)
    return (first,) if first else ()


def condition_label(line: Line) -> str:
    """Such as `10 % labels, shifted 4.2 mm`, or `10 % labels, aligned, ct_only` with an annotation."""
    shift = f" {number(line.shift_mm, 1)} mm" if line.shift_mm else ""
    return condition_name(line.label_fraction, f"{line.misalignment}{shift}", line.annotation)


def condition_name(label_fraction: float, misalignment: str, annotation: str) -> str:
    """Such as `10 % labels, shifted`: the same for every method at a condition."""
    return with_annotation(f"{percent(label_fraction)} labels, {misalignment}", annotation)


def condition_of(line: Line) -> str:
    """The name of the condition of a line."""
    return condition_name(line.label_fraction, line.misalignment, line.annotation)


def with_annotation(text: str, annotation: str) -> str:
    """The text, with the annotation behind it where that is not the full one."""
    return text if annotation in ("full", "") else f"{text}, {annotation}"


def percent(fraction: float) -> str:
    """A fraction as percent, without needless digits."""
    return f"{100 * fraction:.4g} %"


def number(value: float, digits: int) -> str:
    """A number with fixed digits, a dash where there is none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else DASH


def mean_sd(mean: float, sd: float, digits: int) -> str:
    """`mean ± SD`, the mean alone where there is no SD, a dash where there is no mean."""
    if not math.isfinite(mean) or not math.isfinite(sd):
        return number(mean, digits)
    return f"{mean:.{digits}f} ± {sd:.{digits}f}"


def short_count(value: float) -> str:
    """Such as `1.25 M` or `412 k`."""
    if not math.isfinite(value):
        return DASH
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def common_notes(tables: Sequence[Table]) -> tuple[tuple[str, ...], list[Table]]:
    """The notes that all tables share, and the tables without them."""
    shared = tuple(note for note in tables[0].notes if all(note in t.notes for t in tables)) if tables else ()
    own = [replace(t, notes=tuple(note for note in t.notes if note not in shared)) for t in tables]
    return shared, own


def _label_counts(splits: Path) -> dict[tuple[str, float], str]:
    counts = {}
    for path in sorted(splits.glob("*/f*.json")):
        match = re.match(r"f(\d+)(p\d+)?", path.stem)
        if match:
            split = json.loads(path.read_text(encoding="utf-8"))
            labelled, rest = len(split["labelled"]), len(split["unlabelled"])
            text = f"{labelled} of {labelled + rest} training cases"
            percentage = float(f"{match.group(1)}{(match.group(2) or '').replace('p', '.')}")
            counts[(path.parent.name, round(percentage / 100, 6))] = text
    return counts
