"""Settings of PyTorch for a job. On a GPU they were not run; a CPU gives the same bits with and without."""

import os
from dataclasses import replace

import pytest
import torch
from toy import toy_task, toy_view

from parallax.learn.device import prepare_torch
from parallax.learn.job import Job


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "deterministic", cudnn.deterministic)
    monkeypatch.setattr(cudnn, "benchmark", cudnn.benchmark)
    yield
    torch.use_deterministic_algorithms(False)


def test_deterministic_turns_every_switch():
    torch.backends.cudnn.benchmark = True
    assert prepare_torch("cpu", 1, deterministic=True) == "cpu"
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (True, False)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_nothing_is_turned_by_default():
    prepare_torch("cpu", 1)
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_a_cpu_gives_the_same_bits_with_and_without(budget, tmp_path):
    task, weights = toy_task(), []
    for deterministic in (False, True):
        method = Job("supervised", {}, 0, replace(budget, deterministic=deterministic)).make(task)
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        method.fit(toy_view(task), tmp_path / str(deterministic))
        weights.append(method.net.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
