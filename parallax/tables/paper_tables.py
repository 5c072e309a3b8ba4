"""The tables of a publication: published beside reproduced; what was not run or not sourced is said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from parallax.tables.beside import MEAN, NOT_RUN, Cell, Comparison, Paper, organ_mean
from parallax.tables.layout import DASH, Context, Table, mean_sd, number, percent
from parallax.tables.per_condition import overview_tables
from parallax.tables.published import published_table
from parallax.tables.render import to_frame
from parallax.tables.sourced import NOT_SOURCED
from parallax.tables.summary import summarise

#: A stated mean and the mean of the structures beside it agree when they round alike.
_ROUNDING = 0.05

_READ = (
    "Published and reproduced are means over test cases in percent (Dice × 100); ± is the SD between cases; "
    "the difference is reproduced minus published, in Dice points. "
)
_EMPTY = (
    f"“{NOT_RUN}”: no result of ours. “{NOT_SOURCED}”: nobody could trace a published number. A dash: none "
    "can stand there."
)
_SURFACE = (
    "HD95: directed-max, median over all that count, a missed structure counting as the image diagonal. ASD: "
    "mean of the symmetric distance (ASSD) over the structures found. Published HD95 and ASD are not set "
    "beside these: papers call a pooled percentile or a one-sided mean by the same names, and for no "
    "published value was the code that computed it checked."
)
_UNCHECKED = "a distance: how it was computed was not checked"


def paper_tables(comparison: Comparison, context: Context) -> list[Table]:
    """Dice of every method by label fraction; by structure where published; distances; what is kept apart."""
    fractions = comparison.paper.fractions
    headlines = [_headline(comparison, fraction, context) for fraction in fractions]
    by_structure, distances = _by_structure(comparison, context), _surface(comparison, context)
    return _told([*headlines, *by_structure, distances, _rest(comparison, context)], comparison)


def grid_tables(comparison: Comparison, scores: pd.DataFrame | None, context: Context) -> list[Table]:
    """A run that is set beside nothing: methods by conditions, one table per dataset."""
    paper = comparison.paper
    if scores is not None:
        tables = overview_tables(summarise(scores), scores, replace(context, notes=()))
    else:
        header = ("Method", *(f"{percent(f)} labels, {moved}" for f, moved in paper.conditions))
        rows = [(context.name(m, p), *(NOT_RUN for _ in paper.conditions)) for m, p in paper.methods]
        tables = [
            Table(f"overview_{data}", f"Dice on {data}", header, tuple(rows), (), (), data)
            for data in paper.datasets
        ]
    return _told(tables, comparison)


def grid_frame(comparison: Comparison, scores: pd.DataFrame | None) -> pd.DataFrame:
    """The numbers behind the grid, unrounded, for CSV."""
    paper = comparison.paper
    if scores is not None:
        return to_frame(summarise(scores))
    rows = [
        (data, moved, fraction, method, preset, NOT_RUN)
        for data in paper.datasets
        for fraction, moved in paper.conditions
        for method, preset in paper.methods
    ]
    columns = ["dataset", "misalignment", "label_fraction", "method", "preset", "status"]
    return pd.DataFrame(rows, columns=columns)


def summary_table(comparisons: Sequence[Comparison], runs: Sequence[bool]) -> Table:
    """One row per experiment: whether it was run, and how much of it stands beside published numbers."""
    rows = []
    for comparison, ran in zip(comparisons, runs, strict=True):
        means = comparison.find(structure=MEAN)
        done = sum(cell.reproduced_status == "ok" for cell in means)
        places = {(c.method, c.label_fraction, c.modality, c.structure) for c in _sourced(comparison)}
        beside = sum(math.isfinite(cell.difference) for cell in comparison.cells)
        state = NOT_RUN if not ran else f"{done} of {len(means)} means" if means else "run"
        rows.append((comparison.paper.run, state, str(len(places)), str(beside), comparison.apart or DASH))
    header = ("Experiment", "Ours", "Published values", "Compared", "Why none is compared")
    return Table("summary", "Experiments of the paper", header, tuple(rows))


def compared_tables(comparison: Comparison, context: Context) -> list[Table]:
    """The tables in which a published value stands: what the terminal shows."""
    sourced = {cell.label_fraction for cell in _sourced(comparison)}
    shown = [_headline(comparison, fraction, context) for fraction in sorted(sourced)]
    return _told([*shown, *_by_structure(comparison, context)], comparison)


def _headline(comparison: Comparison, fraction: float, context: Context) -> Table:
    paper = comparison.paper
    header = ["Method"]
    for ours, theirs in paper.modalities.items():
        name = ours if ours == theirs else f"{ours} ({theirs})"
        header += [f"{name}, published", f"{name}, reproduced", f"{name}, difference"]
    rows = []
    for method, preset in paper.methods:
        cells = comparison.find(method=method, preset=preset, label_fraction=fraction, structure=MEAN)
        rows.append((context.name(method, preset), *(text for cell in cells for text in _three(cell))))
    first = next((i for i, (m, _) in enumerate(paper.methods) if m in context.controls), 0)
    title = f"{paper.title}: Dice (%), {percent(fraction)} labels"
    notes = (f"Mean of {_listed(paper.structures)}. {_READ}{_EMPTY}", *_lost(comparison, fraction, context))
    return Table(
        f"{paper.run}_dice_{_stem(fraction)}",
        title,
        tuple(header),
        tuple(rows),
        notes,
        (first,) if first else (),
    )


def _by_structure(comparison: Comparison, context: Context) -> list[Table]:
    """Every published value of a method with every preset of ours; none where nothing is published."""
    paper, tables = comparison.paper, []
    sourced = _sourced(comparison)
    for method in dict.fromkeys(cell.method for cell in sourced):
        presets = [preset for name, preset in paper.methods if name == method]
        own = [cell for cell in sourced if cell.method == method and cell.preset == presets[0]]
        names = [context.name(method, preset) for preset in presets]
        ours = [text for name in names for text in (name, f"{name}, difference")]
        rows: list[tuple[str, ...]] = []
        rules: list[int] = []
        notes: list[str] = []
        for fraction in paper.fractions:
            for modality in paper.modalities:
                group = [c for c in own if (c.label_fraction, c.modality) == (fraction, modality)]
                rules += [len(rows)] * bool(group and rows)
                for cell in group:
                    found = [_same(comparison, cell, preset) for preset in presets]
                    rows.append(_structure_row(cell, found))
                    if cell.structure == MEAN and abs(organ_mean(group) - cell.published_percent) > _ROUNDING:
                        rows.append(_organ_row(cell, found, organ_mean(group)))
                        notes.append(_organ_note(cell, organ_mean(group)))
        title = f"{paper.title}: {context.title(method)} by structure, Dice (%)"
        sources = "; ".join(dict.fromkeys(f"{cell.source} ({cell.evidence})" for cell in own))
        told = (*notes, f"Source: {sources}.", _READ + _EMPTY)
        header = ("Labels", "Modality", "Structure", "Published", *ours)
        tables.append(Table(f"{paper.run}_{method}", title, header, tuple(rows), told, tuple(rules)))
    return tables


def _sourced(comparison: Comparison) -> list[Cell]:
    return comparison.find(published_status="sourced")


def _structure_row(cell: Cell, found: Sequence[Cell]) -> tuple[str, ...]:
    name = "mean, stated" if cell.structure == MEAN else cell.structure.replace("_", " ")
    ours = [text for other in found for text in _three(other)[1:]]
    return (percent(cell.label_fraction), cell.modality, name, _three(cell)[0], *ours)


def _organ_row(cell: Cell, found: Sequence[Cell], mean: float) -> tuple[str, ...]:
    derived = [replace(other, published_percent=mean) for other in found]
    return (*_structure_row(cell, derived)[:2], "mean, computed", _rounded(mean),
            *_structure_row(cell, derived)[4:])  # fmt: skip


def _organ_note(cell: Cell, mean: float) -> str:
    return (
        f"{cell.modality}, {percent(cell.label_fraction)}: the mean that the source states "
        f"({cell.published_percent:.2f}) is not the mean of the structures that it prints ({_rounded(mean)}, "
        "computed by us, not published). Both are shown."
    )


def _same(comparison: Comparison, cell: Cell, preset: str) -> Cell:
    return comparison.find(
        method=cell.method,
        preset=preset,
        label_fraction=cell.label_fraction,
        modality=cell.modality,
        structure=cell.structure,
    )[0]


def _surface(comparison: Comparison, context: Context) -> Table:
    paper = comparison.paper
    header = ["Labels", "Method"]
    header += [f"{modality}, {metric} (mm)" for modality in paper.modalities for metric in ("HD95", "ASD")]
    rows: list[tuple[str, ...]] = []
    rules: list[int] = []
    for fraction in paper.fractions:
        rules += [len(rows)] * bool(rows)
        for method, preset in paper.methods:
            cells = comparison.find(method=method, preset=preset, label_fraction=fraction, structure=MEAN)
            values = [v for cell in cells for v in (cell.hd95_median_mm, cell.assd_found_mean_mm)]
            status = [cell.reproduced_status for cell in cells for _ in range(2)]
            texts = [number(v, 1) if s == "ok" else s for v, s in zip(values, status, strict=True)]
            rows.append((percent(fraction), context.name(method, preset), *texts))
    title = f"{paper.title}: distances, reproduced alone"
    return Table(f"{paper.run}_distances", title, tuple(header), tuple(rows), (_SURFACE,), tuple(rules))


def _rest(comparison: Comparison, context: Context) -> Table:
    paper = comparison.paper
    names = {m: context.title(m) for m, _ in paper.methods if m not in context.controls}
    groups = [[row for row in comparison.rest if _is_distance(row, paper) is kind] for kind in (False, True)]
    own = "no cell of this experiment has its modality, label fraction, structure and metric"
    tables = [
        published_table(rows, [*names, *names.values()], [paper.plugin], {paper.comparable_to: reason})
        for rows, reason in zip(
            groups, (comparison.apart or own, comparison.apart or _UNCHECKED), strict=True
        )
    ]
    return replace(
        tables[0],
        name=f"{paper.run}_apart",
        title=f"{paper.title}: listed apart",
        rows=(*tables[0].rows, *tables[1].rows),
        notes=("Published on this dataset for methods of this table, and comparable with nothing in it.",),
    )


def _is_distance(row: Mapping[str, str], paper: Paper) -> bool:
    return row["comparable_to"] == paper.comparable_to and row["metric"] in ("hd95", "asd")


def _three(cell: Cell) -> tuple[str, str, str]:
    """Published, reproduced and difference as text."""
    published = (
        number(cell.published_percent, 2)
        if cell.published_status == "sourced"
        else cell.published_status or DASH
    )
    ours = mean_sd(cell.reproduced_percent, cell.reproduced_sd_percent, 2)
    reproduced = ours if cell.reproduced_status == "ok" else cell.reproduced_status
    gap = cell.difference
    return published, reproduced, f"{gap:+.2f}".replace("-", "−") if math.isfinite(gap) else DASH


def _told(tables: list[Table], comparison: Comparison) -> list[Table]:
    """The tables, the first one with all that must be known of the experiment."""
    if not tables:
        return []
    apart = (
        [f"Nothing published stands beside these numbers: {comparison.apart}."] if comparison.apart else []
    )
    about = (*apart, *comparison.paper.notes)
    return [replace(tables[0], notes=(*about, *tables[0].notes)), *tables[1:]]


def _rounded(mean: float) -> str:
    # a mean of four numbers with two digits may end in 5, which a float may miss by a hair
    return number(mean + 1e-9, 2)


def _lost(comparison: Comparison, fraction: float, context: Context) -> list[str]:
    """One sentence for each method that was skipped or lost runs."""
    means = comparison.find(label_fraction=fraction, structure=MEAN)
    failed = {
        f"Failed: {context.name(c.method, c.preset)}: {c.runs_failed} of {c.runs} runs, the rest counts"
        for c in means
        if 0 < c.runs_failed < c.runs
    }
    left = [f"Skipped: {context.name(m, p)}: {reason}" for (m, p), reason in comparison.skipped.items()]
    return [*sorted(failed), *left]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)


def _stem(fraction: float) -> str:
    return f"f{round(100 * fraction):03d}"
