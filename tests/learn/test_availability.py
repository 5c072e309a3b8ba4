"""Samplers of modalities: how often each subset is drawn, and that nothing absent is ever shown."""

from collections import Counter

import pytest
import torch

from parallax.learn.availability import any_size, any_subset, drop_modalities, subsets

DRAWS = 64_000
#: Sampler to the probability of one given subset of four modalities, by its size.
FREQUENCIES = {
    drop_modalities: {1: 5 / 64, 2: 1 / 16, 3: 1 / 16, 4: 1 / 16},
    any_subset: {1: 1 / 15, 2: 1 / 15, 3: 1 / 15, 4: 1 / 15},
    any_size: {1: 1 / 16, 2: 1 / 24, 3: 1 / 16, 4: 1 / 4},
}


@pytest.mark.parametrize("draw", FREQUENCIES, ids=lambda draw: draw.__name__)
def test_each_subset_of_four_has_its_published_frequency(draw):
    kept = draw(torch.ones(DRAWS, 4, dtype=torch.bool), torch.Generator().manual_seed(0))
    counts = Counter(map(tuple, kept.tolist()))
    assert len(counts) == 15
    for subset, count in counts.items():
        p = FREQUENCIES[draw][sum(subset)]
        assert count / DRAWS == pytest.approx(p, abs=4.5 * (p / DRAWS) ** 0.5)


@pytest.mark.parametrize(("k", "mean"), [(2, 1.25), (3, 1.625), (4, 2.0625)])
def test_dropout_keeps_the_expected_number(k, mean):
    kept = drop_modalities(torch.ones(20000, k, dtype=torch.bool), torch.Generator().manual_seed(0))
    assert kept.sum(dim=1).float().mean().item() == pytest.approx(mean, abs=0.03)


@pytest.mark.parametrize("draw", FREQUENCIES, ids=lambda draw: draw.__name__)
def test_what_is_absent_is_never_shown_and_something_always_is(draw):
    available = torch.tensor([[True, False, True], [False, True, False]]).repeat(500, 1)
    kept = draw(available, torch.Generator().manual_seed(0))
    assert not (kept & ~available).any()
    assert kept.any(dim=1).all()
    assert len(set(map(tuple, kept.tolist()))) == 4


@pytest.mark.parametrize(("k", "number"), [(1, 1), (2, 3), (3, 7), (4, 15)])
def test_number_of_subsets(k, number):
    found = subsets(k)
    assert len(found) == len(set(map(tuple, found))) == number
    assert all(any(some) for some in found)
    assert found[-1] == [True] * k
