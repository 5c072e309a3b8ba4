"""SIGKILL at random moments: of a whole run, of a training step, of the write of a checkpoint."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest
import runs
import torch

from parallax.learn.checkpoint import read_checkpoint, write_checkpoint

MODEL = "runs/phantom_heart/aligned/f100-d0/supervised/paper-s0/model/weights.pt"
VIEW = "views/phantom_heart/aligned/f100-d0"
BUDGET = '{"steps": 30, "patch": [32, 32, 16], "widths": [4, 8], "checkpoint_every_s": 0.001}'


@pytest.mark.parametrize(
    "seed", [number if number < 2 else pytest.param(number, marks=pytest.mark.faults) for number in range(30)]
)
def test_a_run_killed_at_a_random_moment_finishes_with_the_same_scores(undisturbed, tmp_path, count, seed):
    rng, killed = random.Random(seed), False
    longest_s = undisturbed.seconds  # a machine with less to do is faster
    while not killed:
        folder = runs.place(tmp_path / f"{longest_s:.1f}" / runs.AWKWARD)
        process = runs.start(folder)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0, longest_s))
        killed, longest_s = process.poll() is None, longest_s * 0.8
        runs.kill(process)
    runs.finish(folder)
    assert runs.scores(folder) == runs.scores(undisturbed.folder)
    count("SIGKILL of a run at a random moment")


def _training(folder, out):
    script = runs.ROOT / "workflow" / "scripts" / "train.py"
    paths = {"view": folder / "results" / "tiny" / VIEW, "scratch": out / "scratch" / "hash"}
    paths |= {"model": out / "model", "cost": out / "cost.json", "status": out / "status.json"}
    options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    options += ["--method", "supervised", "--budget", BUDGET]
    return subprocess.Popen(
        [sys.executable, str(script), *options], env=runs.environment(), stderr=subprocess.DEVNULL
    )


def _wait_for(found, process, limit_s=300):
    started = time.monotonic()
    while not found():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() - started < limit_s
        time.sleep(0.0005)


def _killed_training(undisturbed, out, seed):
    """Kill a training after some of its 30 checkpoints, in whatever step it then is; then finish it."""
    process, seen, wanted = _training(undisturbed.folder, out), set(), random.Random(seed).randint(1, 15)

    def reached():
        with suppress(OSError):
            seen.add((out / "scratch" / "hash" / "checkpoint.pt").stat().st_mtime_ns)
        return len(seen) >= wanted

    _wait_for(reached, process)
    process.kill()
    process.wait()
    assert not (out / "status.json").exists()
    again = _training(undisturbed.folder, out)
    assert again.wait() == 0
    assert (out / "model" / "weights.pt").read_bytes() == (
        undisturbed.folder / "results" / "tiny" / MODEL
    ).read_bytes()


def test_a_training_killed_in_a_step_goes_on_to_the_same_weights(undisturbed, tmp_path, count):
    _killed_training(undisturbed, tmp_path / "out", 0)
    count("SIGKILL of a training step")


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(1, 10))
def test_more_trainings_killed_in_a_step(undisturbed, tmp_path, count, seed):
    _killed_training(undisturbed, tmp_path / "out", seed)
    count("SIGKILL of a training step")


def _write_for_ever(folder):
    for step in range(10**6):
        write_checkpoint(folder, "f", {"step": step, "net": torch.full((500_000,), step % 97)})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked")
def test_a_checkpoint_that_was_being_written_leaves_a_whole_one(tmp_path, count):
    """The writer is ended while its temporary file is there; 30 times, at other moments of the write."""
    rng, torn = random.Random(3), 0
    for number in range(30):
        folder = tmp_path / str(number)
        child = os.fork()
        if child == 0:
            _write_for_ever(folder)
            os._exit(1)
        try:
            _wait_for_write(folder)
            time.sleep(rng.uniform(0, 0.004))
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        torn += any(folder.glob(".checkpoint.pt.*.tmp"))
        state = read_checkpoint(folder, "f")
        assert state is not None
        assert bool((state["net"] == state["step"] % 97).all())
        count("SIGKILL of a checkpoint write")
    assert torn > 0, "no kill came in the middle of a write"


def _wait_for_write(folder, limit_s=60):
    """Until a checkpoint is there and the next one is being written."""
    started = time.monotonic()
    while not ((folder / "checkpoint.pt").exists() and any(folder.glob(".checkpoint.pt.*.tmp"))):
        assert time.monotonic() - started < limit_s
