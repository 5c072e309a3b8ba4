"""FixMatch: pseudo-labels, both loss terms and every switch."""

import math
import sys

import pytest
import torch
from toy import toy_batches, toy_task, toy_view

from parallax.case import IGNORE
from parallax.learn.loop import Clock
from parallax.learn.loss_forms import dice_ssl4mis
from parallax.learn.pseudo import hard_labels
from parallax.plugin import load_method, method_card

KIND = load_method("fixmatch")
CARD = method_card("fixmatch")
CODE = sys.modules[KIND.__module__]
ALL = torch.ones(1, 1, dtype=torch.bool)


def make(budget, task=None, preset="paper", **changes):
    return KIND(task or toy_task(), budget, switches={**CARD.presets[preset], **changes}, seed=0)


def of(*voxels):
    """Logits [1, 1, C, n, 1, 1] whose softmax is given, voxel by voxel."""
    return torch.tensor(voxels).log().T[None, None, :, :, None, None]


def test_only_what_is_sure_becomes_a_label(budget):
    logits = of((0.02, 0.97, 0.01), (0.03, 0.94, 0.03), (0.2, 0.2, 0.6), (0.96, 0.02, 0.02))
    sure = make(budget).pseudo_labels(logits, ALL).flatten().tolist()
    assert sure == [1, IGNORE, IGNORE, 0]
    ignored = make(budget, lowconf="class0").pseudo_labels(logits, ALL).flatten().tolist()
    assert ignored == [1, 0, 0, 0]
    assert make(budget, threshold=0.5).pseudo_labels(logits, ALL).flatten().tolist() == [1, 1, 2, 0]


def test_confidence_of_the_release_looks_at_the_unlikeliest_class(budget):
    """(p - min p) / max p of the likeliest class: 1 - 0.05 / 0.50 = 0.9 is sure, 1 - 0.2 / 0.6 is not."""
    logits = of((0.45, 0.50, 0.05), (0.2, 0.2, 0.6))
    assert make(budget, preset="released").pseudo_labels(logits, ALL).flatten().tolist() == [1, 0]
    assert hard_labels(logits, threshold=0.8, relative=True).flatten().tolist() == [1, IGNORE]


def test_an_absent_modality_has_no_label_even_where_unsure_means_background(budget):
    logits, available = torch.zeros(1, 2, 3, 2, 2, 2), torch.tensor([[True, False]])
    label = make(budget, preset="released").pseudo_labels(logits, available)
    assert (label[:, 0] == 0).all()
    assert (label[:, 1] == IGNORE).all()


def test_the_loss_by_hand():
    """Two voxels of four are sure: their cross-entropies are added and divided by four."""
    logits = of((0.8, 0.2), (0.4, 0.6), (0.5, 0.5), (0.9, 0.1))
    label = torch.tensor([0, 1, IGNORE, IGNORE]).view(1, 1, 4, 1, 1)
    ce = -(math.log(0.8) + math.log(0.6)) / 4
    dice = [2 * 0.8 / (0.8**2 + 0.4**2 + 1), 2 * 0.6 / (0.2**2 + 0.6**2 + 1)]
    expected = 0.5 * (ce + 1 - sum(dice) / 2)
    assert CODE.pseudo_label_loss(logits, label, ALL).item() == pytest.approx(expected, abs=1e-4)


def test_nothing_sure_costs_nothing():
    logits = torch.zeros(1, 1, 2, 4, 1, 1, requires_grad=True)
    loss = CODE.pseudo_label_loss(logits, torch.full((1, 1, 4, 1, 1), IGNORE), ALL)
    loss.backward()
    assert loss == 0
    assert logits.grad.abs().max() == 0


