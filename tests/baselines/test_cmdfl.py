"""CMDFL: its two stages, what passes between them, its switches, that it trains."""

import copy

import pytest
import torch
from descent import descend
from toy import toy_task, toy_view

from parallax.cards import preset_switches
from parallax.case import IGNORE
from parallax.learn.batch import Batch
from parallax.learn.loop import Clock
from parallax.learn.loss_forms import dice_cmdfl
from parallax.learn.sampler import CropSampler
from parallax.plugin import load_method, method_card

CARD = method_card("cmdfl")
KIND = load_method("cmdfl")
PATCH = (16, 16, 16)
STEPS = 8  # two of stage 1


def method(budget, preset="paper", modalities=2, classes=3, **switches):
    task = toy_task(modalities, classes)
    return KIND(task, budget, switches=preset_switches(CARD, preset) | switches, seed=0)


def batch(labelled=True, available=None, modalities=2):
    view = toy_view(toy_task(modalities))
    found = CropSampler(view.labelled, patch=PATCH, batch=2, augment=False, seed=0, stream=0).batch(0)
    there = found.available if available is None else available
    return Batch(found.image, found.label if labelled else None, there, found.cases)


def terms(model, net, labelled=None, unlabelled=None, step=0):
    return model.loss(net, labelled or batch(), unlabelled, Clock(step, STEPS, 0))


def total(found):
    return sum(found.values()).item()


def answer(model, net, crops):
    with torch.no_grad():
        return model.logits(net.eval(), crops.image, crops.available)


def touched(found, *modules):
    parameters = [p for module in modules for p in module.parameters()]
    return [g is not None for g in torch.autograd.grad(sum(found.values()), parameters, allow_unused=True)]


def test_a_quarter_of_the_steps_is_stage_1(budget):
    model = method(budget)
    net = model.build()
    stages = [set(terms(model, net, step=step)) for step in range(STEPS)]
    assert stages == [{"adversarial", "critic", "cycle"}] * 2 + [{"first", "second", "fused"}] * 6
    assert model.border(110) == 28
    assert method(budget, stage_1_fraction=0.0).border(110) == 0


def test_each_stage_trains_its_own_networks_and_all_of_them(budget):
    model = method(budget)
    net = model.build()
    translating, segmenting = terms(model, net, step=1), terms(model, net, step=2)
    assert all(touched(translating, net.gan))
    assert not any(touched(translating, net.segmentors, net.fusion))
    assert all(touched(segmenting, net.segmentors, net.fusion))
    assert not any(touched(segmenting, net.gan))


def test_weights_pass_to_the_segmentors_once_after_the_last_step_of_stage_1(budget):
    model = method(budget)
    net = model.build()
    terms(model, net)
    assert net.pools[0].slots.abs().max() > 0
    before = copy.deepcopy(net.segmentors.state_dict())
    for step in (0, 2, 7):
        model.after_step(net, Clock(step, STEPS, 0))
        torch.testing.assert_close(net.segmentors.state_dict(), before, atol=0, rtol=0)
    model.after_step(net, Clock(1, STEPS, 0))
    for segmentor, generator in zip(net.segmentors, (net.gan.to_second, net.gan.to_first), strict=True):
        torch.testing.assert_close(
            segmentor.encoder.state_dict(), generator.encoder.state_dict(), atol=0, rtol=0
        )
    assert all(pool.slots.abs().max() == 0 for pool in net.pools)


def test_a_head_that_fits_is_copied_in_released_alone(budget):
    for preset, copied in (("paper", False), ("released", True)):
        model = method(budget, preset, modalities=4, classes=2, answer="one_map")
        net = model.build()
        model.after_step(net, Clock(1, STEPS, 0))
        assert torch.equal(net.segmentors[0].head[0].weight, net.gan.to_second.head[0].weight) is copied


def test_stage_1_reads_no_label(budget):
    model, bare = method(budget), batch()
    bare.label.fill_(IGNORE)
    net = model.build()
    assert total(terms(model, copy.deepcopy(net), bare)) == total(terms(model, net))


def test_unlabelled_crops_take_part_in_stage_1_alone(budget):
    model = method(budget, "with_unlabelled")
    assert model.uses_unlabelled
    assert not method(budget).uses_unlabelled
    net, bare = model.build(), batch(labelled=False)
    bare.image.mul_(-1)
    for step, uses in ((0, True), (2, False)):
        one = terms(model, copy.deepcopy(net), unlabelled=batch(labelled=False), step=step)
        other = terms(model, copy.deepcopy(net), unlabelled=bare, step=step)
        assert (total(one) != total(other)) is uses


def test_translation_takes_no_pair_but_both_groups(budget):
    model = method(budget)
    net = model.build()
    apart = batch(available=torch.tensor([[True, False], [False, True]]))
    assert terms(model, net, apart).keys() == {"adversarial", "critic", "cycle"}
    assert terms(model, net, batch(available=torch.tensor([[True, False]] * 2))) == {}


