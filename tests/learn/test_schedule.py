"""Schedules against torch and closed forms."""

import pytest
import torch

from parallax.learn.schedule import ema_decay, ema_update, gaussian_ramp, one_cycle_lr, poly


@pytest.mark.parametrize(
    ("t", "value"), [(0, 6.738e-3), (50, 0.06005), (100, 0.2865), (150, 0.7316), (200, 1.0), (900, 1.0)]
)
def test_ramp(t, value):
    assert gaussian_ramp(t, 200) == pytest.approx(value, rel=1e-3)


def test_ramp_of_no_length_is_full():
    assert gaussian_ramp(0, 0) == 1.0


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_one_cycle_equals_torch():
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.3, total_steps=40, pct_start=0.5)
    for step in range(40):
        assert one_cycle_lr(step, 40, 0.3) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        schedule.step() if step < 39 else None


def test_one_cycle_of_one_step():
    assert 0 < one_cycle_lr(0, 1, 0.3) <= 0.3


def test_poly():
    assert poly(0, 10) == 1.0
    assert poly(5, 10) == pytest.approx(0.5**0.9)


def test_ema_decay():
    assert [ema_decay(step, 0.99) for step in (0, 1, 1000)] == [0.0, 0.5, 0.99]


def test_ema_update_moves_parameters_not_buffers():
    teacher, student = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    student.weight.data.fill_(3.0)
    student.running_mean.fill_(7.0)
    ema_update(teacher, student, 0.75)
    assert teacher.weight.tolist() == [1.5, 1.5]
    assert teacher.running_mean.tolist() == [0.0, 0.0]
    ema_update(teacher, student, 0.0)
    assert torch.equal(teacher.weight, student.weight)
