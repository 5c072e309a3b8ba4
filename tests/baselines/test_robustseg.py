"""RobustSeg: its terms, its switches, that it trains."""

import math

import pytest
import torch
from descent import descend
from toy import toy_task, toy_view

from parallax.cards import preset_switches
from parallax.case import IGNORE
from parallax.learn.batch import Batch
from parallax.learn.loop import Clock
from parallax.learn.sampler import CropSampler
from parallax.plugin import load_method, method_card

CARD = method_card("robustseg")
KIND = load_method("robustseg")
FILE = __import__("sys").modules[KIND.__module__]
PATCH = (16, 16, 16)


def method(budget, preset="paper", **switches):
    return KIND(toy_task(), budget, switches=preset_switches(CARD, preset) | switches, seed=0)


def batch(labelled=True, available=None):
    view = toy_view(toy_task())
    found = CropSampler(view.labelled, patch=PATCH, batch=2, augment=False, seed=0, stream=0).batch(0)
    there = torch.ones(2, 2, dtype=torch.bool) if available is None else available
    return Batch(found.image, found.label if labelled else None, there, found.cases)


def terms(model, net, labelled=None, unlabelled=None, step=0):
    return model.loss(net, labelled or batch(), unlabelled, Clock(step, 9, 0))


@pytest.mark.parametrize(
    ("scale", "shift", "expected"), [(0.0, 1.0, 0.0), (0.0, -1.0, 0.0), (1.0, 1.0, 64.0), (0.0, 2.0, 103.277)]
)
def test_kl_of_adain(scale, shift, expected):
    found = FILE.kl_of_adain(torch.full((3, 128), scale), torch.full((3, 128), shift), 0.0)
    assert found.item() == pytest.approx(expected, abs=1e-3)


def test_kl_of_adain_at_a_shift_of_0_is_infinite_unless_clamped():
    nothing = torch.zeros(1, 128)
    assert math.isinf(FILE.kl_of_adain(nothing, nothing, 0.0).item())
    assert FILE.kl_of_adain(nothing, nothing, 50.0).item() == pytest.approx(128 * 0.5 * (50 - 1))


def test_kl_of_code_is_half_its_squared_length():
    code = torch.tensor([[3.0, 4.0, 0, 0, 0, 0, 0, 0], [0.0] * 8])
    assert FILE.kl_of_code(code).item() == pytest.approx(25 / 2 / 2)


def test_terms_are_weighted(budget):
    model, twice = method(budget), method(budget, reconstruction_weight=0.2, kl_weight=0.3)
    net = model.build()
    one, other = terms(model, net), terms(twice, net)
    assert one.keys() == {"supervised", "reconstruction", "kl"}
    assert other["reconstruction"].item() == pytest.approx(2 * one["reconstruction"].item())
    assert other["kl"].item() == pytest.approx(3 * one["kl"].item())
    assert other["supervised"].item() == one["supervised"].item()


def test_dropped_modalities_are_painted_too(budget, monkeypatch):
    model = method(budget)
    net = model.build()
    monkeypatch.setattr(
        FILE, "drop_modalities", lambda available, generator: torch.tensor([[True, False]] * 2)
    )
    changed = batch()
    changed.image[:, 1] += torch.randn(PATCH)
    one, other = terms(model, net), terms(model, net, changed)
    assert one["supervised"].item() == other["supervised"].item()
    assert one["reconstruction"].item() != other["reconstruction"].item()
    assert one["kl"].item() != other["kl"].item()


def test_a_modality_that_does_not_exist_is_not_painted(budget):
    model = method(budget)
    net = model.build()
    painted = []
    net.paint = lambda k, image, content: (
        painted.append((k, len(image))) or type(net).paint(net, k, image, content)
    )
    terms(model, net, batch(available=torch.tensor([[True, False], [True, True]])))
    assert painted == [(0, 2), (1, 1)]


