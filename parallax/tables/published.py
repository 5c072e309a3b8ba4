"""Published numbers, listed apart from ours with the reason why they may not stand in one table."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from parallax.tables.layout import Table
from parallax.tables.sourced import EVIDENCE, is_reason, plain


def published_table(
    published: Collection[Mapping[str, str]],
    methods: Collection[str],
    datasets: Collection[str],
    reasons: Mapping[str, str] | None = None,
) -> Table:
    """The published numbers of the methods of a run, and why none of them stands beside ours.

    `reasons` gives, by `comparable_to`, a reason that is known better than from the names of the datasets.
    """
    wanted = {plain(name) for name in methods}
    known = reasons or {}
    rows = [
        _row(entry, known.get(entry["comparable_to"]) or _why_apart(entry, datasets))
        for entry in published
        if plain(entry["method"].split("(")[0]) in wanted
    ]
    header = ("Method", "Dataset", "Setting", "Modality", "Labels", "Structure", "Metric", "Value", "Source",
              "Evidence", "Why apart")  # fmt: skip
    notes = (
        "These numbers were published by others on other data, splits or settings. None is comparable with "
        "the tables of this run, and numbers on phantoms never are.",
    )
    return Table("published", "Published numbers, for context only", header, tuple(rows), notes, text=True)


def _row(entry: Mapping[str, str], why_apart: str) -> tuple[str, ...]:
    # The source names no unit for some values; then none is printed.
    unit = "" if entry["unit"] in ("", "not stated", "fraction") else f" {entry['unit']}"
    kept = ("method", "dataset", "setting", "modality", "label_fraction", "structure", "metric")
    evidence = EVIDENCE.get(entry["evidence"], entry["evidence"])
    cells = [entry[name] for name in kept]
    return (*cells, f"{entry['value']}{unit}", entry["source"], evidence, why_apart)


def _why_apart(entry: Mapping[str, str], datasets: Collection[str]) -> str:
    key = entry["comparable_to"]
    if is_reason(key):
        return key.removeprefix("none: ")
    same = [name for name in datasets if plain(entry["dataset"]).startswith(plain(name))]
    if not same:
        return "another dataset than those of this run"
    return f"another split and setting ({key})"
