"""Losses of an undecided guess over a handful of voxels, worked out on paper."""

import math

import pytest
import torch

from parallax.case import IGNORE
from parallax.learn.consistency import (
    prediction_agreement,
    soft_agreement,
    squared_dice_ce,
    unsupervised_weights,
)
from parallax.learn.loss_forms import (
    dice_cmdfl,
    dice_mcnet,
    dice_rfnet,
    dice_robustseg,
    dice_ssl4mis,
    over_heads,
    wce,
)
from parallax.learn.losses import dice_ce, kd, nll_by_gather, softmax_ce, softmax_mse

LN2 = math.log(2)
#: Two items of four voxels, of which one shows class 1.
LABEL = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0]])
#: Half for each of two classes.
UNDECIDED = torch.zeros(2, 2, 4, dtype=torch.float64)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        # over the batch: overlaps 3.5 and 0.5, truths 7 and 1, guesses 4 and 4, their squares 2 and 2
        (dice_ssl4mis, 1 - (7 / 9 + 1 / 3) / 2),
        (dice_robustseg, 1 - (7 / 9 + 1 / 3) / 2),
        (dice_rfnet, 1 - (7 / 11 + 1 / 5) / 2),
        (dice_mcnet, 1 - 1 / 5),
        # per item, class 1 alone: 2 * 0.5 / (1 + 1), and nothing of a class that the item lacks
        (dice_cmdfl, 1 - (1 / 2 + 0) / 2),
    ],
)
def test_dice_forms_of_an_undecided_guess(form, expected):
    assert form(UNDECIDED, LABEL).item() == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(
    ("form", "dice"),
    [
        (dice_ssl4mis, (2 * 0.5 + 1e-5) / (0.25 + 1 + 1e-5) / 2 + 1e-5 / (0.25 + 1e-5) / 2),
        (dice_mcnet, 1e-8 / (0.5 + 1e-8)),
        (dice_cmdfl, 1e-5 / (0.25 + 1e-5)),
        (dice_robustseg, 1 / (1.25 + 1e-7) / 2),
        (dice_rfnet, 1 / (1.5 + 1e-7) / 2),
    ],
)
def test_smoothing_of_a_class_that_one_voxel_lacks(form, dice):
    one = form(UNDECIDED[:1, :, :1], LABEL[:1, :1])
    assert one.item() == pytest.approx(1 - dice, abs=1e-12)


def test_dice_ce_of_an_undecided_guess():
    """Dice (2 * 1.5 + 1) / (2 + 3 + 1) and (2 * 0.5 + 1) / (2 + 1 + 1) with a smoothing of one voxel."""
    found = dice_ce(UNDECIDED[:1], LABEL[:1], smooth=1.0).item()
    assert found == pytest.approx(LN2 + 1 - (4 / 6 + 2 / 4) / 2)
    assert dice_ce(UNDECIDED[:1], LABEL[:1]).item() == pytest.approx(LN2 + 1 - (23 / 25 + 21 / 23) / 2)
    half = LABEL[:1].clone()
    half[0, 0] = IGNORE  # three voxels are left: Dice (2 + 1) / (1.5 + 2 + 1) and (1 + 1) / (1.5 + 1 + 1)
    assert dice_ce(UNDECIDED[:1], half, smooth=1.0).item() == pytest.approx(LN2 + 1 - (3 / 4.5 + 2 / 3.5) / 2)


def test_squared_dice_ce_of_an_undecided_guess():
    """Overlaps 1.5 and 0.5; squares of the guess 1 and 1, of the truth 3 and 1."""
    found = squared_dice_ce(UNDECIDED[:1, :, :, None, None], LABEL[:1, :, None, None]).item()
    assert found == pytest.approx(LN2 + 1 - (3 / 4 + 1 / 2) / 2, abs=1e-5)
    # of three classes the third is shown by nobody and still counts
    three = torch.zeros(1, 3, 4, 1, 1)
    size = 4 / 9
    dice = (2.0 / (size + 3), (2 / 3) / (size + 1), 0.0)
    wanted = math.log(3) + 1 - sum(dice) / 3
    assert squared_dice_ce(three, LABEL[:1, :, None, None]).item() == pytest.approx(wanted, abs=1e-5)


