import math

import numpy as np
import pytest
from tidy import method_rows, row, skipped_row, toy_rows

from parallax.score.runs import CEILING
from parallax.score.stats.spread import bootstrap_interval, generator_for, spread
from parallax.score.table import to_frame
from parallax.tables.summary import failures, skipped, summarise, summarise_by_structure


def rng():
    return np.random.default_rng(0)


def line_of(rows, method, **wanted):
    lines = [line for line in summarise(to_frame(rows)) if line.method == method]
    return next(line for line in lines if all(getattr(line, k) == v for k, v in wanted.items()))


def test_seeds_are_averaged_before_the_sd_over_cases():
    values = np.array([[0.2, 0.8], [0.8, 0.2], [0.5, 0.5]])
    found = spread(values, rng())
    assert (found.mean, found.sd_cases) == (pytest.approx(0.5), pytest.approx(0.0))
    assert found.sd_runs == pytest.approx(0.0)


def test_a_case_without_values_is_left_out_and_counted_so():
    found = spread(np.array([[0.2, np.nan], [np.nan, np.nan], [0.4, 0.6]]), rng())
    assert (found.cases, found.mean) == (2, pytest.approx(0.35))
    assert spread(np.full((2, 2), np.nan), rng()).cases == 0


def test_interval_needs_six_cases():
    assert math.isnan(spread(np.linspace(0, 1, 5)[:, None], rng()).low)
    assert math.isfinite(spread(np.linspace(0, 1, 6)[:, None], rng()).low)


def test_interval_covers_the_mean_at_about_its_nominal_rate():
    draw = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        low, high = bootstrap_interval(draw.normal(0.8, 0.05, (30, 1)), draw, draws=400)
        hits += low <= 0.8 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_interval_is_a_function_of_its_key():
    values = np.random.default_rng(1).random((8, 2))
    assert spread(values, generator_for("a")) == spread(values, generator_for("a"))
    assert spread(values, generator_for("a")).low != spread(values, generator_for("b")).low


def test_main_line_averages_structures_modalities_and_seeds():
    rows = [*method_rows("nnunet", 0.6), *method_rows("nnunet", 0.8, seed=1)]
    line = line_of(rows, "nnunet")
    assert (line.runs, line.cases, line.cases_given) == (2, 4, 4)
    assert line.dice_mean == pytest.approx(0.715)
    assert line.dice_sd_cases == pytest.approx(np.std([0, 0.01, 0.02, 0.03], ddof=1))
    assert line.dice_sd_runs == pytest.approx(np.std([0.615, 0.815], ddof=1))


def test_missed_structures_count_and_show():
    rows = method_rows("nnunet", 0.8, hd95=4.0, cases=2)
    rows += [
        row(case="case0", structure="small", metric="dice", value=0.0, status="missed"),
        row(case="case0", structure="small", metric="hd95_mm", value=100.0, status="missed"),
        row(case="case1", structure="small", metric="dice", status="both_empty"),
        row(case="case1", structure="small", metric="hd95_mm", status="both_empty"),
    ]
    line = line_of(rows, "nnunet")
    assert (line.counted, line.missed, line.both_empty, line.false_positive) == (5, 1, 1, 0)
    assert (line.hd95_median_mm, line.hd95_found_mean_mm) == (4.0, 4.0)
    assert line.dice_mean == pytest.approx(((0.8 * 2 + 0) / 3 + 0.81) / 2)


def test_what_the_empty_rule_does_to_mean_and_median():
    found = np.linspace(2.0, 7.9, 17)
    rows = [row(case=f"c{i:02d}", metric="hd95_mm", value=v) for i, v in enumerate(found)]
    rows += [row(case=f"m{i}", metric="hd95_mm", value=424.0, status="missed") for i in range(3)]
    line = line_of(rows, "nnunet")
    assert line.hd95_found_mean_mm == pytest.approx(found.mean())
    assert line.hd95_median_mm == pytest.approx(np.median([*found, 424, 424, 424]))


def test_a_failed_run_is_counted_and_the_other_seed_stays():
    failed = method_rows("nnunet", 0.6, seed=1, status="failed", reason="killed")
    ceiling = [row(case="case0", metric=CEILING, value=0.9, seed=1)]
    line = line_of([*method_rows("nnunet", 0.6), *failed, *ceiling], "nnunet")
    assert (line.runs, line.runs_failed, line.failed, line.status) == (2, 1, 8, "ok")
    assert (line.dice_mean, line.reason) == (pytest.approx(0.615), "killed")


def test_failed_and_skipped_methods_keep_a_line():
    assert line_of(toy_rows(), "zeta", misalignment="shifted").status == "failed"
    line = line_of(toy_rows(), "alpha", misalignment="shifted")
    assert (line.status, line.reason, line.runs) == ("skipped", "needs pairs & more", 0)
    assert math.isnan(line.dice_mean)


def test_a_skip_without_condition_holds_for_all_of_them():
    everywhere = skipped_row("beta", "no pairs", misalignment="", label_fraction=math.nan)
    lines = summarise(to_frame([*toy_rows(), everywhere]))
    assert [line.misalignment for line in lines if line.method == "beta"] == ["aligned", "shifted"]


def test_lists_of_what_was_lost():
    table = to_frame(toy_rows())
    assert skipped(table)["reason"].tolist() == ["needs pairs & more"]
    assert failures(table)[["method", "values", "reason"]].values.tolist() == [
        ["zeta", 8, "the loss is not finite"]
    ]


def test_structure_lines_are_per_modality_and_structure():
    lines = summarise_by_structure(to_frame(method_rows("nnunet", 0.6)))
    assert [(line.modality, line.structure, line.counted) for line in lines] == [
        ("CT", "large", 4), ("MR", "large", 4),
    ]  # fmt: skip
