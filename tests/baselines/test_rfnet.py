"""RFNet: its three losses, its switches, its two answers, and that it learns."""

from dataclasses import replace

import pytest
import torch
from toy import toy_dice, toy_task, toy_test_view, toy_view

from parallax.case import IGNORE
from parallax.learn.loop import Clock
from parallax.learn.loss_forms import dice_rfnet, wce
from parallax.learn.losses import dice_ce
from parallax.learn.nets.rfnet import PublishedEncoder
from parallax.learn.sampler import CropSampler
from parallax.plugin import load_method, method_card

PATCH = (16, 16, 16)
LATE = Clock(5, 6, 0)


def method(budget, modalities=2, **switches):
    return load_method("rfnet")(toy_task(modalities), budget, switches=switches, seed=0)


def crops(modalities=2):
    view = toy_view(toy_task(modalities), size=PATCH)
    return CropSampler(view.labelled, patch=PATCH, batch=2, augment=False, seed=0, stream=0).batch(0)


def terms(chosen, net, batch, clock=LATE):
    return {key: value.item() for key, value in chosen.loss(net, batch, None, clock).items()}


def form(segmentation_loss):
    if segmentation_loss == "suite":
        return lambda logits, label: 0.5 * dice_ce(logits, label)
    return lambda logits, label: wce(logits, label, per_item=True) + dice_rfnet(logits, label)


@pytest.mark.parametrize("segmentation_loss", ["suite", "published"])
@pytest.mark.parametrize("answer", ["heads", "one_map"])
def test_the_three_parts_of_the_loss(budget, segmentation_loss, answer):
    chosen = method(budget, segmentation_loss=segmentation_loss, answer=answer, modality_dropout=False)
    net, batch, of = chosen.build(), crops(), form(segmentation_loss)
    batch.label[:, 1] = batch.label[:, 1].roll(2, dims=1)
    pyramid = net.encode(batch.image, batch.available)
    fused, alone = net.fuse(pyramid, batch.available), net.alone(pyramid)
    heads = range(2 if answer == "heads" else 1)
    expected = {
        "sep": sum(of(alone[:, k], batch.label[:, k]) for k in range(2)),
        "prm": sum(of(log_p, batch.label[:, 0]) for log_p in fused.maps),
        "fuse": sum(of(fused.logits[:, k], batch.label[:, k]) for k in heads) / len(heads),
    }
    assert terms(chosen, net, batch) == pytest.approx({k: v.item() for k, v in expected.items()}, rel=1e-4)


def test_the_fusion_loss_begins_after_the_first_epochs_of_the_script(budget):
    chosen = method(replace(budget, steps=300))
    net, batch = chosen.build(), crops()
    found = [set(terms(chosen, net, batch, Clock(step, 300, 0))) for step in (0, 20, 21)]
    assert found == [{"sep", "prm"}, {"sep", "prm"}, {"sep", "prm", "fuse"}]
    assert "fuse" in terms(method(budget, fusion_from=0.0), net, batch, Clock(0, 300, 0))


def test_dropped_modalities_still_teach_the_shared_decoder(budget):
    dropped, whole = method(budget), method(budget, modality_dropout=False)
    net, batch = dropped.build(), crops()
    clocks = [Clock(step, 9, 0) for step in range(1, 7)]
    some, all_ = ([terms(m, net, batch, clock) for clock in clocks] for m in (dropped, whole))
    assert {t["sep"] for t in some} == {t["sep"] for t in all_}
    assert len({t["sep"] for t in all_}) == 1
    for part in ("fuse", "prm"):
        assert len({t[part] for t in some}) > 1
        assert len({t[part] for t in all_}) == 1


def test_a_modality_that_is_absent_does_not_teach_the_shared_decoder(budget):
    chosen, batch = method(budget), crops()
    net = chosen.build()
    batch.available[:, 1] = False
    before = terms(chosen, net, batch)
    batch.label[:, 1] = IGNORE
    assert terms(chosen, net, batch)["sep"] == before["sep"]


def test_own_answers_come_from_their_modality_alone_and_fused_ones_from_all(budget):
    batch = crops()
    moved = batch.image.clone()
    moved[:, 1] *= -1
    for output, heads in (("own", [False, True]), ("fused", [True, True])):
        chosen = method(budget, output=output)
        net = chosen.build().eval()
        with torch.no_grad():
            before, after = (chosen.logits(net, image, batch.available) for image in (batch.image, moved))
        assert (before != after).flatten(2).any(dim=2).all(dim=0).tolist() == heads


def test_where_a_modality_is_absent_its_own_answer_is_the_fused_one(budget):
    batch = crops()
    some = torch.tensor([[True, False], [True, True]])
    net = method(budget).build().eval()
    with torch.no_grad():
        own, fused = (method(budget, output=o).logits(net, batch.image, some) for o in ("own", "fused"))
    assert torch.equal(own[0, 1], fused[0, 1])
    assert not any(torch.equal(own[b, k], fused[b, k]) for b, k in ((0, 0), (1, 0), (1, 1)))


def test_one_map_is_copied_to_all(budget):
    batch, chosen = crops(3), method(budget, 3, answer="one_map")
    net = chosen.build().eval()
    with torch.no_grad():
        logits = chosen.logits(net, batch.image, batch.available)
    assert all(torch.equal(logits[:, 0], logits[:, k]) for k in range(3))


def test_encoders_start_as_those_of_supervised_and_the_published_ones_are_chosen_by_a_switch(budget):
    alone = load_method("supervised")(toy_task(), budget, switches={}, seed=0).build()
    for encoder, network in zip(method(budget).build().encoders, alone, strict=True):
        assert all(torch.equal(v, network.encoder.state_dict()[k]) for k, v in encoder.state_dict().items())
    encoders = method(budget, network="published").build().encoders
    assert all(isinstance(encoder, PublishedEncoder) for encoder in encoders)


def test_own_shares_the_training_of_the_paper_preset():
    card = method_card("rfnet")
    differ = {k for k, v in card.presets["own"].items() if v != card.presets["paper"][k]}
    assert differ == set(card.at_prediction)
    assert {preset: card.adapter_of(preset) for preset in card.presets} == {
        "paper": "heads",
        "own": "native",
        "broadcast": "broadcast",
    }


def test_it_learns(budget, tmp_path):
    task = toy_task()
    trained = method(replace(budget, steps=30))
    trained.fit(toy_view(task, size=PATCH), tmp_path)
    for output in ("fused", "own"):
        chosen = method(budget, output=output)
        chosen.net = trained.net
        for missing in ((), (0,), (1,)):
            view = toy_test_view(task, PATCH, case="l0", missing=missing, with_truth=True)
            for name, found in chosen.predict(view).label_maps.items():
                assert toy_dice(found, view.truth[name].array, 3) > 0.6, (output, missing, name)
