"""The report: one page that holds its figures, asks no network and opens on a phone."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from parallax.data.files import write_text
from parallax.data.repairs import count_repairs
from parallax.report.page import asset, policy, template
from parallax.report.run_facts import facts_table
from parallax.report.write import TableInputs, Tables, build
from parallax.score.metrics import EMPTY_RULE_TEXT
from parallax.tables.layout import Table, common_notes, label, run_notes
from parallax.tables.summary import CONDITION


@dataclass(frozen=True)
class Picture:
    """A figure inside the page: PNG as a data URI, its caption, and the file that it came from."""

    name: str
    uri: str
    caption: str


@dataclass(frozen=True)
class Section:
    """What the page says of one dataset."""

    dataset: str
    pairing: str
    pictures: list[Picture]
    charts: list[Picture]
    main: list[Table]
    main_notes: tuple[str, ...]
    full: list[Table]
    given: list[Table]
    compared: list[Table]
    compared_notes: tuple[str, ...]
    ranks: list[Table]


def build_report(
    run_dir: Path,
    published: Path | None = None,
    manifest: Path | None = None,
    claims: Path | None = None,
) -> str:
    """The page as HTML, from the tables, figures and manifest of a finished run.

    Args:
        run_dir: `results/<run>` with scores.parquet, costs.csv, figures/ and (optional) manifest.json.
        published: published.csv; None leaves published numbers out.
        manifest: default `manifest.json` of the run.
        claims: claims.yaml; None leaves claims out.
    """
    values = _read_json(manifest or run_dir / "manifest.json")
    config: Mapping[str, Any] = values.get("config") or {}
    tables = build(_inputs(run_dir, config, published, claims))
    pictures = read_pictures(run_dir / "figures")
    viewer = (run_dir / "report" / "viewer" / "index.html").is_file()  # a merged run has none
    shared, overview = common_notes(tables.overview)
    presets_notes, presets = common_notes(tables.presets)
    script = asset("report.js")
    return template("report.html.j2").render(
        style=asset("style.css"),
        script=script,
        policy=policy(script),
        viewer=viewer,
        cases=case_links(tables) if viewer else {},
        library=_library(),
        title=str(config.get("title") or config.get("run") or run_dir.name),
        run=str(config.get("run") or run_dir.name),
        facts=_facts(tables),
        notes=tables.context.notes,
        tables=tables,
        overview=overview,
        overview_notes=shared,
        presets=presets,
        presets_notes=presets_notes,
        curves=[p for p in pictures if p.name.startswith("dice_by_")],
        spent=[p for p in pictures if p.name == "costs"],
        sections=_sections(tables, pictures),
        costs=_cost_table(tables),
        repairs=_repair_table(run_dir),
        made=facts_table(tables, values),
        rule=EMPTY_RULE_TEXT,
        manifest=json.dumps(values, indent=1, ensure_ascii=False) if values else "",
    )


def write_report(
    run_dir: Path,
    out: Path,
    published: Path | None = None,
    manifest: Path | None = None,
    claims: Path | None = None,
) -> None:
    """Write the page, all of it or nothing."""
    write_text(build_report(run_dir, published, manifest, claims), out)


def read_pictures(folder: Path) -> list[Picture]:
    """All figures of a folder that have a caption, as data URIs."""
    return [
        Picture(name, _data_uri(folder / f"{name}.png"), caption)
        for name, caption in _read_json(folder / "captions.json").items()
    ]


def _inputs(
    run_dir: Path, config: Mapping[str, Any], published: Path | None, claims: Path | None
) -> TableInputs:
    costs = run_dir / "costs.csv"
    return TableInputs(
        scores=run_dir / "scores.parquet",
        costs=costs if costs.exists() else None,
        splits=run_dir / "splits",
        published=published,
        claims=claims,
        notes=run_notes(config),
    )


def _sections(tables: Tables, pictures: list[Picture]) -> list[Section]:
    sections = []
    for dataset in dict.fromkeys(line.dataset for line in tables.lines):
        shared, main = common_notes([table for table in tables.main if table.dataset == dataset])
        told, compared = common_notes([table for table in tables.compared if table.dataset == dataset])
        pairing = next(line.pairing for line in tables.lines if line.dataset == dataset)
        sections.append(
            Section(
                dataset,
                pairing.replace("_", " "),
                [picture for picture in pictures if picture.name == f"case_{dataset}"],
                [p for p in pictures if p.name in (f"differences_{dataset}", f"given_{dataset}")],
                main,
                shared,
                [table for table in tables.full if table.dataset == dataset],
                [table for table in tables.given if table.dataset == dataset],
                compared,
                told,
                [table for table in (*tables.ranks, *tables.trend) if table.dataset == dataset],
            )
        )
    return sections


def case_links(tables: Tables) -> dict[tuple[str, str], dict[str, str]]:
    """By dataset and name of a method, what the viewer is asked for to open at its worst case."""
    lines = [line for line in tables.lines if line.method not in tables.context.controls]
    return {
        (line.dataset, label(line, tables.context)): {
            "dataset": line.dataset,
            "first": f"{line.method}:{line.preset}",
        }
        for line in lines
        if math.isfinite(line.dice_mean)
    }


def _facts(tables: Tables) -> list[tuple[str, str]]:
    """The run in a few words and numbers."""
    lines = tables.lines
    return [
        ("Datasets", str(len({line.dataset for line in lines}))),
        ("Conditions", str(len({tuple(getattr(x, name) for name in CONDITION) for x in lines}))),
        ("Runs", str(sum(line.runs for line in lines))),
        ("Runs that failed", str(sum(line.runs_failed for line in lines))),
        ("Skipped", str(sum(row[0] == "skipped" for row in tables.excluded.rows))),
    ]


def _cost_table(tables: Tables) -> Table:
    """Cost of each training run as it was measured."""
    costs = tables.costs
    names = [name for name in costs.columns if name not in ("pretraining", "checkpoint_rule", "adapter")]
    rows = [tuple(_plain(value) for value in row) for row in costs[names].itertuples(index=False)]
    return Table("costs", "Cost of every run", tuple(name.replace("_", " ") for name in names), tuple(rows))


def _repair_table(run_dir: Path) -> Table:
    """What reading changed of the files of a dataset; no rows where all scans were as they should be."""
    rows = tuple((*key, str(n)) for key, n in count_repairs(run_dir).items())
    return Table("repairs", "Repairs of the scans", ("dataset", "repair", "cases"), rows)


def _plain(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _library() -> str:
    """JSON with DataTables as a module, out of the package itables: nothing is fetched."""
    source = files("itables").joinpath("html", "dt_bundle.js").read_bytes()
    return json.dumps({"module": "data:text/javascript;base64," + base64.b64encode(source).decode("ascii")})


def _read_json(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return values


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
