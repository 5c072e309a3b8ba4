"""MC-Net+: three decoders, sharpening, agreement and every switch."""

from itertools import permutations

import pytest
import torch
from torch import nn
from toy import toy_batches, toy_task, toy_view

from parallax.learn.loop import Clock
from parallax.learn.loss_forms import dice_mcnet
from parallax.learn.losses import dice_ce
from parallax.learn.networks import TrilinearUpsample
from parallax.learn.pseudo import sharpened
from parallax.plugin import load_method, method_card

KIND = load_method("mcnet_plus")
CARD = method_card("mcnet_plus")
LATE = Clock(5, 10, 0)


def make(budget, task=None, preset="paper", **changes):
    return KIND(task or toy_task(), budget, switches={**CARD.presets[preset], **changes}, seed=0)


@pytest.fixture(scope="module")
def crops():
    return toy_batches(toy_view(toy_task()))


ALL = torch.ones(2, 2, dtype=torch.bool)


def guesses(seed=0):
    """Logits of three decoders [3, 2, 2, 3, 2, 2, 2]."""
    return torch.randn(3, 2, 2, 3, 2, 2, 2, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def by_hand(logits, target):
    """Sum over ordered pairs (i, j) of the mean squared difference of p_i and the target from p_j."""
    p = logits.softmax(dim=3)
    return sum(((p[i] - target[j]) ** 2).mean() for i, j in permutations(range(3), 2))


@pytest.mark.parametrize("renormalise", [True, False])
def test_sharpening_of_the_release(renormalise):
    p = torch.tensor([0.6, 0.4], dtype=torch.float64)
    values = [sharpened(p, t, dim=0, renormalise=renormalise)[0].item() for t in (0.1, 0.5)]
    assert values == pytest.approx([0.98295, 0.69231], abs=5e-6)


def test_sharpening_of_each_class_alone_is_no_distribution():
    p = torch.tensor([0.4, 0.3, 0.3])
    assert sharpened(p, 0.1, dim=0).sum().item() == pytest.approx(1.0)
    assert sharpened(p, 0.1, dim=0, renormalise=False).sum().item() < 0.1


def test_one_encoder_and_three_ways_to_enlarge(budget):
    net = make(budget).build()[0]
    ways = [net.first, *net.others]
    assert [type(stage) for stage in net.first.unet.upsample] == [nn.ConvTranspose3d]
    assert [type(unet.upsample[0][0]) for unet in ways[1:]] == [TrilinearUpsample, nn.Upsample]
    assert net.others[1].upsample[0][0].mode == "nearest"
    names = [name for name, _ in net.named_parameters() if "encoder" in name]
    assert names
    assert all(name.startswith("first.") for name in names)
    first, *others = net.first.unet.fuse[0].parameters(), *(unet.fuse[0].parameters() for unet in net.others)
    weights = [next(iter(part)) for part in (first, *others)]
    assert not any(torch.equal(a, b) for a, b in permutations(weights, 2))


def test_all_decoders_answer_and_the_first_is_scored(budget, crops):
    method = make(budget)
    net = method.build()
    image, available = crops[0].image, crops[0].available
    answers = net[0].answers(image, available)
    assert [tuple(logits.shape) for logits in answers] == [(2, 2, 3, 16, 16, 16)] * 3
    assert torch.equal(method.logits(net, image, available), answers[0])
    assert not torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[1], answers[2])


@pytest.mark.parametrize("norm", ["renormalise", "elementwise"])
def test_agreement_is_a_sum_over_six_pairs(budget, norm):
    logits = guesses()
    target = sharpened(logits.softmax(dim=3), 0.1, dim=3, renormalise=norm == "renormalise")
    found = make(budget, sharpen_norm=norm).disagreement(logits, ALL)
    assert found.item() == pytest.approx(by_hand(logits, target).item(), rel=1e-6)


