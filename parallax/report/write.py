"""Build all tables of a run once, and write or print them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from parallax.claims.claim import read_claims
from parallax.claims.tables import claims_table
from parallax.claims.verdicts import Verdict, evidence_frame, judge, parts_frame
from parallax.data.files import write_text
from parallax.score.table import read_table
from parallax.tables.audit import audit_table
from parallax.tables.comparisons import Comparisons, compare, compared_frame, ranked_frame
from parallax.tables.layout import Context, Table, read_context
from parallax.tables.per_condition import (
    cost_of,
    excluded_table,
    full_tables,
    given_tables,
    main_tables,
    mean_costs,
    overview_tables,
    read_costs,
)
from parallax.tables.presets import compare_presets, preset_tables
from parallax.tables.published import published_table
from parallax.tables.render import print_tables, to_frame, to_latex, to_markdown
from parallax.tables.sourced import read_published
from parallax.tables.standing import decided_table, standing_tables
from parallax.tables.statistics_tables import comparison_tables, rank_tables
from parallax.tables.summary import Line, summarise, summarise_by_given, summarise_by_structure
from parallax.tables.trend_tables import trend_tables
from parallax.tables.trends import MethodTrend, trends
from parallax.tables.trends import to_frame as trend_frame


@dataclass(frozen=True)
class TableInputs:
    """Where the tables come from; all but the scores may be absent.

    `notes` holds the run's own notes and the datasets that are not ranked (`notes`, `unranked`).
    """

    scores: Path
    costs: Path | None = None
    splits: Path | None = None
    published: Path | None = None
    claims: Path | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tables:
    """Every table of a run, with the numbers behind them."""

    context: Context
    lines: list[Line]
    structure_lines: list[Line]
    costs: pd.DataFrame
    overview: list[Table]
    standing: list[Table]
    decided: Table
    audit: Table
    main: list[Table]
    full: list[Table]
    given_lines: list[Line]
    given: list[Table]
    excluded: Table
    published: Table
    comparisons: list[Comparisons]
    trends: list[MethodTrend]
    compared: list[Table]
    ranks: list[Table]
    trend: list[Table]
    presets_compared: list[Comparisons]
    presets: list[Table]
    verdicts: list[Verdict]
    claims: Table

    @property
    def statistics(self) -> list[Table]:
        """Comparisons, ranks and trends, dataset by dataset."""
        parts = [*self.compared, *self.ranks, *self.trend]
        return sorted(parts, key=lambda table: table.dataset)


def build(inputs: TableInputs) -> Tables:
    """All tables of a run."""
    # all that may be refused first, before any work
    scores, costs = read_table(inputs.scores), read_costs(inputs.costs)
    claimed = read_claims(inputs.claims) if inputs.claims else []
    published = read_published(inputs.published) if inputs.published else []
    context = read_context(inputs.splits, inputs.notes)
    lines, structure_lines = summarise(scores), summarise_by_structure(scores)
    given_lines = summarise_by_given(scores)
    verdicts = judge(claimed, scores, context)
    comparisons, found = compare(scores, context), trends(scores, context)
    presets = compare_presets(scores, context)
    methods = [*set(scores["method"]), *(context.title(name) for name in set(scores["method"]))]
    return Tables(
        context=context,
        lines=lines,
        structure_lines=structure_lines,
        costs=costs,
        overview=overview_tables(lines, scores, context),
        standing=standing_tables(lines, scores, comparisons, context),
        decided=decided_table(comparisons, lines, context),
        audit=audit_table(lines, presets, published, context),
        main=main_tables(lines, costs, context),
        full=full_tables(structure_lines, lines, context),
        given_lines=given_lines,
        given=given_tables(given_lines, lines, context),
        excluded=excluded_table(scores, context),
        published=published_table(published, methods, set(scores["dataset"])),
        comparisons=comparisons,
        trends=found,
        compared=comparison_tables(comparisons, lines, context),
        ranks=rank_tables(comparisons, lines, context),
        trend=trend_tables(found, lines, context),
        presets_compared=presets,
        presets=preset_tables(presets, lines, context),
        verdicts=verdicts,
        claims=claims_table(verdicts, context),
    )


def write_all(tables: Tables, folder: Path) -> None:
    """Write every group of tables as Markdown and LaTeX, and the numbers behind them as CSV.

    A group without tables is left out: `audit` where nothing was published or released, `given` where no
    modality was, `statistics` with a single method,
    `presets` where no method has several, `claims` without a file of claims.
    """
    groups = {
        "standing": ([*tables.standing, tables.decided], "Who holds up?"),
        "overview": (tables.overview, "Dice of every method at every condition"),
        "main": (tables.main, "Every method at every condition, with what it cost"),
        "full": (tables.full, "Every structure in every modality"),
        "statistics": (tables.statistics, "Which differences hold"),
        "presets": (tables.presets, "What each preset changes"),
        "audit": ([tables.audit] if tables.audit.rows else [], "Do releases do what their papers say?"),
        "claims": ([tables.claims] if tables.verdicts else [], "Claims of the literature"),
        "given": (tables.given, "What is left when modalities are missing"),
        "excluded": ([tables.excluded], "What was skipped and what failed"),
        "published": ([tables.published], "Published numbers"),
    }
    optional = ("audit", "claims", "given", "presets", "statistics")
    for name, (group, title) in groups.items():
        if name in optional and not group:
            continue
        write_text(to_markdown(group, title), folder / f"{name}.md")
        write_text(to_latex(group), folder / f"{name}.tex")
    _write_csv(_with_costs(tables), folder / "main.csv")
    _write_csv(to_frame(tables.structure_lines).drop(columns="available"), folder / "full.csv")
    if tables.given:
        _write_csv(to_frame(tables.given_lines).drop(columns="structure"), folder / "given.csv")
    if tables.statistics:
        _write_csv(compared_frame(tables.comparisons), folder / "statistics.csv")
        _write_csv(ranked_frame(tables.comparisons), folder / "ranks.csv")
    if tables.presets:
        _write_csv(compared_frame(tables.presets_compared), folder / "presets.csv")
    if tables.trend:
        _write_csv(trend_frame(tables.trends), folder / "trends.csv")
    if tables.verdicts:
        _write_csv(parts_frame(tables.verdicts), folder / "claims.csv")
        _write_csv(evidence_frame(tables.verdicts), folder / "claims_evidence.csv")
    for table in (tables.excluded, tables.published):
        _write_csv(pd.DataFrame(table.rows, columns=list(table.header)), folder / f"{table.name}.csv")


def print_overview(tables: Tables, width: int | None = None) -> None:
    """Print the overview to the terminal."""
    print_tables(tables.overview, width)


def _with_costs(tables: Tables) -> pd.DataFrame:
    frame = to_frame(tables.lines).drop(columns=["modality", "structure", "available"])
    by_cost = mean_costs(tables.costs)
    costs = pd.DataFrame([cost_of(line, by_cost) for line in tables.lines], index=frame.index)
    return pd.concat([frame, costs], axis=1)


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    write_text(frame.to_csv(index=False, lineterminator="\n"), path)
