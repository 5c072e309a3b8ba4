"""RDL-Hölder: the vectors and invariants that define it."""

from __future__ import annotations

import copy
import inspect
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from toy import toy_task, toy_view

from parallax.cards import preset_switches
from parallax.case import IGNORE, Budget
from parallax.learn.availability import subsets
from parallax.learn.batch import Batch
from parallax.learn.network_method import Clock
from parallax.learn.norms import ModalityNorm
from parallax.plugin import load_method, method_card

RDL = load_method("rdl_holder")
FORMS: Any = inspect.getmodule(RDL)
BUDGET = Budget(steps=3, patch=(16, 16, 16), widths=(4, 8), checkpoint_every_s=1e9)
CLOCK = Clock(0, 3, 3)


def method(preset: str = "paper", modalities: int = 2, **switches: Any) -> Any:
    chosen = preset_switches(method_card("rdl_holder"), preset) | switches
    return RDL(toy_task(modalities), BUDGET, switches=chosen, seed=3)


def batch(modalities: int = 2, size: int = 16, seed: int = 0, items: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(items, modalities, size, size, size, generator=generator)
    label = torch.randint(0, 3, image.shape, generator=generator)
    return Batch(image, label, torch.ones(items, modalities, dtype=torch.bool), ("p", "q")[:items])


def terms(model: Any, net: Any, crops: Batch, unlabelled: Batch | None = None) -> dict[str, float]:
    return {key: value.item() for key, value in model.loss(net, crops, unlabelled, CLOCK).items()}


# ---- subsets


@pytest.mark.parametrize(("modalities", "count"), [(2, 3), (3, 7), (4, 15), (5, 15)])
def test_subsets_of_a_step(modalities, count):
    model = method(modalities=modalities)
    drawn = model._drawn(CLOCK)
    assert len(drawn) == count
    assert len({tuple(members) for members in drawn}) == count
    assert model._drawn(CLOCK) == drawn
    other = model._drawn(Clock(1, 3, 3))
    assert (other != drawn) is (2**modalities - 1 > 15)


def test_single_modalities_alone():
    assert method("single_modalities", modalities=3)._drawn(CLOCK) == [[0], [1], [2]]


def test_sum_stands_for_all_subsets_whatever_was_drawn():
    values = [torch.tensor(float(v)) for v in range(15)]
    four, five = (method(modalities=k, subset_reduction="sum") for k in (4, 5))
    assert four._reduced(values, 15).item() == sum(range(15))
    assert five._reduced(values, 15).item() == pytest.approx(31 * 7)
    assert method(modalities=5)._reduced(values, 15).item() == pytest.approx(7)


def test_one_modality_alone_is_its_own_fusion_and_others_have_no_say():
    model, crops = method("fused", modalities=3), batch(3, items=1)
    net = model.build().eval()
    own = method(modalities=3)
    with torch.no_grad():
        for members in subsets(3):
            there = torch.tensor([members])
            fused = model.logits(net, crops.image, there)
            spoilt = crops.image.clone().masked_fill(~there[:, :, None, None, None], math.nan)
            assert torch.equal(model.logits(net, spoilt, there), fused)
            streams = own.logits(net, crops.image, there)[0]
            torch.testing.assert_close(fused[0, 0], streams[there[0]].mean(0))
            if sum(members) == 1:
                assert torch.equal(fused[0, 0], streams[members.index(True)])


def test_fusion_does_not_know_the_order_of_modalities():
    model, crops, order = method("fused", modalities=3), batch(3), [2, 0, 1]
    net = model.build().eval()
    with torch.no_grad():  # norms that differ, so that the order could matter
        for norm in (m for m in net.modules() if isinstance(m, ModalityNorm)):
            for k, each in enumerate(norm.each):
                each.weight.add_(0.3 * k)
        turned = copy.deepcopy(net)
        for norm in (m for m in turned.modules() if isinstance(m, ModalityNorm)):
            norm.each = torch.nn.ModuleList(norm.each[k] for k in order)
        wanted = model.logits(net, crops.image, crops.available)
        found = model.logits(turned, crops.image[:, order], crops.available)
        wrong = model.logits(net, crops.image[:, order], crops.available)
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(wrong, wanted, atol=1e-3)


def test_each_member_of_a_subset_teaches_with_its_own_mask():
    model, crops = method(), batch()
    logits = [torch.randn(2, 3, 16, 16, 16, generator=torch.Generator().manual_seed(k)) for k in (0, 1)]
    both = model._supervised(logits, crops, [0, 1])["segmentation"]
    mean = (logits[0] + logits[1]) / 2
    parts = [model._segmentation(mean, crops.label[:, k]) for k in (0, 1)]
    assert both.item() == pytest.approx(torch.stack(parts).mean().item(), abs=1e-6)
    crops.label[:, 1] = IGNORE
    assert model._supervised(logits, crops, [0, 1])["segmentation"].item() == parts[0].item()
    assert model._supervised(logits, crops, [1]) == {}


# ---- switches


@pytest.mark.parametrize(
    "switches",
    [
        {"network": "published"},
        {"segmentation_loss": "suite"},
        {"holder_weight": 0.5},
        {"holder_alpha": 2.0},
        {"holder_axis": "depth"},
        {"output_activation": "sigmoid"},
        {"vid_weight": 0.5},
        {"subset_reduction": "sum"},
        {"taught": "single_modalities"},
    ],
    ids=lambda s: next(iter(s)),
)
def test_switch_changes_the_loss(switches):
    plain, other = method(), method(**switches)
    assert terms(plain, plain.build(), batch()) != terms(other, other.build(), batch())


@pytest.mark.parametrize(("norm", "groups"), [("instance", {4, 32}), ("group", {4, 8})])
def test_norms_of_the_suite_have_a_group_per_channel_and_those_of_the_release_at_most_eight(norm, groups):
    task = toy_task(2)
    switches = preset_switches(method_card("rdl_holder"), "paper") | {"norm": norm}
    net = RDL(task, replace(BUDGET, widths=(4, 32)), switches=switches, seed=3).build()
    norms = [one for module in net.modules() if isinstance(module, ModalityNorm) for one in module.each]
    assert {getattr(one, "num_groups", None) or one.num_features for one in norms} == groups


@pytest.mark.parametrize("trainable", [True, False])
def test_vid_head_learns_iff_it_is_trainable(trainable):
    model = method(vid_trainable=trainable)
    net = model.build()
    torch.stack(list(model.loss(net, batch(), None, CLOCK).values())).sum().backward()
    learns = [p.grad is not None and bool(p.grad.abs().max() > 0) for p in net.vid.parameters()]
    assert learns == [trainable] * 4
    optimised = {id(p) for group in model.parameter_groups(net) for p in group["params"]}
    assert ({id(p) for p in net.vid.parameters()} <= optimised) is trainable


@pytest.mark.parametrize("detach", [True, False])
def test_full_features_are_moved_iff_they_are_not_detached(detach):
    model = method(detach_full=detach)
    net = model.build()
    with torch.no_grad():
        net.vid.mean[0].weight.zero_()  # the prediction is constant, so that only the full side can move
    features = [f.detach().requires_grad_() for f in model._streams(net, *_given(batch()))[0]]
    torch.stack(model._transfer(net, features, batch().available, [[0], [1], [0, 1]])).sum().backward()
    assert all((f.grad is None or bool((f.grad == 0).all())) is detach for f in features)


def _given(crops: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    return crops.image, crops.available


def test_unlabelled_cases_give_features_alone():
    model, plain = method("with_unlabelled"), method()
    assert (model.uses_unlabelled, plain.uses_unlabelled) == (True, False)
    net, more = model.build(), batch(seed=5)
    with_them, without = terms(model, net, batch(), more), terms(plain, net, batch())
    assert set(with_them) - set(without) == {"vid_unlabelled"}
    assert {key: with_them[key] for key in without} == without
    spoilt = Batch(more.image, torch.zeros_like(more.label), more.available, more.cases)
    assert terms(model, net, batch(), spoilt) == with_them


def test_without_divergences_it_is_late_fusion_with_shared_weights():
    model = method("no_divergence")
    assert set(terms(model, model.build(), batch())) == {"segmentation"}


def test_answers_of_the_two_readings_differ_and_share_the_training():
    card = method_card("rdl_holder")
    assert card.at_prediction == ("output",)
    assert (card.adapter_of("paper"), card.adapter_of("fused")) == ("native", "broadcast")
    own, fused = method(), method("fused")
    net, crops = own.build().eval(), batch()
    with torch.no_grad():
        alone, together = (m.logits(net, crops.image, crops.available) for m in (own, fused))
    assert torch.equal(together[:, 0], together[:, 1])
    torch.testing.assert_close(together[:, 0], alone.mean(1))


@pytest.mark.parametrize("preset", ["paper", "released", "no_divergence"])
def test_it_learns(preset):
    model, view = method(preset), toy_view(toy_task(), 1, 0)
    net = model.build().train()
    sample = view.labelled[0]
    crops = Batch(
        torch.from_numpy(sample.image)[None],
        torch.from_numpy(sample.label).long()[None],
        torch.ones(1, 2, dtype=torch.bool),
        ("l0",),
    )
    optimiser = torch.optim.Adam(model.parameter_groups(net), lr=2e-2)
    losses = []
    for step in range(12):
        found = model.loss(net, crops, None, Clock(step, 12, 3))
        optimiser.zero_grad()
        torch.stack(list(found.values())).sum().backward()
        optimiser.step()
        losses.append(found["segmentation"].item())
    assert losses[-1] < 0.9 * losses[0]