def test_sharpening_differs_for_three_classes_and_not_for_two(budget):
    ours, theirs = make(budget), make(budget, sharpen_norm="elementwise")
    assert ours.disagreement(guesses(), ALL) != theirs.disagreement(guesses(), ALL)
    two = guesses()[:, :, :, :2].detach()
    assert ours.disagreement(two, ALL).item() == pytest.approx(theirs.disagreement(two, ALL).item(), rel=1e-5)
    assert ours.disagreement(two, ALL) != make(budget, temperature=0.5).disagreement(two, ALL)


def test_targets_carry_no_gradient_but_in_the_release(budget):
    logits = guesses()
    (found,) = torch.autograd.grad(make(budget).disagreement(logits, ALL), logits)
    target = sharpened(logits.softmax(dim=3), 0.1, dim=3).detach()
    (expected,) = torch.autograd.grad(by_hand(logits, target), logits)
    assert torch.allclose(found, expected, atol=1e-7)
    (theirs,) = torch.autograd.grad(make(budget, detach_targets=False).disagreement(logits, ALL), logits)
    assert not torch.allclose(found, theirs, atol=1e-3)


def test_agreement_is_asked_for_on_labelled_and_unlabelled_crops(budget, crops):
    method = make(budget)
    net = method.build()
    terms = method.loss(net, *crops, LATE)
    pairs = zip(*(net[0].answers(c.image, c.available) for c in crops), strict=True)
    answers = torch.stack([torch.cat(pair) for pair in pairs])
    expected = method.weight(LATE) * by_hand(answers, sharpened(answers.softmax(dim=3), 0.1, dim=3))
    assert method.weight(LATE) == 1.0
    assert terms["consistency"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_heads_of_absent_modalities_have_nothing_to_agree_on(budget):
    method, logits = make(budget), guesses().detach()
    some = torch.tensor([[True, False], [True, True]])
    before = method.disagreement(logits, some)
    logits[:, 0, 1] = float("nan")
    assert torch.equal(method.disagreement(logits, some), before)
    assert before != method.disagreement(guesses(), ALL)


def test_supervised_term_is_summed_over_decoders(budget, crops):
    labelled = crops[0]
    method = make(budget)
    net = method.build()
    answers = net[0].answers(labelled.image, labelled.available)
    found = method.loss(net, labelled, None, LATE)
    assert set(found) == {"supervised"}
    costs = [0.5 * dice_ce(logits.flatten(0, 1), labelled.label.flatten(0, 1)) for logits in answers]
    assert found["supervised"].item() == pytest.approx(sum(costs).item(), rel=1e-6)
    theirs = make(budget, supervision="dice").loss(net, labelled, None, LATE)["supervised"]
    maps = [(logits[:, k], labelled.label[:, k]) for logits in answers for k in range(2)]
    assert theirs.item() == pytest.approx(sum(dice_mcnet(*one).item() for one in maps) / 4, rel=1e-5)


def test_dice_of_the_release_for_one_structure():
    """2 * sum(p y) / (sum(p) + sum(y)) of the foreground, over the whole batch."""
    p = torch.tensor([[0.25, 0.5], [1.0, 0.5]])
    logits = torch.stack([(1 - p).clamp_min(1e-30).log(), p.log()], dim=1)
    label = torch.tensor([[0, 1], [1, 0]])
    assert dice_mcnet(logits, label).item() == pytest.approx(1 - 2 * 1.5 / (2.25 + 2), rel=1e-6)
    nothing = torch.zeros_like(label)
    assert dice_mcnet(logits, nothing).item() == pytest.approx(1.0)


def test_ramp_of_40_stairs_out_of_100(budget):
    ours, theirs = make(budget), make(budget, preset="released")
    assert ours.weight(Clock(3000, 15000, 0)) == pytest.approx(0.2865, abs=1e-4)
    assert [ours.weight(Clock(step, 15000, 0)) for step in (6000, 14999)] == [1.0, 1.0]
    assert theirs.weight(Clock(149, 15000, 0)) == theirs.weight(Clock(0, 15000, 0))
    assert ours.weight(Clock(149, 15000, 0)) > ours.weight(Clock(0, 15000, 0))
