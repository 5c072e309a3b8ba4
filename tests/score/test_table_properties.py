"""Whatever a row says comes back from the table, in both of its forms."""

import math
from dataclasses import astuple, fields

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from parallax.score.table import (
    UNVALUED,
    VALUED,
    Row,
    check_row,
    read_rows,
    read_table,
    to_frame,
    typed,
    write_parquet,
    write_rows,
)

#: All that a file in UTF-8 can hold, and what a parser of tables may take for something else.
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["", "NA", "nan", "None", "1.0", "a,b", 'a "b"', "a\nb", "a\rb", "\ufeff", "# a", "=1", " a ", "a\0b"]
)
NUMBERS = st.floats(allow_nan=True, allow_infinity=False)
KINDS = {"str": TEXTS, "int": st.integers(-(2**63), 2**63 - 1), "float": NUMBERS}


@st.composite
def rows(draw):
    """A row that is valid: status, value and metric agree."""
    status = draw(st.sampled_from(VALUED + UNVALUED))
    metric = draw(st.sampled_from(["dice", "nsd", "hd95_mm", "volume_difference_ml", "own"]))
    most, least = (
        1.0 if metric in ("dice", "nsd") else None,
        None if metric in ("volume_difference_ml", "own") else 0.0,
    )
    value = (
        draw(st.floats(least, most, allow_nan=False, allow_infinity=False)) if status in VALUED else math.nan
    )
    values = {field.name: draw(KINDS[str(field.type)]) for field in fields(Row)}
    fraction = draw(st.floats(0, 1, exclude_min=True))
    return Row(
        **values
        | {"metric": metric, "status": status, "value": value, "label_fraction": fraction}
        | {"tolerance_mm": draw(st.floats(0.1, 9.0)) if metric == "nsd" else math.nan}
        | {"reason": values["reason"] or "a reason"}
    )


def same(found, wanted):
    return [list(map(repr, astuple(row))) for row in found] == [
        list(map(repr, astuple(row))) for row in wanted
    ]


@examples(30)
@given(st.lists(rows(), max_size=3, unique_by=lambda row: (row.case, row.method, row.seed)))
def test_rows_come_back_from_both_forms_bit_by_bit(tmp_path, made):
    assert [check_row(row) for row in made] == made
    write_rows(made, tmp_path / "scores.csv")
    assert same(read_rows(tmp_path / "scores.csv"), made)
    write_parquet(to_frame(made), tmp_path / "scores.parquet")
    for name in ("scores.csv", "scores.parquet"):
        pd.testing.assert_frame_equal(read_table(tmp_path / name), typed(to_frame(made)), check_exact=True)