def test_cross_entropies_of_known_probabilities():
    logits = torch.log(torch.tensor([[[0.5, 0.25], [0.25, 0.25], [0.25, 0.5]]]))
    label = torch.tensor([[0, 1]])
    assert softmax_ce(logits, label).item() == pytest.approx((LN2 + 2 * LN2) / 2)
    assert softmax_ce(logits, torch.tensor([[-100, 1]])).item() == pytest.approx(2 * LN2)
    assert softmax_ce(logits, label, ignore=0).item() == pytest.approx(2 * LN2)
    weights = torch.tensor([3.0, 1.0, 9.0])
    found = nll_by_gather(logits, label, weights, IGNORE).item()
    assert found == pytest.approx((3 * LN2 + 2 * LN2) / 4)
    assert nll_by_gather(logits, torch.tensor([[IGNORE, 2]]), weights, IGNORE).item() == pytest.approx(LN2)


def test_weights_of_classes_in_wce():
    """Of 8 voxels 7 show class 0: weights 1/8 and 7/8. Per item 1/4 and 3/4, and 0 where one class is all."""
    assert wce(UNDECIDED, LABEL).item() == pytest.approx((7 * 1 / 8 + 7 / 8) / 8 * LN2)
    assert wce(UNDECIDED, LABEL, per_item=True).item() == pytest.approx((3 / 4 + 3 / 4) / 8 * LN2)
    heads = torch.stack([UNDECIDED, UNDECIDED], 1)
    labels = torch.stack([LABEL, torch.full_like(LABEL, IGNORE)], 1)
    assert over_heads(wce, heads, labels).item() == pytest.approx((7 * 1 / 8 + 7 / 8) / 8 * LN2)


def test_distillation_is_summed_over_classes_and_averaged_over_voxels():
    teacher = torch.log(torch.tensor([[[0.5, 0.25], [0.5, 0.75]]], dtype=torch.float64))
    student = torch.zeros_like(teacher)
    one = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert kd(teacher, student).item() == pytest.approx(one / 2)
    assert softmax_mse(student, teacher).item() == pytest.approx((0 + 0.25**2) / 2)
    teacher.requires_grad_()
    assert not kd(teacher, student).requires_grad  # unless it is asked for, the teacher learns nothing


def test_two_maps_agree_on_what_neither_shows():
    nothing, half = torch.zeros(1, 2, 4), torch.full((1, 2, 4), 0.5)
    assert soft_agreement(nothing, nothing, 1e-6).item() == 1.0
    assert soft_agreement(half, nothing, 1.0).item() == pytest.approx(1 / (4 * 0.25 + 1))
    assert soft_agreement(half, half / 2, 1.0).item() == pytest.approx(
        (4 * 0.25 + 1) / (4 * (0.25 + 1 / 16) + 1)
    )


def test_a_prediction_gains_nothing_by_being_empty():
    """Where one shows half a class and the other nothing, agreement is 1e-6 / (4 * 0.25 + 1e-6)."""
    half, nothing = torch.full((1, 1, 4), 0.5, dtype=torch.float64), torch.zeros(1, 1, 4, dtype=torch.float64)
    found = prediction_agreement(half, nothing, form="plus_similarity", on="raw_logits_all").item()
    assert found == pytest.approx(1e-6, rel=1e-3)
    apart = prediction_agreement(half, nothing, form="one_minus_soft_dice", on="raw_logits_all").item()
    assert apart == pytest.approx(1 - 1e-6, abs=2e-7)


def test_weights_of_the_unsupervised_terms():
    def weights(form, fraction):
        found = unsupervised_weights(form, fraction)
        assert list(found) == ["csc", "cac"]
        return tuple(found.values())

    assert weights("ones_rampup100", 1.0) == (1.0, 1.0)
    assert weights("ones_rampup100", 0.5) == pytest.approx((math.exp(-1.25),) * 2)
    assert weights("ones_rampup40", 0.2) == pytest.approx((math.exp(-1.25),) * 2)
    assert weights("ones_rampup40", 0.4) == (1.0, 1.0)
    assert weights("head_ramps_gate70", 0.699) == (0.0, 0.0)
    wanted = (math.exp(-5 * 0.3**2), (1 + math.cos(0.7 * math.pi)) / 2)
    assert weights("head_ramps_gate70", 0.7) == pytest.approx(wanted)
