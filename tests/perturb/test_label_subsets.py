from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallax.errors import ConfigError
from parallax.perturb.labels import draw_order, label_subsets, n_labelled, subset

FRACTIONS = (0.05, 0.1, 0.2, 0.5, 1.0)


@given(n=st.integers(10, 60), seed=st.integers(0, 1000))
def test_subsets_of_one_draw_are_nested(n, seed):
    order = draw_order(np.random.default_rng(seed), [f"c{i}" for i in range(n)])
    subsets = [set(subset(order, fraction)) for fraction in FRACTIONS]
    assert all(a <= b for a, b in pairwise(subsets))
    assert len(subsets[-1]) == n


@pytest.mark.parametrize(
    ("fraction", "n", "count"),
    [(0.1, 25, 3), (0.05, 10, 1), (0.15, 10, 2), (0.1, 20, 2), (0.1, 24, 2), (0.04, 10, 0)],
)
def test_halves_are_rounded_up(fraction, n, count):
    assert n_labelled(fraction, n) == count


def test_draws_differ_and_do_not_depend_on_the_order_given():
    ids = [f"c{i}" for i in range(20)]
    orders = [draw_order(np.random.default_rng(draw), ids) for draw in range(3)]
    assert len(set(orders)) == 3
    assert draw_order(np.random.default_rng(0), ids[::-1]) == orders[0]


@pytest.mark.parametrize(("n", "fraction"), [(4, 0.1), (4, 0.0), (4, 1.5), (0, 1.0)])
def test_a_fraction_that_leaves_nothing_is_a_config_error(n, fraction):
    with pytest.raises(ConfigError, match="no labelled case"):
        subset([str(i) for i in range(n)], fraction)


@given(seed=st.integers(0, 1000))
def test_every_prefix_keeps_the_shares_of_the_strata(seed):
    strata = {f"c{i}": "CT" if i < 20 else "MR" for i in range(30)}
    order = draw_order(np.random.default_rng(seed), list(strata), strata)
    for count in range(1, 31):
        n_ct = sum(strata[name] == "CT" for name in order[:count])
        assert abs(n_ct - count * 2 / 3) <= 1


@pytest.mark.parametrize("draw", range(3))
def test_five_fractions_of_a_split_are_nested_in_each_of_three_draws(draw):
    index = {"cases": [f"c{i:02d}" for i in range(60)]}
    split, subsets = label_subsets(index, {"seed": 11, "train": 40, "test": 20}, FRACTIONS, 3)
    held = [set(subsets[fraction, draw]["labelled"]) for fraction in FRACTIONS]
    assert [len(cases) for cases in held] == [2, 4, 8, 20, 40]
    assert all(a < b for a, b in pairwise(held))
    assert all(held[1] != set(subsets[0.1, other]["labelled"]) for other in range(3) if other != draw)
    for fraction in FRACTIONS:
        parts = subsets[fraction, draw]
        assert sorted(parts["labelled"] + parts["unlabelled"]) == split["train"]
