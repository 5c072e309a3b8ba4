"""SIGKILL at random moments: of a whole run, of a training step, of the write of a checkpoint."""

import io
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
#: A network that is large for its crops: a third of the time goes into checkpoints, of 3 MB each.
BUDGET = '{"steps": 60, "patch": [16, 16, 8], "widths": [32, 64], "checkpoint_every_s": 0.0001}'
_DIGEST_BYTES = 32  # behind each checkpoint


@pytest.mark.parametrize(
    "seed", [number if number < 2 else pytest.param(number, marks=pytest.mark.faults) for number in range(30)]
)
def test_a_run_killed_at_a_random_moment_finishes_with_the_same_scores(undisturbed, tmp_path, count, seed):
    rng, killed = random.Random(seed), False
    longest_s = undisturbed.seconds  # a machine with less to do is faster
    while not killed:
        folder = runs.place(tmp_path / f"{longest_s:.1f}")
        process = runs.start(folder)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0, longest_s))
        killed, longest_s = runs.kill(process), longest_s * 0.8
    runs.finish(folder)
    assert runs.scores(folder) == runs.scores(undisturbed.folder)
    count("SIGKILL of a run at a random moment")


def test_a_run_killed_in_its_training_goes_on_to_the_same_bits(undisturbed, tmp_path, count):
    folder = runs.place(tmp_path)
    process, results = runs.start(folder), runs.results(folder)
    runs.wait_for(lambda: any((results / "scratch").rglob("checkpoint.pt")), process)
    assert runs.kill(process)
    assert any((results / "scratch").rglob("checkpoint*.pt"))
    assert not (results / MODEL).exists()
    runs.finish(folder)
    assert runs.scores(folder) == runs.scores(undisturbed.folder)
    assert (results / MODEL).read_bytes() == (runs.results(undisturbed.folder) / MODEL).read_bytes()
    count("SIGKILL of a run in its training")


def _training(undisturbed, out):
    """Start a training without a workflow around it."""
    script = runs.ROOT / "workflow" / "scripts" / "train.py"
    paths = {"view": runs.results(undisturbed.folder) / VIEW, "scratch": out / "scratch"}
    paths |= {"model": out / "model", "cost": out / "cost.json", "status": out / "status.json"}
    options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    command = [sys.executable, str(script), *options, "--method", "supervised", "--budget", BUDGET]
    return runs.launch(command, out)


def _weights(process, out):
    """What a training leaves, once it is done."""
    assert process.wait(timeout=600) == 0, runs.said(out)
    return (out / "model" / "weights.pt").read_bytes()


@pytest.fixture(scope="module")
def weights(undisturbed, tmp_path_factory):
    """Of a training that nobody killed."""
    out = tmp_path_factory.mktemp("undisturbed")
    return _weights(_training(undisturbed, out), out)


def _written(scratch, process):
    """Whether this process was killed while it wrote a checkpoint, or is writing one."""
    return any(scratch.glob(f".checkpoint.pt.{process.pid}-*.tmp"))


def _kill(process, scratch, wanted, later_s, in_a_write):
    """Kill a training once it has kept so many more checkpoints, and then some; whether it was at work."""
    newest = scratch / "checkpoint.pt"
    seen, known = set(), {newest.stat().st_mtime_ns} if newest.exists() else set()

    def reached():
        with suppress(FileNotFoundError):  # between two renames
            seen.add(newest.stat().st_mtime_ns)
        return len(seen - known) >= wanted and (not in_a_write or _written(scratch, process))

    runs.wait_for(reached, process)
    time.sleep(later_s)
    return runs.kill(process)


def _step(scratch):
    """The step of the newest whole checkpoint; each has a digest at its end."""
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        with suppress(FileNotFoundError):
            content = io.BytesIO((scratch / name).read_bytes()[:-_DIGEST_BYTES])
            return torch.load(content, weights_only=True)["state"]["step"]
    return 0


@pytest.mark.parametrize(
    ("kills", "in_a_write"),
    [
        pytest.param(2, False, id="2 steps"),
        pytest.param(28, False, id="28 steps", marks=pytest.mark.faults),
        pytest.param(30, True, id="30 writes", marks=pytest.mark.faults),
    ],
)
def test_a_training_killed_again_and_again_goes_on_to_the_same_weights(
    undisturbed, weights, tmp_path_factory, count, kills, in_a_write
):
    """One training after the other, each killed until it is done; kills at other moments are not counted."""
    rng, done = random.Random(kills), 0
    while done < kills:
        out, step = tmp_path_factory.mktemp("training"), 0
        scratch = out / "scratch"
        while done < kills:
            process = _training(undisturbed, out)
            wanted, later_s = rng.randint(3, 8), rng.uniform(0, 0.0005 if in_a_write else 0.02)
            if not _kill(process, scratch, wanted, later_s, in_a_write) or (out / "model").exists():
                break  # its steps were done
            before, step = step, _step(scratch)
            assert step >= before + wanted, "it began anew"
            if _written(scratch, process) == in_a_write:
                count(f"SIGKILL of a training in {'the write of a checkpoint' if in_a_write else 'a step'}")
                done += 1
        if process.returncode == -signal.SIGKILL:
            process = _training(undisturbed, out)
        assert _weights(process, out) == weights


def _write_for_ever(folder):
    for step in range(10**6):
        write_checkpoint(folder, "f", {"step": step, "net": torch.full((1_000_000,), step % 97)})


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
    """Until one checkpoint is set aside and the next one is being written."""
    started = time.monotonic()
    while not ((folder / "checkpoint.previous.pt").exists() and any(folder.glob(".checkpoint.pt.*.tmp"))):
        assert time.monotonic() - started < limit_s
