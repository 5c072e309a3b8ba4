"""Splits that are written down: a CSV with one case a line, its patient and the part that it belongs to."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from parallax.errors import ConfigError
from parallax.plugin import plugin_root

COLUMNS = ("case", "patient", "part")
PARTS = ("train", "validation", "test")


def read_split_list(name: str) -> dict[str, Any]:
    """`train`, `validation`, `test` (ids) and `patients` (case to patient) of a list.

    Args:
        name: path of the CSV, from the current folder or from the checkout. Its columns are `case`, `patient`
            (empty: the case is a patient of its own) and `part` (train, validation or test).

    Raises:
        ConfigError: the file is absent, or a line is not as it should be; the line is named.
    """
    path = next((p for p in (Path(name), plugin_root() / name) if p.is_file()), None)
    if path is None:
        raise _error(name, f"a CSV under {Path.cwd()} or {plugin_root()}", "no such file")
    split: dict[str, Any] = {part: [] for part in PARTS} | {"patients": {}}
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise _error(name, f"columns {', '.join(COLUMNS)}", ", ".join(reader.fieldnames or ["none"]))
        for row in reader:
            case, part = str(row["case"]), row["part"]
            where = f"{name}, line {reader.line_num}"
            if part not in PARTS or not case:
                raise _error(where, f"a case and one of {', '.join(PARTS)}", f"{case!r}, {part!r}")
            if case in split["patients"]:
                raise _error(where, "each case once", f"{case} again")
            split[part].append(case)
            split["patients"][case] = row["patient"] or case
    return split


def _error(where: str, expected: str, found: str) -> ConfigError:
    return ConfigError(
        "A list of a split cannot be used",
        where=where,
        expected=expected,
        found=found,
        remedy="correct the list; config/splits/README.md shows its form",
    )
