"""mmFormer as a method: loss terms, outputs, every switch."""

import pytest
import torch
from toy import toy_task, toy_view

from parallax.learn.loop import Clock
from parallax.learn.sampler import CropSampler
from parallax.plugin import load_method, method_card

KIND = load_method("mmformer")
CARD = method_card("mmformer")
VIEW = toy_view(toy_task())
CLOCK = Clock(0, 9, 0)


@pytest.fixture
def batch():
    sampler = CropSampler(VIEW.labelled, patch=(16,) * 3, batch=2, augment=False, seed=0, stream=0)
    return sampler.batch(0)


def make(budget, preset="paper", **changes):
    method = KIND(VIEW.task, budget, switches={**CARD.presets[preset], **changes}, seed=0)
    method.net = method.build()
    return method


def terms(method, batch, clock=CLOCK):
    torch.manual_seed(0)
    return method.loss(method.net.train(), batch, None, clock)


def answer(method, batch, available=None):
    with torch.no_grad():
        return method.logits(
            method.net.eval(), batch.image, batch.available if available is None else available
        )


def total(method, batch):
    return sum(term.item() for term in terms(method, batch).values())


@pytest.mark.parametrize(
    "change",
    [
        {"token_reshape": "released"},
        {"modality_dropout": False},
        {"dropout": 0.0},
        {"segmentation_loss": "suite"},
        {"answer": "one_map"},
    ],
)
def test_each_switch_of_training_changes_the_loss(budget, batch, change):
    # step 1: the subset that the sampler draws there is not the whole one
    plain, changed = (terms(make(budget, **c), batch, Clock(1, 9, 0)) for c in ({}, change))
    assert plain.keys() == changed.keys() == {"fused", "coarse", "auxiliary"}
    assert any(not torch.equal(plain[key], changed[key]) for key in plain)


def test_key_mask_changes_the_answer_where_a_modality_is_missing(budget, batch):
    some = torch.tensor([[True, False], [True, True]])
    plain, masked = (answer(make(budget, key_mask=mask), batch, some) for mask in (False, True))
    assert not torch.equal(plain[0], masked[0])
    torch.testing.assert_close(plain[1], masked[1])


def test_released_differs_from_paper_in_the_reshape_alone():
    paper, released = CARD.presets["paper"], CARD.presets["released"]
    assert {key for key in paper if paper[key] != released[key]} == {"token_reshape"}
    assert paper["key_mask"] is False


def test_own_maps_come_from_the_auxiliary_decoder(budget, batch):
    fused, own = make(budget), make(budget, "own")
    assert total(fused, batch) == total(own, batch)  # the same training
    torch.testing.assert_close(
        answer(own, batch), own.net.own(own.net.encode(batch.image, batch.available)).detach()
    )
    assert not torch.equal(answer(own, batch), answer(fused, batch))
    assert not answer(own, batch, torch.tensor([[True, False]] * 2))[:, 1].any()


def test_broadcast_answers_one_map_that_learns_from_the_first_known_mask(budget, batch):
    method = make(budget, "broadcast", modality_dropout=False, dropout=0.0)
    maps = answer(method, batch)
    assert maps.shape[1] == 2
    assert torch.equal(maps[:, 0], maps[:, 1])
    before = terms(method, batch)["fused"].item()
    batch.label[:, 1] = 255
    assert terms(method, batch)["fused"].item() == before
    batch.label[:, 1], batch.label[:, 0] = batch.label[:, 0].clone(), 255
    assert terms(method, batch)["fused"].item() == before


def test_each_map_is_taught_by_the_mask_of_its_modality(budget, batch):
    method = make(budget, modality_dropout=False)
    batch.label[:, 1] = 255
    terms(method, batch)["auxiliary"].backward()
    first, second = (
        sum(float(p.grad.abs().sum()) for p in encoder.parameters() if p.grad is not None)
        for encoder in method.net.encoders
    )
    assert first > 0
    assert second == 0


def test_terms_are_sums_over_levels_and_modalities_with_weight_1(budget, batch):
    method = make(budget, modality_dropout=False, dropout=0.0, segmentation_loss="suite")
    pair = terms(method, batch)["auxiliary"].item()
    hidden = batch.label[:, 1].clone()
    batch.label[:, 1] = 255
    first = terms(method, batch)["auxiliary"].item()
    batch.label[:, 1], batch.label[:, 0] = hidden, 255
    assert pair == pytest.approx(first + terms(method, batch)["auxiliary"].item(), rel=1e-5)


def test_transformers_have_a_rate_of_their_own_and_every_weight_one_group(budget):
    method = make(budget)
    convolutions, transformers = method.parameter_groups(method.net)
    together = [id(p) for group in (convolutions, transformers) for p in group["params"]]
    assert sorted(together) == sorted(id(p) for p in method.net.parameters())
    assert transformers["lr_scale"] < convolutions.get("lr_scale", 1.0)
    assert {id(p) for p in method.net.inter.parameters()} <= {id(p) for p in transformers["params"]}


def test_published_network_is_the_one_that_is_asked_for(budget):
    method = KIND(VIEW.task, budget, switches={"network": "published"}, seed=0)
    with torch.device("meta"):
        net = method.build()
    assert net.inter.linear1.weight.shape == (4096, 512)
    assert len(net.heads) == 5


def test_it_learns(budget, batch, tmp_path):
    from dataclasses import replace

    method = make(replace(budget, steps=40, checkpoint_every_s=1e9))
    before = total(method, batch)
    method.fit(VIEW, tmp_path)
    assert total(method, batch) < 0.7 * before
