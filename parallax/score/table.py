"""The tidy per-case table: its columns, how it is checked, written and read."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parallax.data.files import replacing
from parallax.data.given import csv_reader
from parallax.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

#: Status of a row with a value, without one by rule, and without one because something went wrong.
VALUED = ("ok", "missed", "false_positive")
UNVALUED = ("both_empty", "failed", "skipped")

#: How many percent of the labels, which draw, which method: what makes a run.
RUN_KEYS = (
    "dataset",
    "misalignment",
    "label_fraction",
    "label_draw",
    "annotation",
    "method",
    "preset",
    "adapter",
    "pretraining",
    "checkpoint_rule",
    "seed",
)


@dataclass(frozen=True)
class Row:
    """One value: case x modality x structure x metric of one run. Field order is the column order.

    In a skipped row an empty text or a NaN label fraction stands for "all of them".

    Attributes:
        dataset: name in the configuration.
        case: id of the test case.
        modality: the modality whose label map is scored, on its own grid.
        structure: name of the structure.
        pairing: pairing level of the dataset: registered, same_subject or unpaired.
        misalignment: name of the level; `aligned` moves nothing.
        shift_mm: realised RMS displacement of the case over its structures.
        rotation_deg: rotation of the moved modality: length of the rotation vector.
        label_fraction: share of the training cases that are labelled, in (0, 1].
        label_draw: number of the draw of labelled cases.
        annotation: how the labelled cases are annotated; `full` where nothing is left out.
        available: modalities given at test time, joined with `+`.
        pretraining: `none`, or the external weights and the data that they saw.
        method: name of the method.
        preset: its preset.
        adapter: how it answers per modality: native, heads or broadcast.
        seed: seed of the training.
        checkpoint_rule: which checkpoint was scored.
        metric: name of the metric, with its unit.
        value: the value; NaN where the status has none.
        tolerance_mm: tolerance of the NSD; NaN for any other metric.
        status: whether there is a value, and if not, why.
        reason: why a row has no value, in words.
    """

    dataset: str
    case: str
    modality: str
    structure: str
    pairing: str
    misalignment: str
    shift_mm: float
    rotation_deg: float
    label_fraction: float
    label_draw: int
    annotation: str
    available: str
    pretraining: str
    method: str
    preset: str
    adapter: str
    seed: int
    checkpoint_rule: str
    metric: str
    value: float
    tolerance_mm: float = field(default=math.nan, kw_only=True)
    status: str
    reason: str


COLUMNS = tuple(column.name for column in fields(Row))
_KINDS = {column.name: str(column.type) for column in fields(Row)}
_READ: Mapping[str, Any] = {"str": str, "int": int, "float": lambda text: float(text) if text else math.nan}
_NEVER_NEGATIVE = ("dice", "nsd", "hd95", "assd")
#: What tells a row from every other one.
IDENTITY = (*RUN_KEYS, "case", "modality", "structure", "available", "metric")


def check_row(row: Row) -> Row:
    """The row itself. Raises `DataError` where status, value and metric contradict each other."""
    if row.status not in VALUED + UNVALUED:
        raise _row_error(row, "one of " + ", ".join(VALUED + UNVALUED), row.status)
    if (row.status in VALUED) != math.isfinite(row.value):
        raise _row_error(row, "a finite value exactly where the status has one", f"{row.status}, {row.value}")
    if row.metric.startswith("dice") and row.value > 1:
        raise _row_error(row, "a Dice of at most 1", str(row.value))
    if row.metric.startswith(_NEVER_NEGATIVE) and row.value < 0:
        raise _row_error(row, f"{row.metric} of at least 0", str(row.value))
    if math.isinf(row.shift_mm) or math.isinf(row.rotation_deg):
        raise _row_error(row, "a finite shift and rotation", f"{row.shift_mm} mm, {row.rotation_deg} degrees")
    if (
        row.metric == "nsd"
        and row.status in VALUED
        and not (row.value <= 1 and 0 < row.tolerance_mm < math.inf)
    ):
        raise _row_error(
            row, "an NSD of at most 1 with its tolerance in mm", f"{row.value}, {row.tolerance_mm}"
        )
    if row.status != "skipped" and not 0 < row.label_fraction <= 1:
        raise _row_error(row, "a label fraction above 0 and at most 1", str(row.label_fraction))
    if row.status in ("failed", "skipped") and not row.reason:
        raise _row_error(row, "a reason", "none")
    return row


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Write checked rows as CSV (floats round-trip; NaN is an empty cell), all of it or nothing."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        plain = csv.writer(stream, lineterminator="\n")
        quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
        plain.writerow(COLUMNS)
        for row in rows:
            cells = [_cell(value) for value in astuple(check_row(row))]
            # A bare carriage return (a progress bar in a reason) gets no quotes by itself before Python 3.13,
            # and no reader takes it without.
            (quoted if any("\r" in str(cell) for cell in cells) else plain).writerow(cells)


def read_rows(path: Path) -> list[Row]:
    """Rows of one CSV. Raises `DataError` where columns or values do not fit the schema."""
    with csv_reader(path) as reader:
        header = tuple(next(reader, ()))
        if header != COLUMNS:
            raise _columns_error(path, header)
        return [_read_row(cells, f"{path.as_posix()}, line {reader.line_num}") for cells in reader]


def refuse_duplicates(rows: Iterable[Row]) -> None:
    """Raise `DataError` where two rows claim to be the same value."""
    seen: set[tuple[Any, ...]] = set()
    for row in rows:
        key = tuple(getattr(row, name) for name in IDENTITY)
        if key in seen and row.status != "skipped":
            raise _row_error(row, "each value once", "the same value twice")
        seen.add(key)


def check_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame itself (typed). Raises `DataError` as `check_row` and `refuse_duplicates` do."""
    twice = frame.duplicated(list(IDENTITY), keep="first") & (frame["status"] != "skipped")
    valued, finite = frame["status"].isin(VALUED), frame["value"].abs() < math.inf
    nsd = (frame["metric"] == "nsd") & valued
    suspect = (
        ~frame["status"].isin(VALUED + UNVALUED)
        | (valued != finite)
        | (frame["metric"].str.startswith("dice") | nsd) & (frame["value"] > 1)
        | frame["metric"].str.startswith(_NEVER_NEGATIVE) & (frame["value"] < 0)
        | frame[["shift_mm", "rotation_deg"]].abs().eq(math.inf).any(axis=1)
        | nsd & ~((frame["tolerance_mm"] > 0) & (frame["tolerance_mm"] < math.inf))
        | (frame["status"] != "skipped") & ~((frame["label_fraction"] > 0) & (frame["label_fraction"] <= 1))
        | frame["status"].isin(("failed", "skipped")) & (frame["reason"] == "")
    )
    for values in frame[suspect].to_dict("records"):
        check_row(Row(**{str(name): value for name, value in values.items()}))
    for values in frame[twice].to_dict("records"):
        row = Row(**{str(name): value for name, value in values.items()})
        raise _row_error(row, "each value once", "the same value twice")
    return frame


