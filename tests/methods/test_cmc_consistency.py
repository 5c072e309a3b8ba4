import itertools
import math

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from parallax.errors import ConfigError
from parallax.learn.consistency import (
    channel_infonce,
    cosines,
    memory_rows_ntxent,
    over_pairs,
    prediction_agreement,
    soft_agreement,
    squared_dice_ce,
    unsupervised_weights,
)

PAPER = {"form": "one_minus_soft_dice", "on": "softmax_foreground"}
RELEASED = {"form": "plus_similarity", "on": "raw_logits_all"}


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def peak_mb(work):
    """Largest amount of memory that tensors made by `work` hold at one time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as report:
        work()
    changes = [e for e in report.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = itertools.accumulate(e.nbytes() for e in sorted(changes, key=lambda e: e.start_ns()))
    return max(held) / 1e6


def test_csc_of_the_paper_stays_below_100_mb_with_512_channels_at_16_cubed():
    a, b = noise(1, 512, 16, 16, 16).requires_grad_(), noise(1, 512, 16, 16, 16, seed=1).requires_grad_()
    assert 2 * 512 * 16**3 * 4 / 1e6 < peak_mb(lambda: channel_infonce(a, b).backward()) < 100


def test_pairwise_broadcast_takes_much_where_the_product_takes_little():
    a, b = noise(1, 128, 8, 8, 8), noise(1, 128, 8, 8, 8, seed=1)
    assert peak_mb(lambda: cosines(a.flatten(2), b.flatten(2), "broadcast")) > 30
    assert peak_mb(lambda: cosines(a.flatten(2), b.flatten(2))) < 1


def test_csc_as_released_would_take_128_gib_and_is_refused():
    features = torch.empty(1, 512, 16, 16, 16, device="meta")
    with pytest.raises(ConfigError, match="131072 MiB"):
        memory_rows_ntxent(features, features, value="broadcast")


def test_broadcast_equals_matmul_on_a_small_grid():
    a, b = noise(2, 32, 4, 4, 4), noise(2, 32, 4, 4, 4, seed=1)
    for form in (channel_infonce, memory_rows_ntxent):
        assert float(form(a, b, value="broadcast")) == pytest.approx(
            float(form(a, b, value="matmul")), abs=1e-5
        )


def test_csc_sees_channels_and_does_not_see_where_voxels_lie():
    a, b = noise(2, 8, 4, 4, 4), noise(2, 8, 4, 4, 4, seed=1)
    b = a + 0.3 * b
    before = float(channel_infonce(a, b))
    voxels, channels = torch.randperm(64), torch.arange(8).roll(1)
    moved = [x.flatten(2)[..., voxels].view_as(x) for x in (a, b)]
    assert float(channel_infonce(*moved)) == pytest.approx(before, abs=1e-5)
    assert float(channel_infonce(a, b[:, channels])) > before + 0.5


def test_rows_of_the_release_are_neither_channels_nor_voxels():
    a, b = noise(1, 8, 4, 4, 4), noise(1, 8, 4, 4, 4, seed=1)
    b = a + 0.3 * b
    voxels = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    moved = [x.flatten(2)[..., voxels].view_as(x) for x in (a, b)]
    assert float(memory_rows_ntxent(*moved)) != pytest.approx(float(memory_rows_ntxent(a, b)), abs=1e-5)
    assert float(memory_rows_ntxent(a, b)) != pytest.approx(float(channel_infonce(a, b)), abs=1e-2)


def test_ntxent_of_rows_that_are_all_equal_is_the_log_of_their_number():
    ones = torch.ones(2, 4, 2, 2, 2)
    assert float(memory_rows_ntxent(ones, ones)) == pytest.approx(math.log(2 * 8 - 1), abs=1e-5)
    assert float(channel_infonce(ones, ones)) == pytest.approx(math.log(4), abs=1e-5)


def test_ntxent_of_two_orthogonal_rows_by_hand():
    rows = torch.eye(2).reshape(1, 2, 2, 1, 1)  # two "rows" of two numbers, equal in both modalities
    expected = -math.log(math.exp(2) / (math.exp(2) + 2 * math.exp(0)))
    assert float(memory_rows_ntxent(rows, rows)) == pytest.approx(expected, abs=1e-6)


def test_cac_falls_as_agreement_rises_and_ignores_a_shift_of_the_logits():
    a, b = 3 * noise(2, 3, 6, 6, 6), 3 * noise(2, 3, 6, 6, 6, seed=1)
    values = [float(prediction_agreement(a, a + w * (b - a), **PAPER)) for w in (1.0, 0.6, 0.3, 0.0)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(0.0, abs=1e-6)
    assert float(prediction_agreement(a + 7.0, b, **PAPER)) == pytest.approx(values[0], abs=1e-5)


def test_cac_as_released_rises_with_agreement_and_moves_under_a_constant():
    a = noise(1, 3, 6, 6, 6)
    assert float(prediction_agreement(a, a, **RELEASED)) == pytest.approx(1.0, abs=1e-5)
    assert float(prediction_agreement(a, a + 30.0, **RELEASED)) < 0.3


def test_each_switch_of_cac_alone_changes_its_value():
    a, b = noise(1, 3, 6, 6, 6), noise(1, 3, 6, 6, 6, seed=1)
    forms, inputs = ("one_minus_soft_dice", "plus_similarity"), ("softmax_foreground", "raw_logits_all")
    values = [float(prediction_agreement(a, b, form=f, on=o)) for f in forms for o in inputs]
    assert len({round(v, 4) for v in values}) == 4


@pytest.mark.parametrize(("how", "low", "high"), [(RELEASED, -1.0, -0.9), (PAPER, 0.9, 1.0)])
def test_descent_on_the_released_sign_drives_predictions_apart(how, low, high):
    a, b = noise(1, 3, 4, 4, 4).requires_grad_(), noise(1, 3, 4, 4, 4, seed=1).requires_grad_()
    optimiser = torch.optim.SGD([a, b], lr=20.0)
    for _ in range(100):
        optimiser.zero_grad()
        prediction_agreement(a, b, **how).backward()
        optimiser.step()
    a, b = a.detach(), b.detach()
    x, y = (a, b) if how is RELEASED else (a.softmax(1), b.softmax(1))
    assert low <= float(torch.cosine_similarity(x.flatten(), y.flatten(), dim=0)) <= high


def test_cac_gives_no_reward_for_predicting_less_of_everything():
    a, b = noise(1, 3, 6, 6, 6).abs(), noise(1, 3, 6, 6, 6, seed=1).abs()
    assert float(soft_agreement(0.01 * a, 0.01 * b, 1e-6)) == pytest.approx(
        float(soft_agreement(a, b, 1e-6)), rel=1e-3
    )


def test_ramps():
    head = {e: unsupervised_weights("head_ramps_gate70", e / 500) for e in (349, 350, 400, 499)}
    assert head[349] == {"csc": 0.0, "cac": 0.0}
    assert [round(head[e]["csc"], 3) for e in (350, 400, 499)] == [0.638, 0.819, 1.0]
    assert [round(head[e]["cac"], 4) for e in (350, 400)] == [0.2061, 0.0955]
    assert head[499]["cac"] == pytest.approx(1e-5, rel=0.02)
    whole = [unsupervised_weights("ones_rampup100", f) for f in (0.0, 0.5, 1.0)]
    early = [unsupervised_weights("ones_rampup40", f) for f in (0.0, 0.2, 0.4, 1.0)]
    assert [round(w["csc"], 4) for w in whole] == [0.0067, 0.2865, 1.0]
    assert [round(w["csc"], 4) for w in early] == [0.0067, 0.2865, 1.0, 1.0]
    assert all(w["csc"] == w["cac"] for w in whole + early)


def test_pairs_of_three_modalities_are_averaged_and_missing_ones_drop_out():
    streams = [torch.full((2, 1), value) for value in (1.0, 2.0, 4.0)]
    everything = torch.ones(2, 3, dtype=torch.bool)

    def gap(a, b):
        return (a - b).abs().mean() + 0.0 * len(a)

    assert float(over_pairs(streams, everything, gap)) == pytest.approx((1 + 3 + 2) / 3)
    without_last = torch.tensor([[True, True, False]] * 2)
    assert float(over_pairs(streams, without_last, gap)) == 1.0
    first_item_alone = torch.tensor([[True, True, False], [True, False, False]])
    assert float(over_pairs(streams, first_item_alone, lambda a, _: torch.tensor(1.0 * len(a)))) == 1.0
    assert over_pairs(streams, torch.tensor([[True, False, False]] * 2), gap) is None


def test_squared_dice_ce_by_hand_and_without_the_unknown_voxels():
    logits, label = torch.zeros(1, 2, 2, 1, 1), torch.tensor([0, 1]).view(1, 2, 1, 1)
    expected = 1 - 2 * 0.5 / (0.5 + 1.0) + math.log(2)
    assert float(squared_dice_ce(logits, label)) == pytest.approx(expected, abs=1e-5)
    wider = torch.cat([logits, 50 * torch.ones(1, 2, 1, 1, 1)], dim=2)
    unknown = torch.cat([label, torch.full((1, 1, 1, 1), 255)], dim=1)
    assert float(squared_dice_ce(wider, unknown)) == pytest.approx(expected, abs=1e-5)
    assert float(squared_dice_ce(wider, torch.full_like(unknown, 255))) == 0.0
