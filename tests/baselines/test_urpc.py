"""URPC: the disagreement of scales by hand, and every switch."""

import inspect
import math
from typing import Any

import pytest
import torch
from toy import toy_batches, toy_task, toy_view

from parallax.case import Budget
from parallax.learn.batch import Batch
from parallax.learn.fusion import half_dice_ce
from parallax.learn.loop import Clock
from parallax.plugin import load_method, method_card

KIND = load_method("urpc")
CARD = method_card("urpc")
FORMS: Any = inspect.getmodule(KIND)
TASK = toy_task(2, 3)
VIEW = toy_view(TASK)
LATE = Clock(5, 6, 0)


def make(budget, preset="paper", **changes):
    return KIND(TASK, budget, switches={**CARD.presets[preset], **changes}, seed=0)


def terms_of(method):
    torch.manual_seed(0)
    return method.loss(method.build().train(), *toy_batches(VIEW), LATE)


def test_equal_scales_do_not_disagree():
    logits = torch.randn(1, 2, 3, 4).expand(4, 2, 3, 4).clone().requires_grad_()
    loss = FORMS.pyramid_consistency(logits.unbind())
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad.abs().max() < 1e-6


def test_consistency_by_hand():
    """Two scales, one voxel apart in (0.8, 0.2) and (0.4, 0.6), one where both say (0.5, 0.5)."""
    p = torch.tensor([[[[0.8, 0.5], [0.2, 0.5]]], [[[0.4, 0.5], [0.6, 0.5]]]])
    mean = (0.6, 0.4)
    expected = 0.0
    for scale in ((0.8, 0.2), (0.4, 0.6)):
        divergence = sum(m * math.log(m / q) for m, q in zip(mean, scale, strict=True))
        weight, distance = math.exp(-divergence), 0.2**2
        expected += ((weight * distance + 0) / 2) / ((weight + 1) / 2) + divergence / 2
    assert FORMS.pyramid_consistency(p.log().unbind()).item() == pytest.approx(expected / 2, rel=1e-5)


def test_gradients_flow_into_the_mean_as_in_the_release():
    """With mean and weights held fixed they would be .1024 and -.0635."""
    logits = torch.zeros(3, 1, 2, 1)
    logits[0, 0, 0] = 2.0
    logits.requires_grad_()
    FORMS.pyramid_consistency(logits.unbind()).backward()
    torch.testing.assert_close(
        logits.grad[:, 0, 0, 0], torch.tensor([0.0972, -0.0758, -0.0758]), atol=1e-4, rtol=0
    )


def test_supervised_term_is_the_mean_over_scales(budget):
    method, (labelled, bare) = make(budget, dropout=False), toy_batches(VIEW)
    net = method.build()
    found = method.loss(net, labelled, bare, LATE)["supervised"]
    scales = net[0](labelled.image, labelled.available)
    assert [scale.shape for scale in scales] == [(2, 2, 3, 16, 16, 16)] * 2
    torch.testing.assert_close(
        found, (half_dice_ce(scales[0], labelled) + half_dice_ce(scales[1], labelled)) / 2
    )


def test_four_scales_of_a_deeper_network_and_the_finest_is_early_fusion():
    deep = Budget(steps=2, batch=2, patch=(32, 32, 64), widths=(4, 6, 8, 10, 12))
    net = make(deep).build().eval()[0]
    image, available = torch.randn(1, 2, 32, 32, 64), torch.ones(1, 2, dtype=torch.bool)
    scales = net(image, available)
    assert [scale.shape for scale in scales] == [(1, 2, 3, 32, 32, 64)] * 4
    plain = load_method("early_fusion")(TASK, deep, switches={}, seed=0).build().eval()
    assert torch.equal(scales[0], plain(image, available))
    assert [head[0].in_channels for head in net.coarser] == [6, 8, 10]
    three = make(deep, scales=3).build().eval()[0](image, available)
    assert all(torch.equal(a, b) for a, b in zip(three, scales[:3], strict=True))
    rates = [m.p for m in net.modules() if isinstance(m, torch.nn.Dropout3d)]
    assert rates == [0.5, 0.3, 0.2, 0.1]  # in the order of the decoder


def test_where_the_decoder_has_three_stages_the_bottleneck_is_the_fourth_scale():
    widths = (4, 6, 8, 10)
    net = make(Budget(steps=2, batch=2, patch=(16,) * 3, widths=widths)).build()[0]
    assert [head[0].in_channels for head in net.coarser] == [6, 8, 10]


@pytest.mark.parametrize(
    "changes",
    [{"lambda_max": 1.0}, {"ramp_fraction": 0.5}, {"ramp_stairs": 2}, {"dropout": False}],
    ids=lambda changes: next(iter(changes)),
)
def test_switches_change_the_consistency(budget, changes):
    usual, other = (terms_of(make(budget, **some)) for some in ({}, changes))
    assert usual["consistency"] != other["consistency"]
    assert (usual["supervised"] == other["supervised"]) == ("dropout" not in changes)


def test_one_scale_has_nothing_to_agree_with(budget):
    assert terms_of(make(budget, scales=1))["consistency"].item() == pytest.approx(0, abs=1e-9)


def test_heads_of_absent_modalities_take_no_part(budget):
    method, (labelled, bare) = make(budget, dropout=False), toy_batches(VIEW)
    bare = Batch(bare.image, None, torch.tensor([[True, False], [True, False]]), bare.cases)
    net = method.build()
    method.loss(net, labelled, bare, LATE)["consistency"].backward()
    for head in (net[0].unet.head, *net[0].coarser):
        rows = head[0].bias.grad.view(2, TASK.n_classes)
        assert rows[0].abs().max() > 0
        assert rows[1].abs().max() == 0


def test_the_preset_says_which_scale_answers(budget):
    image, available = torch.randn(1, 2, 16, 16, 16), torch.ones(1, 2, dtype=torch.bool)
    net = make(budget).build().eval()
    scales = net[0](image, available)
    assert torch.equal(make(budget).logits(net, image, available), scales[0])
    mean = make(budget, predict_with="mean").logits(net, image, available).softmax(dim=2)
    torch.testing.assert_close(mean, torch.stack(scales).softmax(dim=3).mean(dim=0))
