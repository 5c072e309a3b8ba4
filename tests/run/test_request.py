"""What a training asks a scheduler for."""

import json

import pytest

from parallax.run.costs import Estimate
from parallax.run.request import Request, train_request


def _finished(root, path, *, train_s, memory_mib=1000.0, device="cpu", status="ok"):
    folder = root / "runs" / path
    folder.mkdir(parents=True)
    cost = {"train_s": train_s, "peak_memory_mib": memory_mib, "device": device}
    (folder / "cost.json").write_text(json.dumps(cost))
    (folder / "status.json").write_text(json.dumps({"status": status, "reason": ""}))


def test_the_most_that_the_same_method_took_on_the_dataset_with_a_margin(tmp_path):
    _finished(tmp_path, "heart/aligned/f100-d0/mkd/paper-s0", train_s=1800.0, memory_mib=4000.0)
    _finished(tmp_path, "heart/shifted/f010-d0/mkd/paper-s1", train_s=600.0, memory_mib=6000.0)
    _finished(tmp_path, "heart/aligned/f100-d0/cmc/paper-s0", train_s=9000.0, memory_mib=9000.0)
    _finished(tmp_path, "orbit/aligned/f100-d0/mkd/paper-s0", train_s=9000.0, memory_mib=9000.0)
    assert train_request(tmp_path, "heart", "mkd") == Request(mem_mib=9000, runtime_min=90)


def test_each_try_asks_for_more(tmp_path):
    assert Request(1500, 20).again(1) == Request(1500, 20)
    assert Request(1500, 20).again(3) == Request(4500, 60)


@pytest.mark.parametrize("spent", [{"status": "failed"}, None])
def test_without_a_finished_run_it_is_a_guess(tmp_path, spent):
    if spent:
        _finished(tmp_path, "heart/aligned/f100-d0/mkd/paper-s0", train_s=6.0, **spent)
    assert train_request(tmp_path, "heart", "mkd") == Request(mem_mib=3000, runtime_min=240)


@pytest.mark.parametrize("spent", [{"device": "NVIDIA X"}, {"memory_mib": float("nan")}])
def test_memory_that_is_not_the_machines_is_a_guess(tmp_path, spent):
    _finished(tmp_path, "heart/aligned/f100-d0/mkd/paper-s0", train_s=3600.0, **spent)
    assert train_request(tmp_path, "heart", "mkd") == Request(mem_mib=3000, runtime_min=180)


def test_where_nothing_is_finished_the_estimate_counts_unless_it_is_of_another_device(tmp_path):
    estimate = Estimate(core_s=1200.0, memory_mib=4000.0)
    assert train_request(tmp_path, "heart", "mkd", lambda: estimate) == Request(6000, 60)
    _finished(tmp_path, "heart/aligned/f100-d0/mkd/paper-s0", train_s=60.0, memory_mib=2000.0)
    assert train_request(tmp_path, "heart", "mkd", lambda: estimate) == Request(3000, 10)


def test_a_quick_training_is_given_time_to_start(tmp_path):
    _finished(tmp_path, "heart/aligned/f100-d0/empty/paper-s0", train_s=0.0, memory_mib=0.0)
    assert train_request(tmp_path, "heart", "empty") == Request(mem_mib=1000, runtime_min=10)


def test_a_file_that_is_half_written_is_not_read(tmp_path):
    _finished(tmp_path, "heart/aligned/f100-d0/mkd/paper-s0", train_s=9000.0)
    (tmp_path / "runs/heart/aligned/f100-d0/mkd/paper-s0/cost.json").write_text("{")
    assert train_request(tmp_path, "heart", "mkd") == Request(mem_mib=3000, runtime_min=240)
