"""Join runs of one configuration that several machines shared: their scores, costs, splits and manifests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from parallax.data.files import write_json
from parallax.errors import UserError
from parallax.exchange.finished import FinishedRun, new_folder, read_finished
from parallax.figures.gallery import Gallery
from parallax.plugin import plugin_root
from parallax.report.build import write_report
from parallax.report.write import TableInputs, build, write_all
from parallax.score.gather import in_table_order
from parallax.score.table import IDENTITY, read_rows, read_table, to_frame, write_parquet, write_rows
from parallax.tables.layout import read_context, run_notes

#: Parts of a configuration that say how something is done: two runs that both name it do it alike.
_NAMED = ("datasets", "misalignments", "annotations", "presets")
_ALIKE = ("budget", "reference", "test_modalities")
#: Parts that say how much is done: the merged run did all of it.
_JOINED = ("methods", "conditions", "seeds", "notes")


class MergeError(UserError):
    """Runs that do not belong together."""


def merge_runs(folders: Sequence[Path], out: Path) -> list[str]:
    """Write scores, costs, splits, tables, figures, report and manifest of all runs in `folders` into `out`.

    Runs belong together where everything that they share is the same: splits, digests of data and scans, code
    of methods, budget. Rows that two of them have must be equal. Pictures of cases are left out: they need
    images and predictions, which stay where they are.

    Returns:
        What differs and does no harm, one line each: versions, commits, machines.

    Raises:
        MergeError: the runs do not belong together.
    """
    runs = [read_finished(folder) for folder in folders]
    for first, second in combinations(runs, 2):
        for place in _contradictions(first.manifest, second.manifest):
            raise _apart(first, second, place)
    with new_folder(out) as folder:
        config = _joined_config([run.manifest["config"] for run in runs], out.name)
        _write_scores(runs, folder)
        _write_splits(runs, folder)
        write_json(_manifest(runs, config), folder / "manifest.json")
        _write_results(folder, config)
    return list(_harmless(runs))


def _contradictions(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    for part in ("splits", "inputs", "methods"):
        yield from (f"{part}, {name}" for name in _unlike(a.get(part, {}), b.get(part, {})))
    scans = [
        {name: sorted(of.values()) for name, of in m["scans"].items()} for m in (a, b)
    ]  # paths may differ
    yield from (f"scans of {name}" for name in _unlike(*scans))
    ours, theirs = a["config"], b["config"]
    for part in _NAMED:
        yield from (
            f"config, {part}, {name}" for name in _unlike(ours.get(part) or {}, theirs.get(part) or {})
        )
    yield from (f"config, {part}" for part in _ALIKE if ours.get(part) != theirs.get(part))


def _unlike(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    return (name for name in a if name in b and a[name] != b[name])


def _harmless(runs: Sequence[FinishedRun]) -> Iterator[str]:
    for part in ("commit", "lock_sha256", "machine", "versions"):
        values = [run.manifest.get(part) for run in runs]
        if any(value != values[0] for value in values):
            yield f"{part} differs: the manifest has that of each run"


def _joined_config(configs: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    joined: dict[str, Any] = {**configs[0], "run": name}
    for config in configs[1:]:
        for part in _JOINED:
            held = joined.get(part) or []
            joined[part] = [*held, *(value for value in config.get(part) or [] if value not in held)]
        for part in _NAMED:
            joined[part] = {**(joined.get(part) or {}), **(config.get(part) or {})}
        joined["label_draws"] = max(joined.get("label_draws", 1), config.get("label_draws", 1))
    return joined


def _write_scores(runs: Sequence[FinishedRun], folder: Path) -> None:
    rows: dict[tuple[str, ...], Any] = {}
    origin: dict[tuple[str, ...], FinishedRun] = {}
    for run in runs:
        for row in read_rows(run.folder / "scores.csv"):
            names = (*IDENTITY, "reason") if row.status == "skipped" else IDENTITY
            key = tuple(str(getattr(row, name)) for name in names)
            if key in rows and str(rows[key]) != str(row):  # as text, NaN is equal to itself
                raise _apart(origin[key], run, f"scores.csv, {'/'.join(filter(None, key))}")
            rows[key], origin[key] = row, run
    ordered = in_table_order(rows.values())
    write_parquet(to_frame(ordered), folder / "scores.parquet")
    write_rows(ordered, folder / "scores.csv")
    costs = pd.concat([pd.read_csv(run.folder / "costs.csv", dtype=str) for run in runs if _has_costs(run)])
    keys = [name for name in costs.columns if name in IDENTITY]
    costs.drop_duplicates(keys).sort_values(keys).to_csv(
        folder / "costs.csv", index=False, lineterminator="\n"
    )


def _has_costs(run: FinishedRun) -> bool:
    return (run.folder / "costs.csv").is_file()


def _write_splits(runs: Sequence[FinishedRun], folder: Path) -> None:
    for run in runs:
        if (run.folder / "splits").is_dir():
            shutil.copytree(run.folder / "splits", folder / "splits", dirs_exist_ok=True)


def _manifest(runs: Sequence[FinishedRun], config: Mapping[str, Any]) -> dict[str, Any]:
    """That of the first run with everything that the others add, and each of them as it was."""
    joined: dict[str, Any] = {**runs[0].manifest, "run": config["run"], "config": config}
    for part in ("splits", "inputs", "methods", "scans", "checkpoints"):
        joined[part] = {name: value for run in runs for name, value in run.manifest.get(part, {}).items()}
    return joined | {"merged": [run.manifest for run in runs]}


def _write_results(folder: Path, config: Mapping[str, Any]) -> None:
    published, claims = plugin_root() / "results" / "published.csv", plugin_root() / "claims.yaml"
    scores, notes = folder / "scores.parquet", run_notes(config)
    inputs = TableInputs(scores, folder / "costs.csv", folder / "splits", published, claims, notes)
    write_all(build(inputs), folder / "tables")
    Gallery(folder, read_table(scores), read_context(notes=notes)).save(folder / "figures")
    write_report(folder, folder / "report" / "index.html", published, None, claims)


def _apart(first: FinishedRun, second: FinishedRun, place: str) -> MergeError:
    return MergeError(
        "These runs do not belong together",
        where=f"{first.folder} and {second.folder}: {place}",
        expected="the same in both",
        found="two values",
        remedy=f"run one of them again from the same commit, data and configuration; parallax diff"
        f" {first.folder} {second.folder} shows all that differs",
    )
