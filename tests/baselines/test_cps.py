"""CPS: who learns from whom, on what, and every switch."""

import math

import pytest
import torch
from toy import toy_batches, toy_task, toy_view

from parallax.case import IGNORE
from parallax.learn.batch import Batch
from parallax.learn.fusion import half_dice_ce
from parallax.learn.loop import Clock
from parallax.plugin import load_method, method_card

KIND = load_method("cps")
CARD = method_card("cps")
TASK = toy_task(2, 3)
VIEW = toy_view(TASK)
LATE = Clock(5, 6, 0)


def make(budget, preset="paper", **changes):
    return KIND(TASK, budget, switches={**CARD.presets[preset], **changes}, seed=0)


def terms_of(method, clock=LATE):
    return method.loss(method.build(), *toy_batches(VIEW), clock)


class Answers(torch.nn.Module):
    """Always the same logits: `strength` for one class at each voxel, 0 for the others."""

    def __init__(self, classes, strength):
        super().__init__()
        one_hot = torch.nn.functional.one_hot(classes, TASK.n_classes).movedim(-1, 2)
        self.logits = torch.nn.Parameter(strength * one_hot.float())

    def forward(self, image, available):
        return self.logits


def of_two(first, second):
    return torch.nn.ModuleDict({"first": first, "second": second})


def test_pseudo_terms_by_hand(budget):
    """Where the two agree, and where one says class 1 and the other class 2."""
    method, (labelled, bare) = make(budget), toy_batches(VIEW)
    ones, twos = torch.ones_like(labelled.label), torch.full_like(labelled.label, 2)
    surprise = {  # -ln of the softmax of the other's class, of logits (0, s, 0)
        (True, 9.0): math.log(1 + 2 * math.exp(-9.0)),
        (False, 9.0): 9.0 + math.log(1 + 2 * math.exp(-9.0)),
    }
    for agree in (True, False):
        pair = of_two(Answers(ones, 9.0), Answers(ones if agree else twos, 9.0))
        terms = method.learn(pair, labelled, bare, LATE)
        expected = method.weight(LATE) * surprise[agree, 9.0]
        assert terms["pseudo/first"].item() == pytest.approx(expected, rel=1e-3)
        assert terms["pseudo/second"].item() == pytest.approx(expected, rel=1e-3)


def test_no_gradient_flows_through_pseudo_labels(budget):
    terms = {}
    for learns, teaches in (("first", "second"), ("second", "first")):
        net = make(budget).build()
        terms = make(budget).loss(net, *toy_batches(VIEW), LATE)
        terms[f"pseudo/{learns}"].backward()
        assert all(weight.grad is None for weight in net[0][teaches].parameters())
        assert any(weight.grad.abs().max() > 0 for weight in net[0][learns].parameters())


def test_heads_of_absent_modalities_are_not_taught(budget):
    method, (labelled, bare) = make(budget), toy_batches(VIEW)
    bare = Batch(bare.image, None, torch.tensor([[True, False], [True, True]]), bare.cases)
    pair = of_two(
        Answers(torch.ones_like(labelled.label), 2.0), Answers(torch.zeros_like(labelled.label), 2.0)
    )
    terms = method.learn(pair, labelled, bare, LATE)
    (terms["pseudo/first"] + terms["pseudo/second"]).backward()
    for network in pair.values():
        assert network.logits.grad[0, 1].abs().max() == 0
        assert network.logits.grad[0, 0].abs().min() > 0


def test_original_labels_labelled_crops_too_with_full_weight_from_the_start(budget):
    method, (labelled, bare) = make(budget, "original"), toy_batches(VIEW)
    assert method.weight(Clock(0, 6, 0)) == 1.5
    net = method.build()
    terms = method.loss(net, labelled, bare, Clock(0, 6, 0))
    first, second = (
        torch.cat([net[0][name](part.image, part.available) for part in (labelled, bare)])
        for name in ("first", "second")
    )
    for name, mine, other in (("first", first, second), ("second", second, first)):
        expected = torch.nn.functional.cross_entropy(mine.flatten(0, 1), other.argmax(dim=2).flatten(0, 1))
        torch.testing.assert_close(terms[f"pseudo/{name}"], 1.5 * expected)
        known = half_dice_ce(net[0][name](labelled.image, labelled.available), labelled)
        torch.testing.assert_close(terms[f"supervised/{name}"], known)


def test_masks_do_not_reach_pseudo_labels(budget):
    method, (labelled, bare) = make(budget, "original"), toy_batches(VIEW)
    net = method.build()
    other = Batch(labelled.image, torch.full_like(labelled.label, IGNORE), labelled.available, labelled.cases)
    plain, without = (method.loss(net, batch, bare, LATE) for batch in (labelled, other))
    assert plain["pseudo/first"] == without["pseudo/first"]


@pytest.mark.parametrize(
    "changes",
    [
        {"lambda_max": 1.0},
        {"ramp_fraction": 0.5},
        {"ramp_stairs": 2},
        {"pseudo_labels_on": "all"},
        {"second_initial": "he"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_switches_change_the_pseudo_terms(budget, changes):
    usual, other = (terms_of(make(budget, **some)) for some in ({}, changes))
    assert usual["pseudo/first"] != other["pseudo/first"]
    assert usual["supervised/first"] == other["supervised/first"]


def test_the_second_network_starts_elsewhere(budget):
    usual, alike = make(budget).build()[0], make(budget, second_initial="he").build()[0]
    for pair in (usual, alike):
        first, second = (pair[name].unet.head[0].weight for name in ("first", "second"))
        assert not torch.equal(first, second)
    kernel = usual["second"].unet.encoder.stages[1][0].convs[0].conv.weight
    fan_in, fan_out = (kernel.shape[side] * 27 for side in (1, 0))
    assert kernel.std().item() == pytest.approx(math.sqrt(2 / (fan_in + fan_out)), rel=0.1)


def test_without_unlabelled_cases_the_first_is_early_fusion_bit_for_bit(budget, tmp_path):
    view = toy_view(TASK)
    method = make(budget, "supervised_only")
    method.fit(view, tmp_path / "a")
    plain = load_method("early_fusion")(TASK, budget, switches={}, seed=0)
    plain.fit(view, tmp_path / "b")
    pairs = zip(method.net[0]["first"].parameters(), plain.net.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_preset_says_who_answers(budget):
    image, available = torch.randn(1, 2, 16, 16, 16), torch.ones(1, 2, dtype=torch.bool)
    net = make(budget).build()
    for name in ("first", "second"):
        answer = make(budget, predict_with=name).logits(net, image, available)
        assert torch.equal(answer, net[0][name](image, available))


def test_each_network_is_a_group(budget):
    method = make(budget)
    net = method.build()
    groups = method.parameter_groups(net)
    assert [len(group["params"]) for group in groups] == [len(list(n.parameters())) for n in net[0].values()]
    assert method.forward_passes_per_step == 4