def to_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """The rows as a data frame with the types of the schema."""
    import pandas as pd

    return typed(pd.DataFrame([astuple(row) for row in rows], columns=list(COLUMNS)))


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with exactly the columns and types of the schema."""
    if "annotation" not in frame:  # a table of a version that knew only full annotations
        frame = frame.assign(annotation="full")
    if "tolerance_mm" not in frame:  # a table of a version that had no NSD
        frame = frame.assign(tolerance_mm=math.nan)
    kinds: Mapping[str, Any] = {"str": "object", "int": "int64", "float": "float64"}
    return frame[list(COLUMNS)].astype({name: kinds[kind] for name, kind in _KINDS.items()})


def read_table(path: Path) -> pd.DataFrame:
    """The whole table from `scores.parquet` or `scores.csv`.

    Raises:
        DataError: the file is absent or no table, does not fit the schema, or says a value twice.
    """
    try:
        return check_table(to_frame(read_rows(path)) if path.suffix == ".csv" else _read_parquet(path))
    except DataError as error:
        raise error if path.as_posix() in error.where else error.within(path.as_posix()) from error


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd
    from pyarrow import ArrowException

    try:
        frame = pd.read_parquet(path)
        absent = set(COLUMNS) - set(frame) - {"annotation", "tolerance_mm"}
        if absent:
            raise _columns_error(path, tuple(map(str, frame)))
        return typed(frame)
    except (OSError, ValueError, TypeError, OverflowError, ArrowException) as error:
        raise DataError(
            "a table of scores cannot be read",
            where=path.as_posix(),
            expected="a parquet file with the columns and types of the schema",
            found="no such file" if not path.exists() else f"{type(error).__name__}: {error}",
            remedy="delete the file and score the run again",
        ) from error


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write the table as parquet, all of it or nothing."""
    with replacing(path) as temporary:
        frame.to_parquet(temporary, index=False)


def _cell(value: object) -> object:
    return "" if isinstance(value, float) and math.isnan(value) else value


def _read_row(cells: list[str], where: str) -> Row:
    row = _parse(cells, where)
    try:
        return check_row(row)
    except DataError as error:
        raise error.within(where) from error


def _columns_error(path: Path, header: tuple[str, ...]) -> DataError:
    return DataError(
        "a table of scores has other columns",
        where=path.as_posix(),
        expected=", ".join(COLUMNS),
        found=", ".join(header) or "an empty file",
        remedy="delete the file and score the run again",
    )


def _parse(cells: list[str], where: str) -> Row:
    try:
        values = [_READ[_KINDS[name]](cell) for name, cell in zip(COLUMNS, cells, strict=True)]
    except ValueError as error:
        raise DataError(
            "a row of scores cannot be read",
            where=where,
            expected=f"{len(COLUMNS)} cells of the schema",
            found=",".join(cells),
            remedy="delete the file and score the run again",
        ) from error
    return Row(**dict(zip(COLUMNS, values, strict=True)))


def _row_error(row: Row, expected: str, found: str) -> DataError:
    where = "/".join(str(getattr(row, name)) for name in IDENTITY)
    return DataError(
        "a row of the table of scores is not valid",
        where=where,
        expected=expected,
        found=found,
        remedy="score the run again; if it persists, the scoring code is at fault",
    )
