"""An experiment of a publication and the run that repeats it: published values beside reproduced ones."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from parallax.tables.layout import Context, percent
from parallax.tables.sourced import NOT_SOURCED, is_reason, plain
from parallax.tables.summary import Line, skipped, summarise_by_structure

#: The structure that stands for the mean of those that a publication reports.
MEAN = "mean"

NOT_RUN = "not run"
APART = "listed apart"

Published = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Paper:
    """An experiment of a publication as a configuration states it; `parallax.run.experiment` has the words.

    `dataset` is empty where a run is set beside nothing (phantoms), `plugin` reads it; `conditions` are
    (label fraction, misalignment), `methods` are (method, preset).
    """

    run: str
    title: str
    comparable_to: str
    dataset: str
    plugin: str
    modalities: Mapping[str, str]
    structures: tuple[str, ...]
    test_cases: int | None
    notes: tuple[str, ...]
    datasets: tuple[str, ...]
    conditions: tuple[tuple[float, str], ...]
    methods: tuple[tuple[str, str], ...]

    @property
    def fractions(self) -> tuple[float, ...]:
        """Label fractions without misalignment, ascending."""
        return tuple(sorted({fraction for fraction, moved in self.conditions if moved == "aligned"}))


@dataclass(frozen=True)
class Cell:
    """One place of a table: a published Dice and ours, in percent (NaN where there is none).

    `published_status` is `sourced`, `not sourced`, `listed apart` or empty (controls: nobody publishes them);
    `reproduced_status` is `ok`, `not run`, `skipped` or `failed`.
    """

    experiment: str
    comparable_to: str
    method: str
    preset: str
    label_fraction: float
    modality: str
    structure: str
    published_percent: float
    published_status: str
    source: str
    evidence: str
    reproduced_percent: float
    reproduced_sd_percent: float
    cases: int
    runs: int
    runs_failed: int
    reproduced_status: str
    hd95_median_mm: float
    assd_found_mean_mm: float

    @property
    def difference(self) -> float:
        """Reproduced minus published, in Dice points; NaN where one of them is missing."""
        return self.reproduced_percent - self.published_percent


@dataclass(frozen=True)
class Comparison:
    """All cells of an experiment; `apart` says why nothing is compared, or is empty."""

    paper: Paper
    cells: tuple[Cell, ...]
    apart: str
    skipped: Mapping[tuple[str, str], str]
    rest: Published

    def find(self, **wanted: object) -> list[Cell]:
        """Cells with these values."""
        return [c for c in self.cells if all(getattr(c, name) == value for name, value in wanted.items())]


def compare(
    paper: Paper, published: Published, scores: pd.DataFrame | None, context: Context, stale: str = ""
) -> Comparison:
    """Every cell of an experiment, and the published numbers of its dataset that are in none.

    Args:
        paper: the experiment.
        published: rows of results/published.csv.
        scores: the tidy table of the run; None where it was not run.
        context: titles of the methods and which of them are controls.
        stale: why the run is not the one that the configuration states; empty where it is.
    """
    apart = stale or _why_apart(paper, scores)
    known = {} if is_reason(paper.comparable_to) else _numbers(paper, published)
    lines = _lines(paper, scores)
    left = _skips(paper, scores)
    cells, used = [], set()
    for fraction, (method, preset), modality, structure in _places(paper):
        place = (plain(context.title(method)), percent(fraction), modality, structure)
        row = known.get(place, known.get((plain(method), *place[1:])))
        if row is not None and not apart:
            used.add(id(row))
        status = "" if method in context.controls else APART if row and apart else _status(row)
        line = lines.get((method, preset, fraction, modality, structure))
        ours = "skipped" if (method, preset) in left else line.status if line else NOT_RUN
        about = (paper.run, paper.comparable_to, method, preset, fraction, modality, structure)
        cells.append(_cell(about, None if apart else row, status, line, ours))
    rest = [row for row in published if id(row) not in used and _of_dataset(row, paper)]
    return Comparison(paper, tuple(cells), apart, left, rest)


def organ_mean(cells: Sequence[Cell]) -> float:
    """Mean of the published structures (not a published number); NaN where one is missing."""
    values = [cell.published_percent for cell in cells if cell.structure != MEAN]
    return sum(values) / len(values) if values else math.nan


def to_frame(comparison: Comparison) -> pd.DataFrame:
    """The cells, unrounded, for CSV."""
    rows = [asdict(cell) | {"difference_points": cell.difference} for cell in comparison.cells]
    return pd.DataFrame(rows, columns=[*Cell.__dataclass_fields__, "difference_points"])


def _places(paper: Paper) -> Iterator[tuple[float, tuple[str, str], str, str]]:
    for fraction in paper.fractions:
        for method in paper.methods:
            for modality in paper.modalities:
                for structure in (MEAN, *paper.structures):
                    yield fraction, method, modality, structure


def _numbers(paper: Paper, published: Published) -> dict[tuple[str, str, str, str], Mapping[str, str]]:
    """Published Dice of the group by method, label fraction, modality and structure as the run calls them."""
    modalities = {theirs: ours for ours, theirs in paper.modalities.items()}
    structures = {plain(name): name for name in paper.structures}
    found = {}
    for row in published:
        if row["comparable_to"] != paper.comparable_to or row["metric"] != "mean_dice":
            continue
        mean = _is_mean(row["structure"], paper.structures)
        structure = MEAN if mean else structures.get(plain(row["structure"]))
        modality = modalities.get(row["modality"])
        if structure and modality:
            labels = row["label_fraction"].replace("%", " %")
            found[plain(row["method"].split("(")[0]), labels, modality, structure] = row
    return found


def _is_mean(text: str, structures: Sequence[str]) -> bool:
    """Whether a published structure is the mean of exactly these: `mean of a, b, c (as stated)`."""
    match = re.fullmatch(r"mean of (.*?)( \(.*\))?", text)
    return match is not None and {plain(n) for n in match[1].split(",")} == {plain(n) for n in structures}


def _lines(paper: Paper, scores: pd.DataFrame | None) -> dict[tuple[str, str, float, str, str], Line]:
    if scores is None:
        return {}
    own = scores[(scores.dataset == paper.dataset) & (scores.misalignment == "aligned")]
    own = own[(own.annotation == "full") & own.structure.isin(paper.structures)]
    lines = [*summarise_by_structure(own), *summarise_by_structure(own.assign(structure=MEAN))]
    return {(n.method, n.preset, n.label_fraction, n.modality, n.structure): n for n in lines}


def _skips(paper: Paper, scores: pd.DataFrame | None) -> dict[tuple[str, str], str]:
    if scores is None:
        return {}
    rows = skipped(scores)
    rows = rows[(rows.dataset == paper.dataset) & rows.misalignment.isin(["aligned", ""])]
    return {(str(row.method), str(row.preset)): str(row.reason) for row in rows.itertuples()}


def _why_apart(paper: Paper, scores: pd.DataFrame | None) -> str:
    if is_reason(paper.comparable_to):
        return paper.comparable_to.removeprefix("none: ")
    if scores is None or paper.test_cases is None:
        return ""
    own = scores[(scores.dataset == paper.dataset) & (scores.status != "skipped")]
    counts = own.groupby("modality")["case"].nunique()
    wrong = [
        f"{counts.get(name, 0)} in {name}"
        for name in paper.modalities
        if counts.get(name, 0) != paper.test_cases
    ]
    return (
        f"{paper.test_cases} test cases per modality were published, this run has {', '.join(wrong)}"
        if wrong
        else ""
    )


def _status(row: Mapping[str, str] | None) -> str:
    return NOT_SOURCED if row is None or row["value"] == NOT_SOURCED else "sourced"


def _cell(
    about: tuple[str, str, str, str, float, str, str],
    row: Mapping[str, str] | None,
    status: str,
    line: Line | None,
    ours: str,
) -> Cell:
    value = float(row["value"]) if row and status == "sourced" else math.nan
    return Cell(
        *about,
        published_percent=100 * value if row and row["unit"] == "fraction" else value,
        published_status=status,
        source=row["source"] if row else "",
        evidence=row["evidence"] if row else "",
        reproduced_percent=100 * line.dice_mean if line else math.nan,
        reproduced_sd_percent=100 * line.dice_sd_cases if line else math.nan,
        cases=line.cases if line else 0,
        runs=line.runs if line else 0,
        runs_failed=line.runs_failed if line else 0,
        reproduced_status=ours,
        hd95_median_mm=line.hd95_median_mm if line else math.nan,
        assd_found_mean_mm=line.assd_found_mean_mm if line else math.nan,
    )


def _of_dataset(row: Mapping[str, str], paper: Paper) -> bool:
    return bool(paper.dataset) and plain(row["dataset"]).startswith(plain(paper.plugin))
