"""UniMatch: CutMix of strong views, perturbed features, weights of the terms and every switch."""

import sys

import pytest
import torch
from toy import toy_batches, toy_task, toy_view

from parallax.case import IGNORE
from parallax.learn.batch import Batch
from parallax.learn.loop import Clock
from parallax.plugin import load_method, method_card

KIND = load_method("unimatch")
CARD = method_card("unimatch")
CODE = sys.modules[KIND.__module__]
CLOCK = Clock(3, 6, 0)
UNCHANGED = {"jitter_probability": 0.0, "blur_probability": 0.0}


def make(budget, task=None, preset="paper", **changes):
    return KIND(task or toy_task(), budget, switches={**CARD.presets[preset], **changes}, seed=0)


def marked(available):
    """Items whose voxels and labels all hold the number of the item."""
    there = torch.tensor(available)
    number = torch.arange(len(there)).view(-1, 1, 1, 1, 1).expand(-1, there.shape[1], 10, 10, 10)
    label = number.where(there[:, :, None, None, None], IGNORE)
    return Batch(number.float(), label, there, tuple(f"c{i}" for i in range(len(there))))


def test_boxes_hold_2_to_40_percent_of_the_next_item_with_its_labels(budget):
    items = 60
    mixed = make(budget, cutmix_probability=1.0, **UNCHANGED).view(marked([[True]] * items), CLOCK, "first")
    assert torch.equal(mixed.image.long(), mixed.label)
    own = torch.arange(items).view(-1, 1, 1, 1, 1)
    foreign = mixed.label != own
    assert torch.equal(mixed.label[foreign], ((own + 1) % items).expand_as(mixed.label)[foreign])
    share = foreign.flatten(1).float().mean(dim=1)
    assert share.max() <= 0.4
    # rounding down to voxels of a crop of ten may take a box below 2 %: sides of 2.7 become 2
    assert share.min() >= 0.008
    assert share.max() - share.min() > 0.2


def test_half_of_the_items_are_mixed(budget):
    mixed = make(budget, **UNCHANGED).view(marked([[True]] * 400), CLOCK, "first")
    changed = (mixed.label != torch.arange(400).view(-1, 1, 1, 1, 1)).flatten(1).any(dim=1)
    assert changed.float().mean().item() == pytest.approx(0.5, abs=0.125)


def test_a_mixed_item_has_what_both_have_and_another_keeps_its_own(budget):
    some = [[True, True], [True, False]] * 20
    mixed = make(budget, **UNCHANGED).view(marked(some), CLOCK, "first")
    changed = (mixed.label[:, 0] != torch.arange(40).view(-1, 1, 1, 1)).flatten(1).any(dim=1)
    assert changed.any()
    assert not changed.all()
    assert torch.equal(mixed.available[:, 1], torch.tensor(some)[:, 1] & ~changed)
    assert mixed.available[:, 0].all()
    assert (mixed.label[~mixed.available] == IGNORE).all()


def test_an_item_alone_meets_itself(budget):
    mixed = make(budget, cutmix_probability=1.0, **UNCHANGED).view(marked([[True]]), CLOCK, "first")
    assert (mixed.label == 0).all()
    assert mixed.available.all()


def test_the_two_views_differ_and_are_reproducible(budget):
    _, bare = toy_batches(toy_view(toy_task()))
    method = make(budget)
    first, second, again = (method.view(bare, CLOCK, key) for key in ("first", "second", "first"))
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, second.image)


def test_channels_are_dropped_whole_and_at_all_levels(budget, monkeypatch):
    labelled, bare = toy_batches(toy_view(toy_task()))
    method = make(budget)
    net, decoded = method.build(), []
    decode = net[0].decode
    monkeypatch.setattr(net[0], "decode", lambda features: decoded.append(features) or decode(features))
    torch.manual_seed(0)
    method.loss(net, labelled, bare, CLOCK)
    # decoded: labelled crops, weak view, perturbed features, strong views
    weak, perturbed = decoded[1], decoded[2]
    assert len(weak) == len(budget.widths)
    for plain, dropped in zip(weak, perturbed, strict=True):
        gone = (dropped == 0).flatten(2).all(dim=2)
        assert gone.any()
        assert not gone.all()
        assert torch.equal(dropped[~gone], 2.0 * plain[~gone])
    assert not torch.equal(*((x == 0).flatten(2).all(dim=2)[:, :4] for x in perturbed))
    assert len(decoded[3][0]) == 4  # two strong views of two items