def test_dice_form():
    label = torch.zeros(2, 4, 4, 4, dtype=torch.long)
    perfect = torch.nn.functional.one_hot(label, 5).movedim(-1, 1).double() * 1000.0
    assert dice_ssl4mis(perfect, label).item() == pytest.approx(0.0, abs=1e-6)
    logits = torch.randn(2, 5, 4, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    label[:, :2] = 3
    p, y = logits.softmax(1), torch.nn.functional.one_hot(label, 5).movedim(-1, 1)
    over = (0, 2, 3, 4)
    dice = (2 * (p * y).sum(over) + 1e-5) / ((p * p).sum(over) + (y * y).sum(over) + 1e-5)
    assert dice_ssl4mis(logits, label).item() == pytest.approx(1 - dice.mean().item(), abs=1e-6)


def test_complementary_loss_of_an_even_map_is_0_and_of_a_point_by_hand():
    weak = torch.randn(1, 2, 8, 1, 1)
    assert CODE.complementary_loss(weak, torch.zeros(1, 2, 8, 1, 1)).item() == pytest.approx(0.0, abs=1e-6)
    strong = torch.zeros(1, 2, 8, 1, 1)
    strong[0, 1] = -1000.0
    strong[0, :, 0] = torch.tensor([-1000.0, 0.0]).view(2, 1, 1)
    # class 1 is all in voxel 0 (entropy 0), class 0 is even over the seven others (entropy ln 7)
    w = 1 - math.log(7) / math.log(8) / 2
    weak = -strong  # the weak view calls unlikely what the strong view says: dearest
    cost = -math.log(math.exp(0.0) / (math.exp(0.0) + math.exp(1.0)))
    assert CODE.complementary_loss(weak, strong).item() == pytest.approx(w**2 * cost, rel=1e-4)


def test_complementary_loss_has_a_finite_gradient_and_none_into_the_weak_view():
    weak, strong = (torch.randn(1, 2, 8, 1, 1, requires_grad=True) for _ in range(2))
    CODE.complementary_loss(weak, strong * 1000.0).backward()
    assert weak.grad is None
    assert strong.grad.isfinite().all()


def test_a_class_that_vanishes_everywhere_costs_a_finite_amount():
    strong = torch.zeros(1, 2, 8, 1, 1)
    strong[0, 1] = -1000.0
    assert CODE.complementary_loss(strong, strong).isfinite()


@pytest.mark.parametrize("preset", ["paper", "released"])
def test_no_gradient_flows_through_the_labels(budget, preset, monkeypatch):
    """With the labels as constants the gradient is the same."""
    view = toy_view(toy_task())
    labelled, bare = toy_batches(view)
    method, clock = make(budget, preset=preset, threshold=0.5, lambda_max=10.0), Clock(5, 6, 0)
    net = method.build()

    def gradients():
        net.zero_grad()
        torch.stack(list(method.loss(net, labelled, bare, clock).values())).sum().backward()
        return torch.cat([p.grad.flatten() for p in net.parameters()])

    as_it_is = gradients()
    constant = method.weak(net[0], bare).clone()
    assert not constant.requires_grad
    monkeypatch.setattr(method, "weak", lambda *_: constant)
    assert torch.equal(gradients(), as_it_is)


@pytest.mark.parametrize(
    "changes",
    [
        {"lambda_max": 0.5},
        {"ramp_fraction": 0.0},
        {"ramp_stairs": 2},
        {"threshold": 0.99},
        {"confidence": "relative"},
        {"lowconf": "class0"},
        {"complementary": True},
        {"jitter": 0.1},
        {"curve": 0.0},
        {"jitter_probability": 0.0},
        {"blur_sd_voxels": 0.2},
        {"blur_probability": 0.0},
    ],
    ids="+".join,
)
def test_switches_change_the_unlabelled_term_alone(terms_where_some_are_sure, changes):
    plain, changed = terms_where_some_are_sure(KIND), terms_where_some_are_sure(KIND, **changes)
    assert plain["unlabelled"] != changed["unlabelled"]
    assert plain["supervised"] == changed["supervised"]


def test_stairs_and_passes_of_the_release(budget):
    released = make(budget, preset="released")
    assert len({released.weight(Clock(step, 30000, 0)) for step in range(150, 300)}) == 1
    assert make(budget).weight(Clock(0, 30000, 0)) == pytest.approx(6.738e-3, rel=1e-3)
    assert make(budget, ramp_fraction=0.0).weight(Clock(0, 30000, 0)) == 1.0
    assert make(budget).forward_passes_per_step == 3
    assert released.forward_passes_per_step == 4


def test_a_strong_view_is_what_learns_from_the_label(budget, monkeypatch):
    _, bare = toy_batches(toy_view(toy_task()))
    method, seen = make(budget), []
    net = method.build()[0]
    monkeypatch.setattr(net, "encode", lambda image, available: seen.append(image) or [image])
    monkeypatch.setattr(net, "decode", lambda features: features[0])
    method.answer_strong(net, bare, Clock(0, 6, 0), "unlabelled")
    method.weak(net, bare)
    assert not torch.equal(seen[0], bare.image)
    assert torch.equal(seen[1], bare.image)


def test_one_modality_works_and_learns(dice_of_one_modality):
    assert dice_of_one_modality(KIND) > 0.6
