"""Paired differences, tests and intervals on simulated scores whose answer is known."""

import math

import numpy as np
import pytest
from scipy.stats import binom
from tidy import method_rows, row

from parallax.score.stats.crossed import crossed
from parallax.score.stats.inference import (
    cases_needed,
    equivalent,
    false_claim,
    holm,
    signed_rank,
)
from parallax.score.stats.paired import case_runs, difference_of, pair
from parallax.score.stats.spread import bootstrap_interval
from parallax.score.table import to_frame


def runs_of(rows, method):
    frame = to_frame(rows)
    return case_runs(frame[frame["method"] == method], "dice")


def rate(hits):
    return sum(hits) / len(hits)


def test_cases_are_paired_by_run_and_lost_ones_are_counted():
    rows = [*method_rows("a", 0.7, seed=0), *method_rows("a", 0.8, seed=1), *method_rows("b", 0.6, seed=1)]
    rows += [row(method="a", case="only_a"), row(method="b", case="only_b", seed=1)]
    found = pair(runs_of(rows, "a"), runs_of(rows, "b"))
    assert found.cases == ("case0", "case1", "case2", "case3")
    assert (found.only_method, found.only_reference, found.runs, found.seeds) == (1, 1, 1, 1)
    assert found.per_case == pytest.approx([0.2] * 4)
    assert found.by_training == pytest.approx(np.full((4, 1), 0.2))


def test_without_a_shared_run_the_means_over_runs_are_compared():
    rows = [*method_rows("a", 0.7, seed=0), *method_rows("a", 0.8, seed=1), *method_rows("b", 0.6, seed=2)]
    found = pair(runs_of(rows, "a"), runs_of(rows, "b"))
    assert (found.runs, found.seeds, found.by_training.shape) == (0, 0, (4, 0))
    assert found.per_case == pytest.approx([0.15] * 4)


def test_a_training_is_a_label_draw_where_there_are_several():
    runs = {(0, 0): 0.7, (0, 1): 0.8, (1, 0): 0.9, (1, 1): 0.9}
    rows = [r for (d, s), dice in runs.items() for r in method_rows("a", dice, label_draw=d, seed=s)]
    rows += [r for d, s in runs for r in method_rows("b", 0.6, label_draw=d, seed=s)]
    rows = [r for r in rows if (r.case, r.label_draw, r.seed) != ("case3", 0, 1)]
    found = pair(runs_of(rows, "a"), runs_of(rows, "b"))
    assert found.by_training[0] == pytest.approx([0.15, 0.3])
    assert found.by_training[3] == pytest.approx([0.1, 0.3])
    one_draw = pair(*(runs_of([r for r in rows if r.label_draw == 1], name) for name in "ab"))
    assert one_draw.by_training.shape == (4, 2)


@pytest.mark.parametrize(("cases", "runs", "sd_run"), [(10, 2, 0.003), (10, 3, 0.02), (20, 5, 0.01)])
def test_intervals_over_cases_and_trainings_cover(cases, runs, sd_run):
    draw = np.random.default_rng(9)
    hits = []
    for _ in range(500):
        values = draw.normal(0, 0.02, (cases, 1)) + draw.normal(0, sd_run, runs)
        low, high = crossed(values + draw.normal(0, 0.01, (cases, runs))).interval()
        hits.append(low <= 0 <= high)
    assert 0.915 <= rate(hits) <= 0.985


def test_intervals_over_cases_and_trainings_at_their_ends():
    assert crossed(np.full((6, 2), 0.3)).interval() == pytest.approx((0.3, 0.3))
    assert (crossed(np.zeros((6, 2))).p(), crossed(np.full((6, 2), 0.3)).p()) == (1.0, 0.0)
    assert math.isnan(crossed(np.zeros((6, 1))).error)
    found = crossed(np.random.default_rng(1).normal(0.1, 0.05, (12, 3)))
    low, high = found.interval(1 - found.p())
    assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-9)


def test_a_case_that_failed_in_part_has_no_value_in_that_run():
    rows = [row(case="x", structure="large"), row(case="x", structure="small", status="failed", reason="no")]
    rows += [row(case="x", seed=1, value=0.4), row(case="y", value=0.5)]
    found = runs_of(rows, "nnunet")
    assert math.isnan(found.loc["x", (0, 0)])
    assert found.loc["x", (0, 1)] == 0.4
    rows = [row(case="x", metric="hd95_mm", status="failed", reason="no"), row(case="x", value=0.5)]
    assert runs_of(rows, "nnunet").loc["x", (0, 0)] == 0.5


def test_differences_of_differences_keep_the_pairing():
    level = {"near": (0.8, 0.7), "far": (0.75, 0.5)}
    pairs = {}
    for name, (ours, theirs) in level.items():
        rows = [*method_rows("a", ours), *method_rows("b", theirs, cases=3)]
        pairs[name] = pair(runs_of(rows, "a"), runs_of(rows, "b"))
    found = difference_of(pairs["far"], pairs["near"])
    assert (found.cases, found.runs, found.only_method) == (("case0", "case1", "case2"), 1, 0)
    assert found.per_case == pytest.approx([0.15] * 3)


