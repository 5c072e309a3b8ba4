"""Loss forms against the numbers that tell them apart."""

import math

import pytest
import torch

from parallax.case import IGNORE
from parallax.learn.loss_forms import dice_cmdfl, dice_rfnet, dice_robustseg, over_heads, soft_dice, wce

FORMS = [dice_robustseg, dice_rfnet, dice_cmdfl, wce, lambda z, y: wce(z, y, per_item=True)]


def certain(label, classes):
    """Logits whose softmax is the one-hot map of `label`, to the last bit."""
    return torch.nn.functional.one_hot(label, classes).movedim(-1, 1).double() * 1000.0


@pytest.fixture
def random_case():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 6, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    return logits, torch.randint(0, 4, (2, 6, 5, 4), generator=generator)


@pytest.mark.parametrize("form", [dice_robustseg, dice_rfnet])
@pytest.mark.parametrize(("classes", "expected"), [(5, 0.8), (4, 0.75)])
def test_absent_classes_cost_their_share_though_the_background_is_perfect(form, classes, expected):
    label = torch.zeros(2, 4, 4, 4, dtype=torch.long)
    assert form(certain(label, classes), label).item() == pytest.approx(expected, abs=1e-6)


def test_dice_cmdfl_of_a_perfect_background_is_0():
    label = torch.zeros(2, 4, 4, 4, dtype=torch.long)
    assert dice_cmdfl(certain(label, 5), label).item() == pytest.approx(0.0, abs=1e-6)


def test_dice_forms_equal_their_formulas(random_case):
    logits, label = random_case
    p, y = logits.softmax(1), torch.nn.functional.one_hot(label, 4).movedim(-1, 1)
    batch, item = (0, 2, 3, 4), (2, 3, 4)
    robustseg = 1 - (2 * (p * y).sum(batch) / ((p * p).sum(batch) + y.sum(batch) + 1e-7)).mean()
    rfnet = 1 - (2 * (p * y).sum(batch) / (p.sum(batch) + y.sum(batch) + 1e-7)).mean()
    ratio = (2 * (p * y).sum(item) + 1e-5) / ((p * p).sum(item) + (y * y).sum(item) + 1e-5)
    for form, wanted in (
        (dice_robustseg, robustseg),
        (dice_rfnet, rfnet),
        (dice_cmdfl, 1 - ratio[:, 1:].mean()),
    ):
        assert form(logits, label).item() == pytest.approx(wanted.item(), abs=1e-12)


def test_each_argument_of_soft_dice_changes_it(random_case):
    plain = {
        "squared": False,
        "smooth_above": 0.0,
        "smooth_below": 0.0,
        "per_item": False,
        "background": True,
    }
    others = {
        "squared": True,
        "smooth_above": 1.0,
        "smooth_below": 1.0,
        "per_item": True,
        "background": False,
    }
    values = [soft_dice(*random_case, **plain).item()]
    values += [soft_dice(*random_case, **(plain | {key: value})).item() for key, value in others.items()]
    assert len(set(values)) == len(values)


def test_wce_of_background_alone_is_exactly_0(random_case):
    logits, label = random_case
    assert wce(logits, torch.zeros_like(label)).item() == 0.0


def test_one_voxel_costs_5_3_at_most():
    label = torch.tensor([[0, 1]])
    worst = wce(certain(1 - label, 2), label).item()  # both voxels wrong, both weights 1/2
    assert worst == pytest.approx(-math.log(0.005) / 2, abs=1e-9)
    assert -math.log(0.005) == pytest.approx(5.2983, abs=1e-4)


def test_wce_with_a_tenth_of_foreground_and_an_undecided_guess():
    label = torch.zeros(1, 10, dtype=torch.long)
    label[0, 0] = 1
    assert wce(torch.zeros(1, 2, 10), label).item() == pytest.approx(0.12477, abs=5e-6)


def test_wce_counts_classes_over_the_batch_or_per_item():
    label = torch.tensor([[0, 0, 0, 1], [1, 1, 1, 1]])
    logits = torch.zeros(2, 2, 4)
    batch = (3 * 5 + 5 * 3) / 8 / 8 * math.log(2)  # weights 5/8 and 3/8
    item = (3 * 1 / 4 + 3 / 4) / 8 * math.log(2)  # weights 1/4 and 3/4; the second item has none
    assert wce(logits, label).item() == pytest.approx(batch, abs=1e-6)
    assert wce(logits, label, per_item=True).item() == pytest.approx(item, abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_voxels_that_are_not_known_have_no_say(form, random_case):
    logits, label = random_case
    label[:, :3] = IGNORE
    found = form(logits, label)
    assert found.item() == pytest.approx(form(logits[:, :, 3:], label[:, 3:]).item(), abs=1e-12)
    (gradient,) = torch.autograd.grad(found, logits)
    assert gradient[:, :, :3].abs().max() == 0
    assert gradient[:, :, 3:].abs().max() > 0


@pytest.mark.parametrize("form", FORMS)
def test_item_without_any_label_has_no_say(form, random_case):
    logits, label = random_case
    label[1] = IGNORE
    assert form(logits, label).item() == pytest.approx(form(logits[:1], label[:1]).item(), abs=1e-12)
    label[0] = IGNORE
    assert form(logits, label).item() == 0.0
    assert form(logits, label).requires_grad


def test_over_heads_is_the_mean_over_heads_that_are_taught(random_case):
    logits, label = random_case
    heads, labels = torch.stack([logits, -logits, 2 * logits], dim=1), torch.stack([label] * 3, dim=1)
    labels[:, 2] = IGNORE
    wanted = (dice_rfnet(logits, label) + dice_rfnet(-logits, label)) / 2
    assert over_heads(dice_rfnet, heads, labels).item() == pytest.approx(wanted.item(), abs=1e-12)
    labels[:] = IGNORE
    assert over_heads(dice_rfnet, heads, labels).item() == 0.0


def test_half_precision_is_summed_in_single_precision(random_case):
    logits, label = random_case
    rounded = logits.bfloat16()
    for form in FORMS:
        assert form(rounded, label).item() == pytest.approx(form(rounded.float(), label).item(), abs=1e-7)
