"""Numbers that others published: the file results/published.csv, every row checked when it is read."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from parallax.data.given import csv_reader
from parallax.errors import DataError

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

#: Kinds of evidence, and how tables call them.
EVIDENCE: Mapping[str, str] = {
    "readme": "authors' repository",
    "paper_abstract": "paper, abstract",
    "third_party_table": "table of a third party",
    "secondary_summary": "secondary summary; not citable as the paper's value",
    "issue": "report of a user",
}

#: Stands in a cell whose number nobody could trace to a source.
NOT_SOURCED = "not sourced"

#: Units of values; `not stated` where the source names none.
UNITS = ("%", "fraction", "Dice points", "mm", "GB", "GiB", "A100 hours", "not stated")

_KEY = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
_NONE = re.compile(r"none: \S.*")
#: What makes two rows the same number of the same source.
_IDENTITY = ("method", "dataset", "setting", "modality", "label_fraction", "structure", "metric", "source")


def read_published(path: Path) -> list[dict[str, str]]:
    """Rows of the published numbers, checked cell by cell.

    Raises:
        DataError: other columns, or a row (its number is named) without source, evidence or comparability,
            with a value that is neither a number nor `not sourced`, or that is there twice.
    """
    with csv_reader(path) as reader:
        header = tuple(next(reader, ()))
        if header != PUBLISHED_COLUMNS:
            found = ", ".join(header) or "nothing"
            raise _error("have other columns", path.as_posix(), ", ".join(PUBLISHED_COLUMNS), found)
        rows = [_row(cells, f"{path.as_posix()}, row {reader.line_num}") for cells in reader]
    _check_once(rows, path)
    return rows


def comparable_keys(published: Iterable[Mapping[str, str]]) -> list[str]:
    """Every group of numbers that may stand in one table, sorted."""
    return sorted({row["comparable_to"] for row in published if not is_reason(row["comparable_to"])})


def is_reason(key: str) -> bool:
    """Whether a `comparable_to` says why a number stands alone: `none: reason`."""
    return _NONE.fullmatch(key) is not None


def plain(name: str) -> str:
    """A name without case, spaces and punctuation, as names are compared."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _row(cells: Sequence[str], where: str) -> dict[str, str]:
    if len(cells) != len(PUBLISHED_COLUMNS):
        raise _row_error(where, f"{len(PUBLISHED_COLUMNS)} cells", f"{len(cells)} cells")
    row = dict(zip(PUBLISHED_COLUMNS, cells, strict=True))
    for name, cell in row.items():
        if not cell or cell != cell.strip():
            raise _row_error(where, f"{name}: a text without spaces around it, never empty", repr(cell))
    _check_word(row, "evidence", EVIDENCE, where)
    _check_word(row, "unit", UNITS, where)
    if not (_is_number(row["value"]) or row["value"] == NOT_SOURCED):
        raise _row_error(where, f"value: a number, or {NOT_SOURCED}", row["value"])
    key = row["comparable_to"]
    if not (is_reason(key) or (_KEY.fullmatch(key) and key != "none")):
        expected = "comparable_to: a key of lower-case words joined by _, or `none: reason`"
        raise _row_error(where, expected, key)
    return row


def _check_word(row: Mapping[str, str], name: str, known: Collection[str], where: str) -> None:
    if row[name] not in known:
        raise _row_error(where, f"{name}: one of {', '.join(known)}", row[name])


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _check_once(rows: Sequence[Mapping[str, str]], path: Path) -> None:
    first: dict[tuple[str, ...], int] = {}
    for number, row in enumerate(rows, start=2):
        other = first.setdefault(tuple(row[name] for name in _IDENTITY), number)
        if other != number:
            raise _row_error(f"{path.as_posix()}, row {number}", "each number once", f"row {other} again")


def _row_error(where: str, expected: str, found: str) -> DataError:
    return _error("hold a row that cannot be used", where, expected, found)


def _error(what: str, where: str, expected: str, found: str) -> DataError:
    remedy = "correct it, or restore the file from the repository"
    return DataError(
        f"The published numbers {what}", where=where, expected=expected, found=found, remedy=remedy
    )
