"""The experiments under config/paper, the runs that repeat them, and the tables of whatever has been run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from parallax.errors import DataError
from parallax.plugin import plugin_root
from parallax.run.config import RunConfig
from parallax.run.experiment import PUBLISHED
from parallax.run.plan import expand_methods
from parallax.run.resolve import resolve
from parallax.run.setup import cards_of
from parallax.tables.sourced import read_published

if TYPE_CHECKING:
    import pandas as pd

    from parallax.tables.beside import Comparison, Paper
    from parallax.tables.layout import Context, Table

#: What a run may have otherwise than its configuration says and still be the same experiment.
_FREE = ("data", "title", "notes", "experiment", "methods")


@dataclass(frozen=True)
class Page:
    """The tables of one experiment, and those of them that the terminal shows."""

    comparison: Comparison
    ran: bool
    tables: list[Table]
    shown: list[Table]
    frame: pd.DataFrame


def experiments(configfile: Path | None = None) -> list[RunConfig]:
    """Configurations under config/paper that state an experiment, and `configfile` where it is another one.

    Raises `ConfigError` for a configuration that cannot be used.
    """
    paths = sorted((plugin_root() / "config" / "paper").glob("*.yaml"))
    found = [resolve(_values(path), path) for path in paths]
    if configfile is not None and configfile.resolve() not in [path.resolve() for path in paths]:
        found.append(resolve(_values(configfile), configfile))
    return [config for config in found if config.experiment is not None]


def make_pages(configs: Iterable[RunConfig], results: Path) -> list[Page]:
    """The tables of every experiment from what lies under `results`; nothing is run for them.

    Raises:
        DataError: a table of scores cannot be read, or a control of its run lies outside its band.
    """
    from parallax.tables.layout import read_context

    published = read_published(plugin_root() / PUBLISHED)
    return [_page(config, published, results, read_context()) for config in configs]


def write_pages(pages: Iterable[Page], folder: Path) -> None:
    """Write each experiment as Markdown, LaTeX and CSV (every cell, unrounded)."""
    from parallax.data.files import write_text
    from parallax.tables.render import to_latex, to_markdown

    for page in pages:
        paper = page.comparison.paper
        write_text(to_markdown(page.tables, paper.title), folder / f"{paper.run}.md")
        write_text(to_latex(page.tables), folder / f"{paper.run}.tex")
        text = page.frame.to_csv(index=False, lineterminator="\n")
        write_text(text, folder / f"{paper.run}.csv")


def _values(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values


def _page(config: RunConfig, published: list[dict[str, str]], results: Path, context: Context) -> Page:
    from parallax.tables.beside import compare, to_frame
    from parallax.tables.paper_tables import compared_tables, grid_frame, grid_tables, paper_tables

    paper, folder = make_paper(config), results / config.run
    scores = _scores(folder)
    ran = scores is not None
    comparison = compare(paper, published, scores, context, _stale(config, folder) if ran else "")
    if not paper.dataset:
        tables, frame = grid_tables(comparison, scores, context), grid_frame(comparison, scores)
        return Page(comparison, ran, tables, [], frame)
    shown = compared_tables(comparison, context)
    return Page(comparison, ran, paper_tables(comparison, context), shown, to_frame(comparison))


def make_paper(config: RunConfig) -> Paper:
    """The experiment of a configuration that states one."""
    from parallax.tables.beside import Paper

    experiment = config.experiment
    assert experiment is not None
    dataset = experiment.dataset or ""
    pairs = expand_methods(config.methods, cards_of(config))
    return Paper(
        run=config.run,
        title=config.title or config.run,
        comparable_to=experiment.comparable_to,
        dataset=dataset,
        plugin=(config.datasets[dataset].plugin or dataset) if dataset else "",
        modalities=experiment.modalities,
        structures=tuple(experiment.structures),
        test_cases=experiment.test_cases,
        notes=(*experiment.notes, *config.notes),
        datasets=tuple(config.datasets),
        conditions=tuple((f, moved) for c in config.conditions for moved in c.misalignment for f in c.labels),
        methods=tuple((card.name, preset) for card, preset in pairs),
    )


def _scores(folder: Path) -> pd.DataFrame | None:
    """The scores of a run, once its controls are found in their bands; None where it was not run."""
    from parallax.score.table import read_table
    from parallax.tables.controls import check_controls, read_overlap

    path = folder / "scores.parquet"
    if not path.is_file():
        return None
    scores = read_table(path)
    try:
        check_controls(scores, read_overlap(folder / "splits"))
    except DataError as error:
        raise error.within(folder.as_posix()) from error
    return scores


def _stale(config: RunConfig, folder: Path) -> str:
    """Why the run in `folder` is not the one that the configuration states; empty where it is."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return "the run has no manifest.json that says how it was made (target `all` writes it)"
    was = json.loads(manifest.read_text(encoding="utf-8"))["config"]
    now = json.loads(config.model_dump_json(exclude_none=True))
    other = sorted(key for key in {*was, *now} - set(_FREE) if was.get(key) != now.get(key))
    return f"the run was made with another {', '.join(other)} than its configuration has now" if other else ""