def test_modalities_are_dropped_anew_in_each_step(budget):
    model = method(budget)
    net = model.build()
    assert len({terms(model, net, step=step)["supervised"].item() for step in range(6)}) > 1


def test_unlabelled_crops_are_painted_and_nothing_else(budget):
    model = method(budget, "with_unlabelled")
    assert model.uses_unlabelled
    assert not method(budget).uses_unlabelled
    net = model.build()
    changed = batch(labelled=False)
    changed.image.mul_(-1)
    one, other = terms(model, net, unlabelled=batch(labelled=False)), terms(model, net, unlabelled=changed)
    assert one["supervised"].item() == other["supervised"].item()
    assert one["reconstruction"].item() != other["reconstruction"].item()


def test_without_painting_the_unlabelled_row_is_the_labelled_one(budget):
    model, with_unlabelled = (
        method(budget, preset, reconstruction_weight=0.0, kl_weight=0.0)
        for preset in ("paper", "with_unlabelled")
    )
    net = model.build()
    available = torch.tensor([[True, False], [False, True]])  # nothing can be dropped, so nothing is random
    one = terms(model, net, batch(available=available))
    other = terms(with_unlabelled, net, batch(available=available), batch(False, available))
    assert sum(one.values()).item() == pytest.approx(sum(other.values()).item(), abs=1e-6)


@pytest.mark.parametrize(
    "switch",
    [
        {"kl_on": "adain"},
        {"share_image_head": True},
        {"gate_norm": "none"},
        {"segmentation_loss": "suite"},
    ],
)
def test_each_switch_changes_the_loss(budget, switch):
    models = method(budget), method(budget, **switch)
    one, other = (sum(terms(model, awake(model.build())).values()).item() for model in models)
    assert one != other


def test_the_clamp_changes_the_released_divergence(budget):
    model, free = method(budget, "released", log_sigma_clamp=1.0), method(budget, "released")
    net = model.build()
    assert terms(model, net)["kl"].item() != terms(free, net)["kl"].item()


def awake(net):
    """Image heads that differ from each other."""
    with torch.no_grad():
        for k, head in enumerate(net.image_heads):
            head.bias.fill_(float(k))
    return net


def test_heads_learn_from_the_mask_of_their_modality(budget):
    model, labelled = method(budget), batch()
    labelled.label[:, 1] = IGNORE
    net = model.build()
    (gradient,) = torch.autograd.grad(terms(model, net, labelled)["supervised"], net.decoder.head[0].weight)
    first, second = gradient.unflatten(0, (2, 3)).flatten(1).abs().amax(dim=1)
    assert first > 0
    assert second == 0


def test_broadcast_learns_one_map_from_the_first_mask_and_copies_it(budget):
    model, labelled = method(budget, "broadcast"), batch()
    net = model.build()
    logits = model.logits(net, labelled.image, labelled.available)
    assert logits.shape == (2, 2, 3, *PATCH)
    assert torch.equal(logits[:, 0], logits[:, 1])
    one = terms(model, net, labelled)["supervised"].item()
    labelled.label[:, 1] = IGNORE
    assert terms(model, net, labelled)["supervised"].item() == one
    labelled.label[:, 0] = IGNORE
    assert terms(model, net, labelled)["supervised"].item() == 0.0
    assert CARD.adapter_of("broadcast") == "broadcast"


def test_released_differs_in_the_three_named_switches():
    paper, released = CARD.presets["paper"], CARD.presets["released"]
    differing = {key for key in paper if paper[key] != released[key]}
    assert differing == {"kl_on", "log_sigma_clamp", "share_image_head"}


def test_it_learns(budget):
    model = method(budget)
    net = model.build()
    values = descend(net, lambda step: terms(model, net, step=step), 8)
    assert values[-1]["supervised"] < 0.8 * values[0]["supervised"]
    assert values[-1]["reconstruction"] < 0.9 * values[0]["reconstruction"]
