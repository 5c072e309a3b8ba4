"""Published numbers, listed apart from ours with the reason why they may not stand in one table."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from parallax.errors import DataError
from parallax.score.layout import Table

#: Columns of results/published.csv.
PUBLISHED_COLUMNS = (
    "method",
    "dataset",
    "setting",
    "modality",
    "label_fraction",
    "structure",
    "metric",
    "value",
    "unit",
    "source",
    "evidence",
    "comparable_to",
)

_EVIDENCE = {
    "readme": "authors' repository",
    "paper_abstract": "paper, abstract",
    "third_party_table": "table of a third party",
    "secondary_summary": "secondary summary; not citable as the paper's value",
    "issue": "report of a user",
}


def read_published(path: Path) -> list[dict[str, str]]:
    """Rows of the published numbers. Raises `DataError` where the columns are others."""
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != PUBLISHED_COLUMNS:
            raise DataError(
                "the published numbers have other columns",
                where=path.as_posix(),
                expected=", ".join(PUBLISHED_COLUMNS),
                found=", ".join(reader.fieldnames or ()) or "nothing",
                remedy="restore the file from the repository",
            )
        return list(reader)


def published_table(
    published: Collection[Mapping[str, str]], methods: Collection[str], datasets: Collection[str]
) -> Table:
    """The published numbers of the methods of a run, and why none of them stands beside ours."""
    wanted = {_plain(name) for name in methods}
    rows = [_row(entry, datasets) for entry in published if _plain(entry["method"].split("(")[0]) in wanted]
    header = ("Method", "Dataset", "Setting", "Modality", "Labels", "Structure", "Metric", "Value", "Source",
              "Evidence", "Why apart")  # fmt: skip
    notes = (
        "These numbers were published by others on other data, splits or settings. None is comparable with "
        "the tables of this run, and numbers on phantoms never are.",
    )
    return Table("published", "Published numbers, for context only", header, tuple(rows), notes)


def _row(entry: Mapping[str, str], datasets: Collection[str]) -> tuple[str, ...]:
    # The source names no unit for some values; then none is printed.
    unit = "" if entry["unit"] in ("", "not stated", "fraction") else f" {entry['unit']}"
    kept = ("method", "dataset", "setting", "modality", "label_fraction", "structure", "metric")
    evidence = _EVIDENCE.get(entry["evidence"], entry["evidence"])
    cells = [entry[name] for name in kept]
    return (*cells, f"{entry['value']}{unit}", entry["source"], evidence, _why_apart(entry, datasets))


def _why_apart(entry: Mapping[str, str], datasets: Collection[str]) -> str:
    key = entry["comparable_to"]
    if key.startswith("none"):
        return key.removeprefix("none").lstrip(": ") or "stands alone"
    same = [name for name in datasets if _plain(entry["dataset"]).startswith(_plain(name))]
    if not same:
        return "another dataset than those of this run"
    return f"another split and setting ({key})"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
