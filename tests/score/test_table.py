import math
from dataclasses import fields

import pandas as pd
import pytest
from tidy import row, skipped_row, toy_rows

from parallax.errors import DataError
from parallax.score.table import (
    COLUMNS,
    Row,
    read_rows,
    read_table,
    refuse_duplicates,
    to_frame,
    write_parquet,
    write_rows,
)


def test_columns_are_those_of_the_design_and_the_reason_comes_last():
    design = (
        "dataset, case, modality, structure, pairing, misalignment, shift_mm, rotation_deg, label_fraction, "
        "label_draw, annotation, available, pretraining, method, preset, adapter, seed, checkpoint_rule, "
        "metric, value, tolerance_mm, status, reason"
    )
    assert tuple(design.split(", ")) == COLUMNS == tuple(field.name for field in fields(Row))


def test_csv_and_parquet_give_back_the_same_table(tmp_path):
    rows = [*toy_rows(), row(case="x", value=1 / 3), row(case="y", status="both_empty")]
    write_rows(rows, tmp_path / "scores.csv")
    write_parquet(to_frame(rows), tmp_path / "scores.parquet")
    from_csv, from_parquet = read_table(tmp_path / "scores.csv"), read_table(tmp_path / "scores.parquet")
    pd.testing.assert_frame_equal(from_csv, from_parquet)
    assert from_csv.loc[from_csv["case"] == "x", "value"].item() == 1 / 3
    assert {path.name for path in tmp_path.iterdir()} == {"scores.csv", "scores.parquet"}


@pytest.mark.parametrize(
    "bad",
    [
        {"value": math.nan},
        {"value": 1.5},
        {"status": "lost"},
        {"label_fraction": 10.0},
        {"status": "failed", "reason": ""},
    ],
)
def test_contradicting_rows_are_refused_and_nothing_is_left(tmp_path, bad):
    with pytest.raises(DataError, match="not valid"):
        write_rows([row(), row(**bad)], tmp_path / "scores.csv")
    assert not list(tmp_path.iterdir())


def test_duplicates_are_refused():
    refuse_duplicates([row(), row(seed=1), skipped_row("a", "x"), skipped_row("a", "y")])
    with pytest.raises(DataError, match="twice"):
        refuse_duplicates([row(), row(value=0.1)])


def test_other_columns_are_refused(tmp_path):
    (tmp_path / "scores.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match="other columns"):
        read_rows(tmp_path / "scores.csv")