def test_zeros_are_left_out_and_counted():
    found = signed_rank(np.array([0.0, 1e-17, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))
    assert (found.zeros, found.effect, found.p) == (2, 1.0, pytest.approx(2 / 2**6))
    assert signed_rank(np.zeros(5)).p == 1.0
    assert signed_rank(np.array([1.0, -2.0, 3.0])).effect == pytest.approx(2 / 6)
    assert math.isnan(signed_rank(np.empty(0)).p)


def test_least_numbers_of_cases_are_those_at_which_the_test_can_speak():
    assert [cases_needed(k) for k in (1, 10)] == [6, 9]
    for comparisons in range(1, 40):
        n = cases_needed(comparisons)
        p = [signed_rank(np.arange(1.0, size + 1)).p * comparisons for size in (n, n - 1)]
        assert p[0] <= 0.05 < p[1]


def test_identical_methods_differ_at_the_nominal_rate_only():
    draw = np.random.default_rng(1)
    scores = draw.beta(20, 5, (1000, 20, 1)) + draw.normal(0, 0.02, (1000, 20, 2))
    differences = scores[..., 0] - scores[..., 1]
    assert 0.035 <= rate([signed_rank(x).p <= 0.05 for x in differences]) <= 0.065
    outside = [not low <= 0 <= high for low, high in intervals(differences)]
    assert 0.035 <= rate(outside) <= 0.065


def intervals(samples, draws=600):
    draw = np.random.default_rng(2)
    return [bootstrap_interval(x.reshape(len(x), -1), draw, draws) for x in samples]


@pytest.mark.parametrize("cases", [6, 10])
def test_interval_covers_with_few_cases_and_skewed_differences(cases):
    draw = np.random.default_rng(3)
    samples = draw.gamma(4.0, 0.01, (600, cases))
    assert rate([low <= 0.04 <= high for low, high in intervals(samples)]) >= 0.915


def test_interval_covers_when_runs_are_noisy():
    draw = np.random.default_rng(4)
    samples = draw.normal(0, 0.02, (500, 12, 1)) + draw.normal(0, 0.03, (500, 12, 3))
    assert 0.92 <= rate([low <= 0 <= high for low, high in intervals(samples)]) <= 0.975


def test_interval_of_equal_values_is_that_value():
    assert bootstrap_interval(np.full((8, 2), 0.3), np.random.default_rng(0)) == (0.3, 0.3)


def test_a_difference_of_one_sd_is_found_as_often_as_theory_says():
    draw = np.random.default_rng(5)
    samples = draw.normal(0.02, 0.02, (500, 10))
    # the t test has power 0.80 here, the signed-rank test an efficiency of 3 / pi against it
    assert 0.70 <= rate([signed_rank(x).p <= 0.05 for x in samples]) <= 0.86
    assert rate([signed_rank(x).p <= 0.05 for x in draw.normal(0.02, 0.02, (200, 25))]) >= 0.97


def test_a_family_of_equal_methods_is_rarely_wrong_at_all(monkeypatch):
    monkeypatch.setattr("gc.collect", lambda *_: 0)  # statsmodels calls it every time, which takes 20 ms
    draw = np.random.default_rng(6)
    scores = draw.normal(0, 0.02, (300, 12, 7))
    wrong = [min(holm([signed_rank(x[:, k] - x[:, 0]).p for k in range(1, 7)])) <= 0.05 for x in scores]
    assert rate(wrong) <= binom.ppf(0.999, 300, 0.05) / 300
    assert holm([0.01, math.nan, 0.04]) == [pytest.approx(0.02), pytest.approx(math.nan, nan_ok=True), 0.04]


def test_the_risk_of_a_false_claim_is_what_it_says():
    draw = np.random.default_rng(7)
    truth = draw.uniform(-2, 2, 4000)
    samples = truth[:, None] + draw.normal(0, 1, (4000, 6))
    told = np.array([false_claim(x) for x in samples])
    false = np.sign(samples.mean(axis=1)) != np.sign(truth)
    for low, high in ((0.0, 0.05), (0.05, 0.25), (0.25, 0.5)):
        own = (told > low) & (told <= high)
        assert false[own].mean() == pytest.approx(told[own].mean(), abs=0.03)


def test_the_risk_of_a_false_claim_at_its_ends():
    assert false_claim(np.full(6, 0.1)) == 0.0
    assert false_claim(np.zeros(6)) == 0.5
    assert math.isnan(false_claim(np.array([0.1])))


def test_equivalence_needs_narrow_differences():
    draw = np.random.default_rng(8)
    assert equivalent(draw.normal(0, 0.005, 20), 0.01) < 0.05
    assert equivalent(draw.normal(0, 0.05, 20), 0.01) > 0.05
    assert (equivalent(np.zeros(6), 0.01), equivalent(np.full(6, 0.02), 0.01)) == (0.0, 1.0)
    at_margin = [equivalent(x, 0.01) <= 0.05 for x in draw.normal(0.01, 0.01, (1000, 15))]
    assert 0.03 <= rate(at_margin) <= 0.07
