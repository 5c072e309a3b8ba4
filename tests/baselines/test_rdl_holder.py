"""RDL-Hölder: the vectors and invariants that define it."""

from __future__ import annotations

import copy
import inspect
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from toy import toy_task, toy_view

from parallax.case import IGNORE, Budget
from parallax.learn.availability import subsets
from parallax.learn.batch import Batch
from parallax.learn.network_method import Clock
from parallax.learn.norms import ModalityNorm
from parallax.plugin import load_method, method_card, preset_switches

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


def double(rows: Any) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


# ---- Hölder divergence


@pytest.mark.parametrize(
    ("p", "q", "expected"),
    [
        ((0.5, 0.5), (0.5, 0.5), (0, 0, 0)),
        ((0.8, 0.2), (1, 0), (0.179011, 0.078522, 0.030312)),
        ((0.5, 0.5), (1, 0), (0.630134, 0.462098, 0.346574)),
        ((0.8, 0.2), (0.8, 0.2), (0.118387, 0.023065, 0)),
        ((0.7, 0.2, 0.1), (1, 0, 0), (0.285971, 0.125268, 0.048582)),
    ],
)
def test_divergence_vectors(p, q, expected):
    for alpha, value in zip((1.1, 1.5, 2.0), expected, strict=True):
        found = FORMS.holder_divergence(double(p), double(q), alpha, 0).item()
        assert found == pytest.approx(value, abs=1e-6)


def test_divergence_of_uniform_and_one_hot():
    found = FORMS.holder_divergence(double([1 / 3] * 3), double([1, 0, 0]), 1.1, 0).item()
    assert found == pytest.approx(math.log(3) / 1.1, abs=1e-12)
    assert found == pytest.approx(0.998738, abs=1e-6)


def test_divergence_is_zero_where_powers_are_proportional_not_where_equal():
    q = double([0.6, 0.4])
    p = q.pow(11 / 1.1)
    p = p / p.sum()
    torch.testing.assert_close(p, double([0.98295, 0.01705]), atol=1e-5, rtol=0)
    assert FORMS.holder_divergence(p, q, 1.1, 0).item() == pytest.approx(0, abs=1e-12)
    assert FORMS.holder_divergence(q, q, 1.1, 0).item() > 0.01


def test_divergence_ignores_scale_and_is_symmetric_at_two_alone():
    p, q = double([0.7, 0.2, 0.1]), double([0.2, 0.3, 0.5])
    for alpha in (1.1, 2.0):
        one, other = (FORMS.holder_divergence(*pair, alpha, 0).item() for pair in ((p, q), (q, p)))
        assert FORMS.holder_divergence(3 * p, 7 * q, alpha, 0).item() == pytest.approx(one, abs=1e-12)
        assert (abs(one - other) < 1e-12) is (alpha == 2.0)


@pytest.mark.parametrize("alpha", [1.1, 1.5, 2.0])
def test_over_classes_it_is_cross_entropy_plus_a_norm(alpha):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, 4, generator=generator, dtype=torch.float64)
    label = torch.randint(0, 3, (2, 4, 4, 4), generator=generator)
    one_hot = F.one_hot(label, 3).movedim(-1, 1).double()
    wanted = FORMS.holder_divergence(logits.softmax(1), one_hot, alpha, 1)
    found = FORMS.holder_over_classes(logits.log_softmax(1), label, alpha)
    assert found.item() == pytest.approx(wanted.mean().item(), abs=1e-12)
    label[:, :2] = IGNORE
    found = FORMS.holder_over_classes(logits.log_softmax(1), label, alpha)
    assert found.item() == pytest.approx(wanted[:, 2:].mean().item(), abs=1e-12)


def test_near_one_it_is_cross_entropy():
    logits, label = double([[[2.0, 0.0], [-1.0, 1.0]]]), torch.tensor([[0, 0]])
    found = FORMS.holder_over_classes(logits.log_softmax(1), label, 1 + 1e-7).item()
    assert found == pytest.approx(F.cross_entropy(logits, label).item(), abs=1e-5)


@pytest.mark.parametrize(
    ("column", "expected"),
    [((1, 0, 0, 0), 0.28875), ((0.5,) * 4, 0.51660), ((0, 1, 1, 1), 0.70810)],
)
def test_along_depth_even_a_perfect_map_is_charged(column, expected):
    label = torch.tensor([1, 0, 0, 0]).view(1, 4, 1, 1)
    found = FORMS.holder_along_depth(double(column).view(1, 1, 4, 1, 1), label, 1.1)
    assert found.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_along_depth_a_constant_costs_nothing_against_an_empty_class(value):
    p, label = double([value] * 4).view(1, 1, 4, 1, 1), torch.zeros(1, 4, 1, 1, dtype=torch.long)
    assert FORMS.holder_along_depth(p, label, 1.1).item() == pytest.approx(0, abs=1e-12)


def test_along_depth_unknown_voxels_take_no_part():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(1, 2, 6, 3, 3, generator=generator, dtype=torch.float64)
    label = torch.randint(0, 3, (1, 6, 3, 3), generator=generator)
    label[:, 4:] = IGNORE
    wanted = FORMS.holder_along_depth(p[:, :, :4], label[:, :4], 1.1)
    assert FORMS.holder_along_depth(p, label, 1.1).item() == pytest.approx(wanted.item(), abs=1e-12)


# ---- Dice


def test_dice_is_that_of_the_release_and_forgives_an_absent_class():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(2, 3, 4, 4, 4, generator=generator, dtype=torch.float64)
    label = torch.randint(0, 2, (2, 4, 4, 4), generator=generator)
    y = F.one_hot(label, 3).movedim(-1, 1).double()
    over = (0, 2, 3, 4)
    wanted = 1 - (2 * (p * y).sum(over) + 1) / (p.sum(over) + y.sum(over) + 1)
    torch.testing.assert_close(FORMS.dice_gmd(p, label), wanted)
    assert FORMS.dice_gmd(0 * p, label)[2].item() == 0
    label[:, 2:] = IGNORE
    torch.testing.assert_close(FORMS.dice_gmd(p, label), FORMS.dice_gmd(p[:, :, :2], label[:, :2]))


def test_largest_class_is_a_structure_where_a_sigmoid_exceeds_one_half():
    z = torch.randn(1, 4, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    maps = FORMS.structure_maps(z)
    assert torch.equal(maps.argmax(1).where(maps.amax(1) > 0.5, 0), z.argmax(1))


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
    ],
    ids=lambda s: next(iter(s)),
)
def test_switch_changes_the_loss(switches):
    plain, other = method(), method(**switches)
    assert terms(plain, plain.build(), batch()) != terms(other, other.build(), batch())


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
