"""Rows of one method as arrays: what they answer is worked out by hand."""

import math

import numpy as np
import pytest
from tidy import method_rows, row

from parallax.score.table import to_frame
from parallax.tables.group import group_of, mean_and_sd_over_cases

NAN = math.nan


def group(*rows):
    return group_of(to_frame(rows))


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_values_are_means_over_modalities_and_structures_of_a_case_in_a_run():
    rows = [row(case=case, modality=modality, seed=seed, label_draw=draw, value=value)
            for case, modality, seed, draw, value in (
                ("b", "CT", 0, 0, 0.2), ("b", "MR", 0, 0, 0.6), ("a", "CT", 0, 0, 0.5),
                ("a", "CT", 3, 0, 0.1), ("b", "MR", 3, 1, 0.9),
            )]  # fmt: skip
    # cases a and b; runs (draw 0, seed 0), (0, 3), (1, 0), (1, 3)
    same(group(*rows).by_case("dice"), [[0.5, 0.1, NAN, NAN], [0.4, NAN, NAN, 0.9]])


def test_a_case_that_has_lost_every_value_keeps_its_line():
    lost = row(case="b", status="failed", reason="it broke")
    same(group(row(case="a", value=0.5), lost).by_case("dice"), [[0.5], [NAN]])
    same(
        group(row(case="a", value=0.5), row(case="a", modality="MR", status="failed", reason="x")).by_case(
            "dice"
        ),
        [[0.5]],
    )


def test_a_metric_that_is_not_there_has_no_cases():
    assert group(row()).by_case("nsd").shape == (0, 1)
    assert all(map(math.isnan, mean_and_sd_over_cases(group(row()).by_case("nsd"))))


def test_mean_and_sd_are_those_of_the_cases_that_have_a_value():
    mean, sd = mean_and_sd_over_cases(np.array([[0.2, 0.4], [0.7, NAN], [NAN, NAN]]))
    assert mean == pytest.approx(0.5)
    assert sd == pytest.approx(math.sqrt(0.08))
    assert math.isnan(mean_and_sd_over_cases(np.array([[0.2, 0.4]]))[1])


def test_values_of_some_statuses():
    rows = [
        row(metric="hd95_mm", value=3.0),
        row(metric="hd95_mm", case="b", value=40.0, status="missed"),
        row(metric="hd95_mm", case="c", status="failed", reason="it broke"),
    ]
    assert group(*rows).values("hd95_mm").tolist() == [3.0, 40.0]
    assert group(*rows).values("hd95_mm", ["ok"]).tolist() == [3.0]
    assert group(*rows).cases == 3


def test_tolerances_name_structures_where_they_differ():
    rows = [
        row(metric="nsd", structure=name, tolerance_mm=mm)
        for name, mm in (("b", 1.5), ("a", 1.5), ("c", 1.0))
    ]
    assert group(*rows).tolerances() == "1 (c), 1.5 (a, b)"
    assert group(*rows[:2]).tolerances() == "1.5"
    assert group(*method_rows("nnunet", 0.5)).tolerances() == ""
