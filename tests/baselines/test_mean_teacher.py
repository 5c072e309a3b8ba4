"""Mean teacher: the moving average, the ramp and every switch."""

import dataclasses

import pytest
import torch
from toy import toy_batches, toy_dice, toy_task, toy_test_view, toy_view

from parallax.learn.loop import Clock
from parallax.plugin import load_method, method_card

KIND = load_method("mean_teacher")
CARD = method_card("mean_teacher")


def make(budget, task, preset="paper", **changes):
    return KIND(task, budget, switches={**CARD.presets[preset], **changes}, seed=0)


def weights(net):
    return torch.cat([p.flatten() for p in net.parameters()])


def test_teacher_equals_student_after_step_0_and_lags_later(budget, tmp_path):
    view = toy_view(toy_task())
    method, lags = make(budget, view.task), []
    move = method.after_step

    def spy(net, clock):
        move(net, clock)
        lags.append((weights(net[0]["student"]) - weights(net[0]["teacher"])).abs().max().item())

    method.after_step = spy
    method.fit(view, tmp_path)
    assert lags[0] == 0
    assert all(lag > 0 for lag in lags[1:])


def test_ramp_reaches_its_full_weight(budget):
    method = make(budget, toy_task())
    values = [method.weight(Clock(step, 200, 0)) for step in (0, 50, 100, 150)]
    assert values == pytest.approx([6.738e-4, 6.005e-3, 0.02865, 0.07316], rel=1e-3)
    assert make(budget, toy_task(), ramp_fraction=0.5).weight(Clock(100, 200, 0)) == pytest.approx(0.1)


def test_stairs_of_the_release(budget):
    method = make(budget, toy_task(), preset="released")
    on_stair = {method.weight(Clock(step, 30000, 0)) for step in range(150, 300)}
    assert len(on_stair) == 1
    assert method.weight(Clock(300, 30000, 0)) not in on_stair
    smooth = make(budget, toy_task())
    assert smooth.weight(Clock(150, 30000, 0)) == method.weight(Clock(150, 30000, 0))
    assert smooth.weight(Clock(299, 30000, 0)) != method.weight(Clock(299, 30000, 0))


@pytest.mark.parametrize(
    "changes", [{"teacher_noise_sd": 0.5}, {"teacher_noise_limit": 0.01}, {"lambda_max": 1.0}]
)
def test_switches_change_the_consistency_term(budget, changes):
    view = toy_view(toy_task())
    labelled, bare = toy_batches(view)
    terms = []
    for switches in ({}, changes):
        method = make(budget, view.task, **switches)
        terms.append(method.loss(method.build(), labelled, bare, Clock(3, 6, 0)))
    assert terms[0]["consistency"] != terms[1]["consistency"]
    assert terms[0]["supervised"] == terms[1]["supervised"]


def test_alpha_changes_the_teacher_and_predict_with_the_answer(budget):
    method = make(budget, toy_task())
    image, available = torch.randn(1, 2, 16, 16, 16), torch.ones(1, 2, dtype=torch.bool)
    teachers = []
    for alpha in (0.5, 0.99):
        net = method.build()
        net[0]["student"].unet.head[0].bias.data += 1.0
        make(budget, toy_task(), alpha=alpha).after_step(net, Clock(1000, 2000, 0))
        teachers.append(net[0]["teacher"].unet.head[0].bias.clone())
    assert not torch.equal(*teachers)
    answers = [
        make(budget, toy_task(), predict_with=which).logits(net, image, available)
        for which in ("student", "teacher")
    ]
    assert not torch.equal(*answers)


def test_noise_is_clipped_and_reproducible(budget):
    _, bare = toy_batches(toy_view(toy_task()))
    method = make(budget, toy_task())
    noise = method.noise(bare, Clock(1, 6, 0))
    assert noise.abs().max() <= 0.2
    assert noise.std().item() == pytest.approx(0.096, abs=0.01)
    assert torch.equal(noise, method.noise(bare, Clock(1, 6, 0)))


def test_one_modality_works_and_learns(budget, tmp_path):
    view = toy_view(toy_task(n_modalities=1))
    longer = dataclasses.replace(budget, steps=60, widths=(8, 16), learning_rate=1.5e-2)
    method = make(longer, view.task)
    cost = method.fit(view, tmp_path)
    assert cost.parameters == weights(method.net[0]["student"]).numel()
    test = toy_test_view(view.task, with_truth=True)
    assert toy_dice(method.predict(test).label_maps["M0"], test.truth["M0"].array, 3) > 0.6