def test_a_group_that_lacks_a_modality_is_no_example_of_it(budget):
    model = method(budget, modalities=4)
    assert model.groups == ([0, 2], [1, 3])
    net, crops = model.build(), batch(modalities=4)
    crops.available[0, 2] = False
    changed = copy.deepcopy(crops)
    changed.image[0, 0] += 1.0
    assert total(terms(model, copy.deepcopy(net), crops)) == total(terms(model, copy.deepcopy(net), changed))


def test_the_cycle_is_weighted(budget):
    one, other = (method(budget, lambda_cycle=value) for value in (10.0, 5.0))
    net = one.build()
    full, half = (terms(model, copy.deepcopy(net))["cycle"].item() for model in (one, other))
    assert full == pytest.approx(2 * half)


def test_rates_of_the_groups(budget):
    model = method(budget, generator_learning_rate=1e-3, critic_learning_rate=2e-4)
    groups = model.parameter_groups(model.build())
    assert [group.get("lr_scale", 1.0) for group in groups] == pytest.approx([0.05, 0.01, 1.0, 1.0, 1.0])
    assert sum(len(group["params"]) for group in groups) == len(list(model.build().parameters()))


def test_a_third_of_each_loss_on_the_masks_of_its_modalities(budget):
    model, crops = method(budget), batch()
    net = model.build()
    answers = net(crops.image[:, :1], crops.image[:, 1:])
    found = terms(model, net, crops, step=5)
    assert found["first"].item() == pytest.approx(
        dice_cmdfl(answers.own[0][:, 0], crops.label[:, 0]).item() / 3
    )
    assert found["second"].item() == pytest.approx(
        dice_cmdfl(answers.own[1][:, 0], crops.label[:, 1]).item() / 3
    )
    crops.label[:, 1] = IGNORE
    less = terms(model, net, crops, step=5)
    assert less["second"].item() == 0.0
    assert less["first"].item() == found["first"].item()
    assert less["fused"].item() == pytest.approx(
        dice_cmdfl(answers.fused[:, 0], crops.label[:, 0]).item() / 3
    )


def test_the_segmentation_loss_is_a_choice(budget):
    one, other = (method(budget, segmentation_loss=value) for value in ("published", "suite"))
    net = one.build()
    assert terms(one, net, step=5)["fused"].item() != terms(other, net, step=5)["fused"].item()


def test_output_is_the_fusion_or_each_group_s_own(budget):
    fused, own = method(budget, modalities=3), method(budget, "own", modalities=3)
    net, crops = fused.build(), batch(modalities=3)
    assert fused.groups == ([0, 2], [1])
    before = answer(own, net, crops)
    assert answer(fused, net, crops).shape == before.shape == (2, 3, 3, *PATCH)
    crops.image[:, 1] *= -1
    after = answer(own, net, crops)
    assert torch.equal(before[:, ::2], after[:, ::2])
    assert not torch.equal(before[:, 1], after[:, 1])
    assert not torch.equal(answer(fused, net, crops), after)
    assert CARD.adapter_of("own") == "native"


def test_own_maps_are_in_the_order_of_the_modalities(budget):
    model, crops = method(budget, "own", modalities=3), batch(modalities=3)
    net = model.build()
    with torch.no_grad():
        first, second = net.eval()(crops.image[:, [0, 2]], crops.image[:, [1]]).own
    wanted = torch.stack([first[:, 0], second[:, 0], first[:, 1]], dim=1)
    torch.testing.assert_close(answer(model, net, crops), wanted)


def test_a_missing_group_is_imputed_where_asked_for(budget):
    plain, imputing = method(budget), method(budget, "impute")
    net = plain.build().eval()
    crops = batch(available=torch.tensor([[True, False], [True, True]]))
    zeros, imputed = answer(plain, net, crops), answer(imputing, net, crops)
    assert not torch.equal(zeros[0], imputed[0])
    torch.testing.assert_close(zeros[1], imputed[1])
    with torch.no_grad():
        crops.image[0, 1] = net.gan.to_second(crops.image[:1, :1])[0, 0]
    crops.available[:] = True
    torch.testing.assert_close(answer(plain, net, crops)[0], imputed[0])


def test_broadcast_learns_one_map_from_the_first_mask_and_copies_it(budget):
    model, crops = method(budget, "broadcast"), batch()
    net = model.build()
    logits = answer(model, net, crops)
    assert logits.shape == (2, 2, 3, *PATCH)
    assert torch.equal(logits[:, 0], logits[:, 1])
    one = total(terms(model, net, crops, step=5))
    crops.label[:, 1] = IGNORE
    assert total(terms(model, net, crops, step=5)) == one
    assert CARD.adapter_of("broadcast") == "broadcast"


def test_presets_differ_in_what_they_say():
    paper = CARD.presets["paper"]
    differing = {
        name: {key for key in paper if paper[key] != switches[key]} for name, switches in CARD.presets.items()
    }
    assert differing["released"] == {"pool_index_max", "copy_head_if_shape_matches"}
    assert differing["own"] | differing["impute"] == set(CARD.at_prediction)


@pytest.mark.parametrize(("step", "term"), [(0, "cycle"), (5, "fused")])
def test_both_stages_learn(budget, step, term):
    model = method(budget)
    net = model.build()
    values = descend(net, lambda _: terms(model, net, step=step), 8)
    assert values[-1][term] < 0.8 * values[0][term]
