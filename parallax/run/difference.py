"""How two runs differ: their scores row by row, and what their manifests say about why."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from parallax.errors import DataError, counted
from parallax.score.table import COLUMNS, IDENTITY, VALUED, Row, read_rows

#: Metrics that a tolerance is for: shares of 1, which mean the same for every structure.
SHARES = ("dice", "nsd", "dice_ceiling")
#: Parts of a manifest in which runs may differ without being another run.
_MEASURED = ("scores_sha256", "run")
_Key = tuple[Any, ...]


@dataclass(frozen=True)
class RowDifference:
    """A row that differs: where it stands, in which columns, and by how much its value (0: not in value)."""

    row: Row
    columns: tuple[str, ...]
    apart: float


@dataclass(frozen=True)
class Difference:
    """What `compare_runs` found.

    Attributes:
        rows: number of rows that both runs have.
        differing: rows that both have and that are not the same within the tolerance.
        only: rows of the first run alone, and of the second alone.
        largest: largest difference of values by metric, whatever was tolerated.
        causes: key of the manifests to its value in the first and the second run, where they differ.
    """

    rows: int
    differing: tuple[RowDifference, ...]
    only: tuple[tuple[Row, ...], tuple[Row, ...]]
    largest: Mapping[str, float]
    causes: Mapping[str, tuple[Any, Any]]

    @property
    def same(self) -> bool:
        """Whether the scores are the same; manifests do not count."""
        return not self.differing and not any(self.only)


def compare_runs(first: Path, second: Path, tolerance: float = 0.0) -> Difference:
    """Compare `scores.csv` and `manifest.json` of two folders of results.

    Args:
        first: `results/<run>`.
        second: another one.
        tolerance: 0 asks for equal rows in all columns, values bit for bit. Above 0 the values of `SHARES`
            may differ by this much and nothing else of a row that has a value decides: a structure missed on
            one machine alone has a Dice of 0 there, and the diagonal of the image in place of a distance.

    Raises:
        DataError: a folder holds no scores.
    """
    ours, theirs = (_rows(folder) for folder in (first, second))
    both = [(row, theirs[key]) for key, row in ours.items() if key in theirs]
    largest: dict[str, float] = {}
    for a, b in both:
        largest[a.metric] = max(largest.get(a.metric, 0.0), _apart(a, b))
    return Difference(
        len(both),
        tuple(found for a, b in both if (found := _difference(a, b, tolerance))),
        (_missing(ours, theirs), _missing(theirs, ours)),
        {metric: apart for metric, apart in largest.items() if apart},
        manifest_differences(_manifest(first), _manifest(second)),
    )


def manifest_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Keys such as `versions.torch` whose values differ; None stands for a key that is absent.

    Scans are compared by content: the files of each dataset and the SHA-256 over their digests, as the same
    scans lie elsewhere on another machine.
    """
    ours, theirs = (dict(_flat({**values, "scans": _contents(values)})) for values in (a, b))
    keys = [key for key in {**ours, **theirs} if key.split(".")[0] not in _MEASURED and key != "config.run"]
    return {key: (ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)}


def _contents(manifest: Mapping[str, Any]) -> dict[str, str]:
    scans = {name: sorted(files.values()) for name, files in manifest.get("scans", {}).items() if files}
    return {
        name: f"{counted(len(digests), 'file')}, {sha256(''.join(digests).encode()).hexdigest()[:16]}"
        for name, digests in scans.items()
    }


def _flat(values: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _difference(a: Row, b: Row, tolerance: float) -> RowDifference | None:
    columns = tuple(name for name in COLUMNS if not _equal(getattr(a, name), getattr(b, name)))
    apart = _apart(a, b)
    valued = a.status in VALUED and b.status in VALUED
    if not columns or (tolerance and valued and (apart <= tolerance or a.metric not in SHARES)):
        return None
    return RowDifference(a, columns, apart)


def _apart(a: Row, b: Row) -> float:
    return abs(a.value - b.value) if math.isfinite(a.value) and math.isfinite(b.value) else 0.0


def _equal(a: Any, b: Any) -> bool:
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def _missing(ours: Mapping[_Key, Row], theirs: Mapping[_Key, Row]) -> tuple[Row, ...]:
    return tuple(row for key, row in ours.items() if key not in theirs)


def _rows(folder: Path) -> dict[_Key, Row]:
    path = folder / "scores.csv"
    if not path.is_file():
        raise DataError(
            "There is no run to compare",
            where=folder.as_posix(),
            expected="a folder that holds scores.csv, such as results/quick",
            found="no such folder" if not folder.is_dir() else "no scores.csv in it",
            remedy="give the folder of a run that is finished, or finish it",
        )
    return {_key(row): row for row in read_rows(path)}


def _key(row: Row) -> _Key:
    # a run that was skipped twice has two rows that only their reasons tell apart
    names = (*IDENTITY, "reason") if row.status == "skipped" else IDENTITY
    values = [getattr(row, name) for name in names]
    return tuple("all" if isinstance(value, float) and math.isnan(value) else value for value in values)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return values


def lines(found: Difference, names: Sequence[str], *, most: int = 12) -> list[str]:
    """The difference in words, at most `most` lines of each kind."""
    differ = "differs" if len(found.differing) == 1 else "differ"
    told = [f"{counted(found.rows, 'row')} in both; {len(found.differing)} of them {differ}"]
    told += [f"  {_place(d.row)}: {', '.join(d.columns)}{_by(d.apart)}" for d in found.differing[:most]]
    for name, rows in zip(names, found.only, strict=True):
        told += [f"{counted(len(rows), 'row')} in {name} alone"] if rows else []
        told += [f"  {_place(row)}" for row in rows[:most]]
    told += [
        f"largest difference of {metric}: {apart:.6g}" for metric, apart in sorted(found.largest.items())
    ]
    causes = list(found.causes.items())
    told += ["in the manifests:"] if causes else []
    told += [f"  {key}: {_short(a)} / {_short(b)}" for key, (a, b) in causes[:most]]
    told += (
        [f"  and {counted(len(causes) - most, 'more key')} of the manifests"] if len(causes) > most else []
    )
    return told


def print_changes(first: Path, second: Path) -> None:
    """Print by how much the Dice of each method changed from one run to the other; nothing where none did."""
    from parallax.score.table import read_table
    from parallax.tables.changes import changes, changes_table
    from parallax.tables.layout import read_context
    from parallax.tables.render import print_tables

    found = changes(*(read_table(folder / "scores.csv") for folder in (first, second)))
    if found:
        print_tables([changes_table(found, read_context())])


def _place(row: Row) -> str:
    parts = [str(getattr(row, name)) for name in IDENTITY]
    return "/".join(part for part in parts if part not in ("", "full", "none", "last"))


def _by(apart: float) -> str:
    return f" (by {apart:.6g})" if apart else ""


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
