"""Two runs beside each other: the change is that of the cases, and its interval holds what was planted."""

import math

import numpy as np
import pytest
from tidy import method_rows, row

from parallax.score.table import to_frame
from parallax.tables.changes import changes, changes_table
from parallax.tables.layout import Context

CONTEXT = Context({"cmc": "CMC"})


def test_what_is_equal_is_no_change():
    table = to_frame([*method_rows("cmc", 0.7), row(method="lost", status="failed", reason="it broke")])
    assert changes(table, table) == []


def test_a_change_is_second_minus_first_on_the_cases_of_both():
    first = to_frame([*method_rows("cmc", 0.70, cases=8), *method_rows("nnunet", 0.6, cases=8)])
    second = to_frame([*method_rows("cmc", 0.65, cases=7), *method_rows("nnunet", 0.6, cases=8)])
    (one,) = changes(first, second)
    assert one.place[:5] == ("toy", "aligned", 1.0, "full", "cmc")
    assert one.mean == pytest.approx(-0.05)
    assert one.interval == pytest.approx((-0.05, -0.05))
    assert len(one.paired.cases) == 7


def test_the_interval_is_that_of_the_cases_and_holds_the_mean():
    apart = np.linspace(-0.02, 0.06, 12)
    first = to_frame(row(method="cmc", case=f"c{i}", value=0.5) for i in range(12))
    second = to_frame(row(method="cmc", case=f"c{i}", value=0.5 + x) for i, x in enumerate(apart))
    (one,) = changes(first, second)
    low, high = one.interval
    assert low < apart.mean() < high
    half_width = 2.2 * apart.std(ddof=1) / math.sqrt(12)  # Student's t at 11 degrees of freedom
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.25)


def test_the_table_has_the_largest_first_and_counts_the_rest():
    first = to_frame([*method_rows("cmc", 0.7, cases=4), *method_rows("nnunet", 0.6, cases=4)])
    second = to_frame([*method_rows("cmc", 0.69, cases=4), *method_rows("nnunet", 0.7, cases=4)])
    found = changes(first, second)
    table = changes_table(found, CONTEXT)
    assert table.rows == (
        ("nnunet", "toy", "100 % labels, aligned", "+10.00", "\u2013", "4"),
        ("CMC", "toy", "100 % labels, aligned", "-1.00", "\u2013", "4"),
    )
    assert len(table.notes) == 1
    cut = changes_table(found, CONTEXT, most=1)
    assert (len(cut.rows), cut.notes[-1]) == (1, "Not shown: smaller changes, 1 of them.")
