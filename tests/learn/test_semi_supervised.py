"""What every semi-supervised method keeps; found by file, so nothing is listed."""

from __future__ import annotations

import sys

import pytest
import torch
from toy import toy_batches, toy_task, toy_view

from parallax.case import Budget
from parallax.learn import pseudo
from parallax.learn.network_method import Clock
from parallax.learn.semi_supervised import SemiSupervised
from parallax.learn.teacher import TeacherStudent
from parallax.plugin import load_method, method_cards

TASK = toy_task(2, 3)
BUDGET = Budget(steps=4, batch=2, patch=(16, 16, 16), widths=(4, 8))
CARDS = [
    c for c in method_cards().values() if not c.control and issubclass(load_method(c.name), SemiSupervised)
]
PLAIN = [c for c in CARDS if issubclass(load_method(c.name), TeacherStudent)]


@pytest.fixture(params=CARDS, ids=lambda c: c.name)
def card(request):
    return request.param


def trained(card, folder, *, task=TASK, preset="paper", **changes):
    method = load_method(card.name)(task, BUDGET, switches={**card.presets[preset], **changes}, seed=5)
    method.fit(toy_view(task, size=BUDGET.patch), folder)
    return method


def same(a, b):
    a, b = a.net.state_dict(), b.net.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("how", ["fused", "per_modality"])
def test_weight_zero_is_training_without_unlabelled_cases_bit_for_bit(card, how, tmp_path):
    zero = trained(card, tmp_path / "a", lambda_max=0.0, input=how)
    without = trained(card, tmp_path / "b", preset="supervised_only", input=how)
    usual = trained(card, tmp_path / "c", lambda_max=10.0, ramp_fraction=0.0, input=how)
    assert same(zero, without)
    assert not same(zero, usual)


def test_what_every_card_says(card):
    assert card.presets["per_modality"]["input"] == "per_modality"
    assert card.presets["supervised_only"]["unlabelled"] is False
    assert card.presets["paper"]["unlabelled"] is True
    assert card.adapter_of("per_modality") == "native"
    assert card.pairs_needed_by("paper")
    assert not card.pairs_needed_by("per_modality")


def test_one_modality_at_a_time_never_sees_the_other(card, tmp_path):
    method = trained(card, tmp_path, preset="per_modality")
    image, both = torch.randn(1, 2, 16, 16, 16), torch.ones(1, 2, dtype=torch.bool)
    net = method.net.eval()
    with torch.no_grad():
        before = method.logits(net, image, both)
        image[:, 1] += 1.0
        after = method.logits(net, image, both)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before[:, 1], after[:, 1])


@pytest.mark.parametrize("plain", PLAIN, ids=lambda c: c.name)
@pytest.mark.parametrize("how", ["fused", "per_modality"])
def test_a_student_without_unlabelled_cases_is_the_baseline_bit_for_bit(plain, how, tmp_path):
    method = trained(plain, tmp_path / "a", preset="supervised_only", input=how)
    name = "early_fusion" if how == "fused" else "supervised"
    kind = load_method(name)
    baseline = kind(TASK, BUDGET, switches={}, seed=5)
    baseline.fit(toy_view(TASK, size=BUDGET.patch), tmp_path / "b")
    students = [value for part in method.net for value in part["student"].parameters()]
    expected = list(baseline.net.parameters())
    assert len(students) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(students, expected, strict=True))


def test_one_modality_starts_from_the_weights_of_supervised(card):
    """So that the row of a data set of one modality compares with `supervised`."""
    task = toy_task(1, 3)
    method = load_method(card.name)(task, BUDGET, switches=card.presets["paper"], seed=5)
    assert method.initial(task.modality_names) == f"unet/{task.modality_names[0]}"


#: In these all that is compared learns: nothing is a target.
NO_TARGETS = {"urpc", "decseg"}


def test_what_unlabelled_images_are_taught_carries_no_gradient(card, monkeypatch):
    """Of every pseudo-label, sharpened answer and teacher that a late step asks for."""
    made = []

    def spied(make):
        def spy(*args, **kwargs):
            made.append(make(*args, **kwargs))
            return made[-1]

        return spy

    method = load_method(card.name)(TASK, BUDGET, switches=card.presets["paper"], seed=5)
    for make in (pseudo.hard_labels, pseudo.largest_components, pseudo.sharpened):
        for module in [m for name, m in sys.modules.items() if name.startswith("parallax")]:
            if getattr(module, make.__name__, None) is make:
                monkeypatch.setattr(module, make.__name__, spied(make))
    net = method.build().train()
    for name, part in net.named_modules():
        if name.endswith("teacher"):
            part.register_forward_hook(lambda _, __, answer: made.append(answer))
    labelled, bare = toy_batches(toy_view(TASK, size=BUDGET.patch))
    method.loss(net, labelled, bare, Clock(3, 4, 5))
    assert bool(made) is (card.name not in NO_TARGETS)
    assert not any(target.requires_grad for target in made)
