"""Cross teaching: who learns from whom, and every switch."""

from __future__ import annotations

from functools import partial
from typing import Any

import branches_toy
import pytest
import torch
import torch.nn.functional as F
from branches_toy import BRANCHES, BUDGET, batches
from toy import toy_task, toy_view

from parallax.case import IGNORE
from parallax.learn.batch import Batch
from parallax.learn.fusion import half_dice_ce
from parallax.learn.loss_forms import dice_ssl4mis
from parallax.learn.nets.swin import SwinUNet
from parallax.learn.network_method import Clock
from parallax.plugin import load_method

KIND = load_method("cross_teaching")
make = partial(branches_toy.make, KIND)
LATE = Clock(5, 6, 0)


def terms(method: Any, net: Any, clock: Clock = LATE, bare: Batch | None = None) -> dict[str, torch.Tensor]:
    labelled, unlabelled = batches()
    found: dict[str, torch.Tensor] = method.loss(net, labelled, bare or unlabelled, clock)
    return found


def test_dice_of_ssl4mis_by_hand():
    """Two voxels, three classes of which nobody shows the third: squared guess, all classes, one sum."""
    p = torch.tensor([[[0.8, 0.4], [0.2, 0.6], [0.0, 0.0]]], dtype=torch.float64)
    dice = [2 * 0.8 / (0.64 + 0.16 + 1), 2 * 0.6 / (0.04 + 0.36 + 1), 1.0]
    found = dice_ssl4mis(p.log(), torch.tensor([[0, 1]])).item()
    assert found == pytest.approx(1 - sum(dice) / 3, abs=1e-5)


def test_terms_are_supervision_of_both_and_dice_on_what_the_other_says():
    method, (labelled, bare) = make(lambda_max=0.7, ramp_fraction=0.0), batches()
    net = method.build()
    answers = {b: net[0][b](bare.image, bare.available) for b in BRANCHES}
    found = terms(method, net)
    assert set(found) == {f"{kind}/{b}" for kind in ("supervised", "pseudo") for b in BRANCHES}
    for mine, other in (BRANCHES, BRANCHES[::-1]):
        target = answers[other].argmax(dim=2)
        heads = [dice_ssl4mis(answers[mine][:, k], target[:, k]) for k in (0, 1)]
        torch.testing.assert_close(found[f"pseudo/{mine}"], 0.7 * torch.stack(heads).mean())
        known = half_dice_ce(net[0][mine](labelled.image, labelled.available), labelled)
        torch.testing.assert_close(found[f"supervised/{mine}"], known)


def test_ramp_is_full_at_the_end():
    method = make()
    assert [method.weight(Clock(i, 200, 0)) for i in (0, 100)] == pytest.approx([6.738e-4, 0.02865], rel=1e-3)
    stairs = make("released")
    assert stairs.weight(Clock(150, 30000, 0)) == stairs.weight(Clock(299, 30000, 0))
    assert stairs.weight(Clock(299, 30000, 0)) < method.weight(Clock(299, 30000, 0))


@pytest.mark.parametrize(("learns", "teaches"), [BRANCHES, BRANCHES[::-1]])
def test_no_gradient_flows_through_pseudo_labels(learns, teaches):
    method = make()
    net = method.build()
    terms(method, net)[f"pseudo/{learns}"].backward()
    assert all(p.grad is None for p in net[0][teaches].parameters())
    assert any(p.grad.abs().max() > 0 for p in net[0][learns].parameters() if p.grad is not None)


def test_heads_of_absent_modalities_are_not_taught():
    method, (_, bare) = make(), batches()
    available = torch.tensor([[True, False], [True, False]])
    net = method.build()
    found = terms(method, net, bare=Batch(bare.image, None, available, bare.cases))
    (found["pseudo/cnn"] + found["pseudo/transformer"]).backward()
    for branch in BRANCHES:
        first, second = net[0][branch].unet.head[0].bias.grad.view(2, -1)
        assert first.abs().max() > 0
        assert second.abs().max() == 0


def test_each_parameter_is_in_one_group_and_tokens_have_their_rate():
    method = make(transformer_rate=0.3)
    net = method.build()
    groups = method.parameter_groups(net)
    cnn, convolutions, tokens = ({id(p) for p in group["params"]} for group in groups)
    assert [group.get("lr_scale", 1.0) for group in groups] == [1.0, 1.0, 0.3]
    assert cnn == {id(p) for p in net[0]["cnn"].parameters()}
    unet = net[0]["transformer"].unet
    assert isinstance(unet, SwinUNet)
    assert tokens == {id(p) for p in unet.tokens()}
    assert convolutions | tokens == {id(p) for p in unet.parameters()}
    assert not convolutions & tokens


@pytest.mark.parametrize(("how", "name"), [("fused", "early_fusion"), ("per_modality", "supervised")])
def test_the_cnn_without_unlabelled_cases_is_the_baseline_bit_for_bit(how, name, tmp_path):
    method = make("supervised_only", input=how)
    method.fit(toy_view(toy_task()), tmp_path / "a")
    baseline = load_method(name)(toy_task(), BUDGET, switches={}, seed=5)
    baseline.fit(toy_view(toy_task()), tmp_path / "b")
    ours = [p for learner in method.net for p in learner["cnn"].parameters()]
    assert all(torch.equal(a, b) for a, b in zip(ours, baseline.net.parameters(), strict=True))


def test_transformer_starts_from_weights_of_its_own_seed():
    one, two = make().build(), make().build()
    other = KIND(toy_task(), BUDGET, switches={}, seed=6).build()
    weights = [net[0]["transformer"].unet.encoder.embed.proj.weight for net in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_who_is_asked():
    net, (labelled, _) = make().build(), batches()
    with torch.no_grad():
        answers = {
            who: make(predict_with=who).logits(net, labelled.image, labelled.available).softmax(dim=2)
            for who in ("cnn", "transformer", "mean")
        }
    assert not torch.allclose(answers["cnn"], answers["transformer"], atol=1e-3)
    torch.testing.assert_close(answers["mean"], (answers["cnn"] + answers["transformer"]) / 2)


@pytest.mark.parametrize(
    "changes",
    [{"lambda_max": 1.0}, {"ramp_fraction": 0.5}, {"ramp_stairs": 3}, {"dimensions": "2d"}],
    ids=lambda s: next(iter(s)),
)
def test_switches_change_the_terms(changes):
    plain, other = (terms(m, m.build(), Clock(4, 7, 0)) for m in (make(), make(**changes)))
    assert plain["pseudo/cnn"] != other["pseudo/cnn"]


def test_slices_of_another_plane_are_other_slices():
    nets = [make(dimensions="2d", plane=plane) for plane in ("axial", "coronal")]
    found = [terms(method, method.build()) for method in nets]
    assert found[0]["supervised/cnn"] != found[1]["supervised/cnn"]


def test_unknown_masks_teach_nothing():
    method, (labelled, bare) = make(), batches()
    labelled.label[:, 1] = IGNORE
    net = method.build()
    found = method.loss(net, labelled, bare, LATE)
    answer = net[0]["transformer"](labelled.image, labelled.available)[:, 0]
    p = answer.softmax(dim=1).flatten(2)
    y = F.one_hot(labelled.label[:, 0], 3).movedim(-1, 1).flatten(2)
    dice = (2 * (p * y).sum(2) + 20) / (p.sum(2) + y.sum(2) + 20)
    expected = 0.5 * (F.cross_entropy(answer, labelled.label[:, 0]) + 1 - dice.mean())
    torch.testing.assert_close(found["supervised/transformer"], expected)
