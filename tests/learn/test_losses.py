"""Losses against other implementations and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F

from parallax.case import IGNORE
from parallax.learn import losses
from parallax.learn.losses import dice_ce, kd, nll_by_gather, softmax_ce, softmax_mse


@pytest.fixture
def random_case():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 6, 5, 4, generator=generator, requires_grad=True)
    return logits, torch.randint(0, 4, (2, 6, 5, 4), generator=generator)


@pytest.mark.parametrize("smooth", [1e-5, 20.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_dice_ce_equals_monai(random_case, smooth, weighted):
    from monai.losses import DiceCELoss

    logits, label = random_case
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0]) if weighted else None
    monai = DiceCELoss(to_onehot_y=True, softmax=True, smooth_nr=smooth, smooth_dr=smooth)
    wanted = monai(logits, label[:, None])
    if weighted:  # MONAI weights its Dice too
        wanted = wanted - F.cross_entropy(logits, label) + F.cross_entropy(logits, label, weights)
    found = dice_ce(logits, label, class_weights=weights, smooth=smooth)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-6)
    mine, theirs = (torch.autograd.grad(x, logits, retain_graph=True)[0] for x in (found, wanted))
    torch.testing.assert_close(mine, theirs)


def test_ignored_voxels_have_no_say(random_case):
    logits, label = random_case
    label[:, :3] = IGNORE
    wanted = dice_ce(logits[:, :, 3:], label[:, 3:])
    found = dice_ce(logits, label)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-6)
    (gradient,) = torch.autograd.grad(found, logits)
    assert gradient[:, :, :3].abs().max() == 0
    assert gradient[:, :, 3:].abs().max() > 0


def test_item_without_any_label_has_no_say(random_case):
    logits, label = random_case
    label[1] = IGNORE
    assert dice_ce(logits, label).item() == pytest.approx(dice_ce(logits[:1], label[:1]).item(), abs=1e-6)


def test_nothing_known_gives_zero_with_a_graph(random_case):
    logits, label = random_case
    loss = dice_ce(logits, torch.full_like(label, IGNORE))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().max() == 0


def test_reduced_precision_is_lifted(random_case):
    logits, label = random_case
    assert dice_ce(logits.bfloat16(), label).dtype == torch.float32


def test_kd_closed_form():
    teacher = torch.log(torch.tensor([[[0.75], [0.25]]], dtype=torch.float64))
    student = torch.zeros(1, 2, 1, dtype=torch.float64)
    wanted = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert kd(teacher, student).item() == pytest.approx(wanted, abs=1e-12)


def test_kd_temperature():
    teacher = torch.tensor([[[2.0], [0.0]]], dtype=torch.float64)
    student = torch.zeros(1, 2, 1, dtype=torch.float64)
    plain = kd(teacher / 2, student).item()
    assert kd(teacher, student, temperature=2.0, t_squared=False).item() == pytest.approx(plain)
    assert kd(teacher, student, temperature=2.0).item() == pytest.approx(4 * plain)


@pytest.mark.parametrize("detach", [True, False])
def test_kd_teacher_gradient(detach):
    teacher = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    student = torch.zeros(1, 3, 4, requires_grad=True)
    kd(teacher, student, detach_teacher=detach).backward()
    assert (teacher.grad is None) == detach
    assert student.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("student", "temperature", "temper_teacher", "expected"),
    [
        ((1.0, 0.0, -1.0), 1.0, True, 0.0615542),
        ((1.0, 0.0, -1.0), 2.0, True, 0.0914167),
        ((1.0, 0.0, -1.0), 2.0, False, 0.6978298),
        ((2.0, 0.0, 0.0), 4.0, True, 0.0),
        ((2.0, 0.0, 0.0), 1.0, False, 0.0),
        ((2.0, 0.0, 0.0), 2.0, False, 0.3955440),
        ((2.0, 0.0, 0.0), 4.0, False, 3.7649771),
    ],
)
@pytest.mark.parametrize("log_of_softmax", [False, True])
def test_kd_with_temperature_of_both_or_of_the_student(
    student, temperature, temper_teacher, expected, log_of_softmax
):
    """Vectors of MAG-MS, docs/methods/magms.md."""
    teacher, student = (
        torch.tensor(v, dtype=torch.float64).view(1, 3, 1) for v in ((2.0, 0.0, 0.0), student)
    )
    found = kd(
        teacher,
        student,
        temperature=temperature,
        temper_teacher=temper_teacher,
        log_of_softmax=log_of_softmax,
    )
    assert found.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("log_of_softmax", [False, True])
def test_kd_of_a_wide_gap(log_of_softmax):
    teacher, student = torch.zeros(1, 2, 1), torch.tensor([[[200.0], [0.0]]])
    found = kd(teacher, student, log_of_softmax=log_of_softmax)
    assert bool(torch.isinf(found)) is log_of_softmax
    assert log_of_softmax or found.item() == pytest.approx(100 - math.log(2), rel=1e-6)


def test_softmax_mse_closed_form():
    student = torch.log(torch.tensor([[[0.75], [0.25]]])).requires_grad_()
    teacher = torch.zeros(1, 2, 1, requires_grad=True)
    loss = softmax_mse(student, teacher)
    loss.backward()
    assert loss.item() == pytest.approx(0.0625, abs=1e-6)
    assert teacher.grad is None


@pytest.mark.parametrize("weighted", [False, True])
def test_the_deterministic_form_is_the_same_loss(random_case, weighted):
    logits, label = random_case
    label = label.clone()
    label[0, :2] = IGNORE
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0]) if weighted else None
    log_p = F.log_softmax(logits, dim=1)
    forms = [
        F.nll_loss(log_p, label, weights, ignore_index=IGNORE),
        nll_by_gather(log_p, label, weights, IGNORE),
    ]
    slopes = [torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in forms]
    torch.testing.assert_close(forms[1], forms[0])
    torch.testing.assert_close(slopes[1], slopes[0])


def test_which_form_is_taken(random_case, monkeypatch):
    logits, label = random_case
    before, usual = dice_ce(logits, label), softmax_ce(logits, label)
    assert torch.equal(usual, F.cross_entropy(logits, label))
    taken = []
    monkeypatch.setattr(losses, "nll_by_gather", lambda *a: taken.append(nll_by_gather(*a)) or taken[-1])
    monkeypatch.setattr(losses, "_needs_deterministic_form", lambda x: True)
    torch.testing.assert_close(dice_ce(logits, label), before)
    torch.testing.assert_close(softmax_ce(logits, label), usual)
    assert len(taken) == 2
