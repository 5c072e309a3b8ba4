"""Splits that are written down: a CSV with one case a line, its patient and the part that it belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parallax.data.given import csv_reader
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
    with csv_reader(path) as reader:
        header = next(reader, ["none"])
        if tuple(header) != COLUMNS:
            raise _error(name, f"columns {', '.join(COLUMNS)}", ", ".join(header))
        for cells in filter(None, reader):
            where = f"{name}, line {reader.line_num}"
            if len(cells) != len(COLUMNS) or cells[2] not in PARTS or not cells[0]:
                raise _error(
                    where, f"a case, its patient and one of {', '.join(PARTS)}", ", ".join(map(repr, cells))
                )
            case, patient, part = cells
            if case in split["patients"]:
                raise _error(where, "each case once", f"{case} again")
            split[part].append(case)
            split["patients"][case] = patient or case
    return split


def _error(where: str, expected: str, found: str) -> ConfigError:
    return ConfigError(
        "A list of a split cannot be used",
        where=where,
        expected=expected,
        found=found,
        remedy="correct the list; config/splits/README.md shows its form",
    )
