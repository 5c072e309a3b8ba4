"""Out of memory on a device: more room and the same run again. No GPU: the error is raised by hand."""

import gc
import json
import weakref

import pytest
import torch
from toy import toy_task, toy_test_view, toy_view

from parallax.learn import job as jobs
from parallax.learn.job import Job, predict_job, train_job
from parallax.learn.room import DeviceMemoryError, out_of_memory, packed, retried

FULL = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class Part:
    """What a lease is for a run: 1/share of a device, and more of it on demand."""

    def __init__(self, share):
        self.share = share

    def more(self):
        self.share //= 2


def fitting(share, part, calls):
    """An attempt that fits only where at most `share` runs share the device."""

    def attempt():
        calls.append(part.share)
        if part.share > share:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return "done"

    return attempt


@pytest.mark.parametrize(("fits", "calls"), [(4, [4]), (2, [4, 2]), (1, [4, 2, 1])])
def test_the_packing_is_halved_until_the_run_fits(fits, calls):
    part, made, notes = Part(4), [], []
    assert retried(fitting(fits, part, made), part, notes.append) == "done"
    assert made == calls
    assert notes == [
        f"device memory ran out where {n} runs share it; again with {n // 2}" for n in calls if n > fits
    ]


def test_what_does_not_fit_alone_says_so():
    part, notes = Part(2), []
    with pytest.raises(DeviceMemoryError, match=r"does not fit on the device.*CUDA out of memory"):
        retried(fitting(0, part, []), part, notes.append)
    assert notes[-1] == "device memory ran out on a whole device: the run does not fit"


def test_the_memory_of_the_failed_attempt_is_free_before_the_next():
    class Tensors:
        pass

    alive, part = [], Part(2)

    def attempt():
        kept = Tensors()
        before = [each() for each in alive if each() is not None]
        alive.append(weakref.ref(kept))
        if part.share == 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return before

    gc.disable()
    try:
        assert retried(attempt, part, lambda text: None) == []
    finally:
        gc.enable()
    assert len(alive) == 2


def test_without_a_lease_and_for_other_errors_nothing_is_tried_again():
    with pytest.raises(torch.cuda.OutOfMemoryError):
        retried(fitting(0, Part(2), []), None, pytest.fail)
    with pytest.raises(ZeroDivisionError):
        retried(lambda: 1 / 0, Part(2), pytest.fail)


def test_what_counts_as_out_of_memory():
    wrapped = ValueError("in a worker")
    wrapped.__cause__ = FULL
    texts = ["CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"]
    assert all(map(out_of_memory, [FULL, wrapped, *map(RuntimeError, texts)]))
    assert not any(map(out_of_memory, [MemoryError(), RuntimeError("CUDA error: invalid argument")]))


def test_the_cost_says_that_a_device_was_shared():
    assert [packed("X", None), packed("X", Part(1)), packed("X", Part(2))] == [
        "X",
        "X",
        "X, shared by up to 2",
    ]


@pytest.fixture
def places(tmp_path, monkeypatch):
    task = toy_task()
    monkeypatch.setattr(jobs, "load_train_view", lambda folder: toy_view(task))
    monkeypatch.setattr(jobs, "load_test_views", lambda folder, with_truth=False: iter([toy_test_view(task)]))
    return tmp_path


def train(at, part, budget):
    job = Job("supervised", {}, 0, budget)
    state = (at / "model", at / "cost.json", at / "status.json")
    train_job(job, at / "view", at / "scratch", *state, lambda: part)
    return job, [json.loads(path.read_text()) for path in state[1:]]


def running_out(monkeypatch, at_step, part, fits):
    """Steps of training run out of memory at this step, as long as more than `fits` share the device."""
    from parallax.learn.loop import _Run

    whole, steps = _Run.step, []

    def step(self, clock):
        if clock.step == at_step and part.share > fits:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        steps.append(clock.step)
        whole(self, clock)

    monkeypatch.setattr(_Run, "step", step)
    return steps


def test_training_goes_on_from_its_checkpoint_to_the_same_bits(places, budget, monkeypatch, capfd):
    (places / "plain").mkdir()
    train(places / "plain", Part(1), budget)
    part = Part(4)
    steps = running_out(monkeypatch, 3, part, fits=2)
    _, (cost, status) = train(places, part, budget)
    assert steps == [0, 1, 2, 3, 4, 5]  # checkpoints after every step: none is done twice
    note = "device memory ran out where 4 runs share it; again with 2"
    assert status == {"status": "ok", "reason": "", "out_of_memory": [note]}
    assert cost["device"] == "cpu, shared by up to 2"
    assert f"GPU memory: supervised, seed 0: {note}\n" in capfd.readouterr().err
    first, second = (
        torch.load(at / "model" / "weights.pt", weights_only=True) for at in (places / "plain", places)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_that_does_not_fit_alone_is_a_failed_row(places, budget, monkeypatch, capfd):
    part = Part(2)
    running_out(monkeypatch, 0, part, fits=0)
    job, (_, status) = train(places, part, budget)
    assert status["status"] == "failed"
    assert status["reason"].startswith("DeviceMemoryError: The run does not fit on the device.")
    assert len(status["out_of_memory"]) == 2
    assert [path.name for path in (places / "model").iterdir()] == [".seal"]
    predict_job(
        job, places, places / "model", places / "status.json", places / "out", places / "predict.json"
    )
    predicted = json.loads((places / "predict.json").read_text())
    assert predicted == {**status, "predict_s": {}}


def test_prediction_is_tried_again_too(places, budget, monkeypatch, capfd):
    part = Part(2)
    job, _ = train(places, part, budget)
    kind, predict = jobs.load_method("supervised"), jobs.load_method("supervised").predict

    def predicting(self, view):
        if part.share == 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return predict(self, view)

    monkeypatch.setattr(kind, "predict", predicting)
    monkeypatch.setattr(jobs, "load_method", lambda name: kind)
    trained = (places / "model", places / "status.json")
    predict_job(job, places, *trained, places / "out", places / "p.json", lend=lambda: part)
    status = json.loads((places / "p.json").read_text())
    assert status["status"] == "ok"
    assert status["out_of_memory_predicting"] == ["device memory ran out where 2 runs share it; again with 1"]
    assert len(list((places / "out").glob("*.nii.gz"))) == 2