def test_terms_are_weighted_as_published(budget, monkeypatch):
    """L_x + 0.25 Dice_s1 + 0.25 Dice_s2 + 0.5 Dice_fp: twice the published sum, from the first step."""
    labelled, bare = toy_batches(toy_view(toy_task()))
    costs = iter([torch.tensor(1.0), torch.tensor(10.0), torch.tensor(100.0)])
    monkeypatch.setattr(CODE, "dice_of", lambda *_: next(costs))
    method = make(budget)
    terms = method.loss(method.build(), labelled, bare, Clock(0, 6, 0))
    assert terms["strong"].item() == pytest.approx(0.25 * 1 + 0.25 * 10)
    assert terms["feature"].item() == pytest.approx(0.5 * 100)
    assert method.forward_passes_per_step == 5


def test_without_perturbation_all_views_cost_the_same(budget):
    labelled, bare = toy_batches(toy_view(toy_task()))
    method = make(budget, cutmix_probability=0.0, feature_dropout=0.0, threshold=0.0, **UNCHANGED)
    terms = method.loss(method.build(), labelled, bare, CLOCK)
    assert terms["strong"].item() == pytest.approx(terms["feature"].item(), rel=1e-5)


def test_no_gradient_flows_through_the_labels(budget, monkeypatch):
    """With the labels as constants the gradient is the same."""
    labelled, bare = toy_batches(toy_view(toy_task()))
    method = make(budget, threshold=0.5)
    net = method.build()

    def gradients():
        net.zero_grad()
        torch.manual_seed(0)  # of the channels that are dropped
        torch.stack(list(method.loss(net, labelled, bare, CLOCK).values())).sum().backward()
        return torch.cat([p.grad.flatten() for p in net.parameters()])

    as_it_is = gradients()
    constant = method.pseudo_labels(net[0], net[0].encode(bare.image, bare.available), bare.available)
    monkeypatch.setattr(method, "pseudo_labels", lambda *_: constant)
    assert torch.equal(gradients(), as_it_is)


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"lambda_max": 0.5}, {"strong", "feature"}),
        ({"ramp_fraction": 1.0}, {"strong", "feature"}),
        ({"ramp_fraction": 1.0, "ramp_stairs": 2}, {"strong", "feature"}),
        ({"threshold": 0.99}, {"strong", "feature"}),
        ({"strong_weight": 0.25}, {"strong"}),
        ({"feature_weight": 0.25}, {"feature"}),
        ({"feature_dropout": 0.1}, {"feature"}),
        ({"cutmix_probability": 0.0}, {"strong"}),
        ({"cutmix_least": 0.4}, {"strong"}),
        ({"cutmix_most": 0.03}, {"strong"}),
        ({"jitter": 0.1}, {"strong"}),
        ({"curve": 0.0}, {"strong"}),
        ({"jitter_probability": 0.0}, {"strong"}),
        ({"blur_sd_voxels": 0.2}, {"strong"}),
        ({"blur_probability": 0.0}, {"strong"}),
    ],
    ids=lambda given: "+".join(given) if isinstance(given, dict) else "",
)
def test_each_switch_changes_its_terms_alone(terms_where_some_are_sure, changes, changed):
    plain, other = terms_where_some_are_sure(KIND), terms_where_some_are_sure(KIND, **changes)
    assert {key for key in plain if plain[key] != other[key]} == changed


def test_one_modality_works_and_learns(dice_of_one_modality):
    assert dice_of_one_modality(KIND) > 0.6
