"""Ranks, trends and robustness curves on simulated scores whose answer is known."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from parallax.score.stats.ranks import kendall_tau, rank_methods
from parallax.score.stats.robustness import robustness, shift_at_loss
from parallax.score.stats.separation import separation
from parallax.score.stats.trend import fit_trend


def rng(seed=0):
    return np.random.default_rng(seed)


def test_well_separated_methods_never_change_places():
    values = rng().normal(0, 0.005, (12, 4)) + np.array([0.7, 0.9, 0.6, 0.8])
    found = rank_methods(values, rng())
    assert (found.ranks, found.tau_median, found.tau_low) == ((3.0, 1.0, 4.0, 2.0), 1.0, 1.0)
    assert found.swaps == ()
    assert (found.low, found.high) == (found.ranks, found.ranks)


def test_methods_that_are_alike_have_no_firm_order():
    values = rng(1).normal(0.8, 0.03, (12, 6))
    found = rank_methods(values, rng())
    assert found.tau_low < 0.3
    assert len(found.swaps) > 5
    assert found.swaps[0][2] > 0.25
    assert all(found.ranks[higher] < found.ranks[lower] for higher, lower, _ in found.swaps)


def test_equal_methods_share_their_places():
    values = np.repeat(rng(2).normal(0.8, 0.03, (8, 1)), 3, axis=1)
    found = rank_methods(values, rng())
    assert (found.ranks, found.tau_median, found.swaps) == ((2.0, 2.0, 2.0), 0.0, ())


def test_only_cases_that_every_method_has_are_ranked():
    values = rng(3).normal(0.8, 0.03, (8, 2))
    values[0, 1] = np.nan
    assert rank_methods(values, rng()).cases == 7


def test_tau_is_that_of_scipy():
    ranks = rng(4).permuted(np.tile(np.arange(5.0), (6, 1)), axis=1)
    ranks[0, 0] = ranks[0, 1]
    first, second = np.triu_indices(5, 1)
    signs = np.sign(ranks[:, first] - ranks[:, second])
    expected = [kendalltau(ranks[5], other).statistic for other in ranks]
    assert kendall_tau(signs[5], signs) == pytest.approx(expected)


def curve(draw, cases, runs, slope=-0.01, levels=(0.0, 2.0, 4.0, 7.0)):
    """Dice [rows] with a height and a slope of each case and a height of each run."""
    heights, slopes = draw.normal(0.8, 0.03, cases), draw.normal(slope, 0.003, cases)
    shifts = draw.normal(0, 0.01, runs)
    place = [(c, r, x) for c in range(cases) for r in range(runs) for x in levels]
    rows = [(c, r, x, x, heights[c] + slopes[c] * x + shifts[r] + draw.normal(0, 0.01)) for c, r, x in place]
    return pd.DataFrame(rows, columns=["case", "run", "level", "x", "y"])


def test_a_planted_slope_is_found_and_covered():
    draw = rng(5)
    found = [fit_trend(curve(draw, 12, 3)) for _ in range(40)]
    assert all(trend.state in ("ok", "boundary") for trend in found)
    assert np.mean([trend.slope for trend in found]) == pytest.approx(-0.01, abs=0.0005)
    assert sum(trend.low <= -0.01 <= trend.high for trend in found) >= 35
    assert (found[0].cases, found[0].runs, found[0].levels) == (12, 3, 4)


def test_the_slope_of_paired_differences_is_the_interaction():
    draw = rng(6)
    ours, theirs = curve(draw, 12, 2, slope=-0.005), curve(draw, 12, 2, slope=-0.015)
    found = fit_trend(ours.assign(y=ours["y"] - theirs["y"]))
    assert found.low <= 0.01 <= found.high
    assert found.low > 0


def test_what_cannot_be_fitted_says_so():
    draw = rng(7)
    one = fit_trend(curve(draw, 6, 2, levels=(3.0,)))
    assert (one.state, one.reason) == ("failed", "needs two levels")
    assert math.isnan(one.slope)
    assert fit_trend(curve(draw, 2, 2)).reason == "needs three cases, has 2"
    still = curve(draw, 6, 2).assign(y=0.5)
    assert (fit_trend(still).slope, fit_trend(still).state) == (0.0, "boundary")


def test_an_absent_random_effect_is_told():
    flat = curve(rng(8), 8, 2)
    flat["y"] = 0.8 - 0.01 * flat["x"] + rng(9).normal(0, 0.01, len(flat))
    found = fit_trend(flat)
    assert found.state == "boundary"
    assert "no spread found of: " in found.reason
    assert found.slope == pytest.approx(-0.01, abs=0.002)


def test_a_planted_line_loses_five_points_where_it_should():
    levels_mm = np.tile([0.0, 2.0, 4.0, 10.0], (8, 1))
    heights = np.linspace(0.75, 0.85, 8)[:, None]
    found = robustness(levels_mm, heights - 0.01 * levels_mm, rng())
    assert (found.cases, found.reach_mm, found.aligned) == (8, 10.0, pytest.approx(0.8))
    assert found.loss_mm == pytest.approx(5.0)
    assert (found.loss_low_mm, found.loss_high_mm) == (pytest.approx(5.0), pytest.approx(5.0))
    assert found.area == pytest.approx(0.75 / 0.8)
    assert found.area_low < found.area < found.area_high


def test_a_loss_that_is_not_reached_is_infinite():
    shift_mm = np.tile([4.0, 0.0], (6, 1))
    found = robustness(shift_mm, np.full((6, 2), 0.8), rng())
    assert (found.area, found.loss_mm, found.loss_high_mm) == (pytest.approx(1.0), math.inf, math.inf)
    assert shift_at_loss(np.array([0.0, 1.0]), np.array([[0.8, 0.75]]))[0] == pytest.approx(1.0)
    few = robustness(shift_mm[:5], np.full((5, 2), 0.8), rng())
    assert (few.cases, few.area) == (5, pytest.approx(1.0))
    assert math.isnan(few.area_low)


def test_area_interval_covers_the_true_area():
    draw, hits = rng(10), 0
    for _ in range(200):
        heights, slopes = draw.normal(0.8, 0.05, (10, 1)), draw.normal(-0.02, 0.005, (10, 1))
        levels_mm = np.tile([0.0, 5.0, 10.0], (10, 1))
        found = robustness(levels_mm, heights + slopes * levels_mm, draw, draws=400)
        hits += found.area_low <= 0.7 / 0.8 <= found.area_high
    assert hits >= 182


def test_a_curve_needs_an_aligned_level():
    with pytest.raises(ValueError, match="aligned"):
        robustness(np.tile([1.0, 2.0], (6, 1)), np.zeros((6, 2)), rng())


def test_one_run_of_each_method_has_no_spread_of_its_own():
    rows = [{"dataset": "toy", "method": m, "seed": 0, "value": v} for m, v in (("a", 0.8), ("b", 0.6))]
    (found,) = separation(pd.DataFrame(rows), ["dataset"]).itertuples()
    assert found.between == pytest.approx(20 / math.sqrt(2))
    assert math.isnan(found.within)
    assert math.isnan(found.ratio)
