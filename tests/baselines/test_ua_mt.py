"""UA-MT: where the teacher is certain, and every switch."""

import inspect
import math
from typing import Any

import pytest
import torch
from toy import toy_batches, toy_task, toy_view

from parallax.learn.loop import Clock
from parallax.plugin import load_method, method_card

KIND = load_method("ua_mt")
CARD = method_card("ua_mt")
FORMS: Any = inspect.getmodule(KIND)


def make(budget, task, preset="paper", **changes):
    return KIND(task, budget, switches={**CARD.presets[preset], **changes}, seed=0)


def terms_of(method, clock=None):
    torch.manual_seed(0)
    net = method.build().train()
    for teacher_weight in net[0]["teacher"].parameters():  # as later in training: not the student
        teacher_weight.add_(0.05 * torch.randn_like(teacher_weight))
    terms = method.loss(net, *toy_batches(toy_view(method.task)), clock or Clock(3, 6, 0))
    return terms, net


def test_threshold_rises_to_the_greatest_entropy(budget):
    two = make(budget, toy_task(2, 2))
    assert two.threshold(Clock(0, 100, 0)) == pytest.approx(0.52103, abs=1e-5)
    assert two.threshold(Clock(100, 100, 0)) == pytest.approx(0.69315, abs=1e-5)
    four = make(budget, toy_task(2, 4))
    assert four.threshold(Clock(100, 100, 0)) == pytest.approx(1.38629, abs=1e-5)
    assert make(budget, toy_task(2, 4), "released").threshold(Clock(100, 100, 0)) == pytest.approx(
        math.log(2)
    )
    later = make(budget, toy_task(2, 2), threshold_from=0.5).threshold(Clock(0, 100, 0))
    assert later == pytest.approx((0.5 + 0.5 * math.exp(-5)) * math.log(2))


def test_uncertainty_is_the_entropy_of_the_mean_answer(budget):
    task = toy_task(2, 4)
    _, bare = toy_batches(toy_view(task))

    class Flat(torch.nn.Module):
        """Sure of one of two classes by turns, which of the two depends on the call."""

        calls = 0

        def forward(self, image, available):
            self.calls += 1
            logits = torch.zeros(*image.shape[:2], 4, *image.shape[2:])
            logits[:, :, self.calls % 2] = 50.0
            return logits

    teacher = Flat()
    found = make(budget, task).uncertainty(teacher, bare, Clock(0, 6, 0))
    assert teacher.calls == 8
    assert found.shape == bare.image.shape
    torch.testing.assert_close(found, torch.full_like(found, math.log(2)), rtol=0, atol=1e-4)
    once = make(budget, task, teacher_passes=1).uncertainty(teacher, bare, Clock(0, 6, 0))
    torch.testing.assert_close(once, torch.zeros_like(once), rtol=0, atol=1e-4)


def test_only_certain_voxels_count_by_hand():
    answer = torch.tensor([[[0.9, 0.5, 0.2], [0.1, 0.5, 0.8]]])
    target = torch.tensor([[[0.7, 0.5, 0.9], [0.3, 0.5, 0.1]]])
    masked_mse = FORMS.masked_mse
    some = torch.tensor([[True, True, False]])
    assert masked_mse(answer, target, some, 2).item() == pytest.approx(2 * 0.2**2 / (2 * 2))
    assert masked_mse(answer, target, some, 4).item() == pytest.approx(2 * 0.2**2 / (4 * 2))
    assert masked_mse(answer, target, ~some, 2).item() == pytest.approx(2 * 0.7**2 / 2)
    answer.requires_grad_()
    none = masked_mse(answer, target, torch.zeros_like(some), 2)
    none.backward()
    assert none.item() == 0
    assert answer.grad.abs().max() == 0


def test_where_all_is_certain_it_is_the_mean_teacher(budget):
    """The mean over classes and voxels of the squared difference, at the weight of the ramp."""
    method = make(budget, toy_task(), threshold_from=10.0)
    terms, net = terms_of(method)
    clock, (_, bare) = Clock(3, 6, 0), toy_batches(toy_view(method.task))
    target = method.probabilities(net[0]["teacher"], bare, clock, "target")
    answer = net[0]["student"](bare.image, bare.available).softmax(dim=2)
    expected = method.weight(clock) * (answer - target).square().mean()
    torch.testing.assert_close(terms["consistency"], expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"lambda_max": 1.0},
        {"teacher_noise_sd": 0.5},
        {"teacher_noise_limit": 0.01},
        {"teacher_passes": 2},
        {"threshold_from": 0.05},
        {"class_constant": "binary"},
        {"ramp_fraction": 0.5},
        {"ramp_stairs": 4},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_switches_change_the_consistency_alone(budget, changes):
    # at the first steps nearly all is background: noise and a low threshold make the teacher doubt
    doubtful = {"threshold_from": 0.1, "teacher_noise_sd": 1.0, "teacher_noise_limit": 2.0}
    usual, _ = terms_of(make(budget, toy_task(), **doubtful), Clock(7, 20, 0))
    other, _ = terms_of(make(budget, toy_task(), **{**doubtful, **changes}), Clock(7, 20, 0))
    assert usual["consistency"] != other["consistency"]
    assert usual["supervised"] == other["supervised"]


def test_the_constant_of_the_release_is_right_for_two_classes(budget):
    both = [make(budget, toy_task(2, 2), class_constant=value) for value in ("C", "binary")]
    usual, binary = (terms_of(method)[0]["consistency"] for method in both)
    assert usual == binary
    assert usual > 0


def test_dropout_is_for_training_alone(budget):
    usual, dropped = (make(budget, toy_task(), dropout=rate) for rate in (0.0, 0.5))
    image, available = torch.randn(1, 2, 16, 16, 16), torch.ones(1, 2, dtype=torch.bool)
    nets = [method.build() for method in (usual, dropped)]
    trained, tested = (
        [net[0]["teacher"].train(mode)(image, available) for net in nets] for mode in (True, False)
    )
    assert not torch.equal(*trained)
    assert torch.equal(*tested)


def test_no_gradient_reaches_the_teacher(budget):
    terms, net = terms_of(make(budget, toy_task()))
    terms["consistency"].backward()
    assert all(weight.grad is None for weight in net[0]["teacher"].parameters())
    assert any(weight.grad.abs().max() > 0 for weight in net[0]["student"].parameters())


def test_alpha_changes_the_teacher_and_predict_with_the_answer(budget):
    image, available = torch.randn(1, 2, 16, 16, 16), torch.ones(1, 2, dtype=torch.bool)
    teachers, net = [], None
    for alpha in (0.5, 0.99):
        net = make(budget, toy_task()).build()
        net[0]["student"].unet.head[0].bias.data += 1.0
        make(budget, toy_task(), alpha=alpha).after_step(net, Clock(1000, 2000, 0))
        teachers.append(net[0]["teacher"].unet.head[0].bias.clone())
    assert not torch.equal(*teachers)
    which = [make(budget, toy_task(), predict_with=value) for value in ("student", "teacher")]
    assert not torch.equal(*(method.logits(net, image, available) for method in which))


def test_passes_are_counted(budget):
    assert make(budget, toy_task()).forward_passes_per_step == 11
    assert make(budget, toy_task(), teacher_passes=2, input="per_modality").forward_passes_per_step == 10
    assert make(budget, toy_task(), "supervised_only").forward_passes_per_step == 1
