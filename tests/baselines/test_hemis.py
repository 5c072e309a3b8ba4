"""U-HeMIS: what its answer depends on, its sampler, its switches, and that it learns."""

from dataclasses import replace

import pytest
import torch
from toy import toy_dice, toy_task, toy_test_view, toy_view

from parallax.learn.loop import Clock
from parallax.learn.nets.hemis import HemisNet, PublishedEncoder
from parallax.learn.sampler import CropSampler
from parallax.plugin import load_method, method_card

PATCH = (16, 16, 16)


def method(budget, modalities=3, **switches):
    return load_method("hemis")(toy_task(modalities), budget, switches=switches, seed=0)


@pytest.fixture
def batch():
    view = toy_view(toy_task(3), size=PATCH)
    return CropSampler(view.labelled, patch=PATCH, batch=2, augment=False, seed=0, stream=0).batch(0)


def answer(chosen, net, image, available):
    with torch.no_grad():
        return chosen.logits(net.eval(), image, available)


def test_the_order_of_modalities_does_not_matter_if_their_encoders_follow(budget, batch):
    chosen, some = method(budget), torch.tensor([[True, False, True], [True, True, True]])
    net, order = chosen.build(), [2, 0, 1]
    wanted = answer(chosen, net, batch.image, some)
    moved = HemisNet([net.encoders[k] for k in order], net.decoder, (3, 3))
    torch.testing.assert_close(
        answer(chosen, moved, batch.image[:, order], some[:, order]), wanted, rtol=1e-4, atol=1e-4
    )


def test_every_head_depends_on_every_modality_that_is_there(budget, batch):
    chosen = method(budget)
    net = chosen.build()
    before = answer(chosen, net, batch.image, batch.available)
    for k in range(3):
        moved = batch.image.clone()
        moved[:, k] *= -1
        after = answer(chosen, net, moved, batch.available)
        assert (before != after).flatten(2).any(dim=2).all()


def test_encoders_start_as_those_of_supervised(budget):
    alone = load_method("supervised")(toy_task(3), budget, switches={}, seed=0).build()
    for encoder, network in zip(method(budget).build().encoders, alone, strict=True):
        assert all(torch.equal(v, network.encoder.state_dict()[k]) for k, v in encoder.state_dict().items())


def test_dropout_draws_by_size_and_can_be_off(budget, batch):
    losses = {}
    for dropout in (True, False):
        chosen = method(budget, modality_dropout=dropout)
        net = chosen.build()
        clocks = [Clock(step, 9, 0) for step in range(6)]
        losses[dropout] = [chosen.loss(net, batch, None, clock)["supervised"].item() for clock in clocks]
    assert len(set(losses[True])) > 1
    assert len(set(losses[False])) == 1


def test_one_map_learns_from_the_reference_and_is_copied_to_all(budget, batch):
    chosen = method(budget, answer="one_map")
    net = chosen.build()
    logits = answer(chosen, net, batch.image, batch.available)
    assert all(torch.equal(logits[:, 0], logits[:, k]) for k in range(3))
    before = chosen.loss(net, batch, None, Clock(0, 9, 0))["supervised"].item()
    batch.label[:, 1:] = 0
    assert chosen.loss(net, batch, None, Clock(0, 9, 0))["supervised"].item() == before
    heads = method(budget)
    assert heads.build().decoder.head[0].out_channels == 3 * net.decoder.head[0].out_channels


def test_each_head_learns_from_the_mask_of_its_modality(budget, batch):
    chosen = method(budget)
    net = chosen.build()
    batch.label[:, 1] = 255
    chosen.loss(net, batch, None, Clock(0, 9, 0))["supervised"].backward()
    gradient = net.decoder.head[0].bias.grad.view(3, 3).abs().sum(dim=1)
    assert [bool(g > 0) for g in gradient] == [True, False, True]


def test_published_network_is_chosen_by_its_switch(budget):
    net = method(budget, network="published").build()
    assert all(isinstance(encoder, PublishedEncoder) for encoder in net.encoders)


def test_presets_and_adapters():
    card = method_card("hemis")
    assert {preset: card.adapter_of(preset) for preset in card.presets} == {
        "paper": "heads",
        "broadcast": "broadcast",
    }


def test_it_learns(budget, tmp_path):
    task = toy_task()
    chosen = method(replace(budget, steps=30), 2)
    chosen.fit(toy_view(task, size=PATCH), tmp_path)
    for missing in ((), (0,), (1,)):
        view = toy_test_view(task, PATCH, case="l0", missing=missing, with_truth=True)
        for name, found in chosen.predict(view).label_maps.items():
            assert toy_dice(found, view.truth[name].array, 3) > 0.6, (missing, name)
