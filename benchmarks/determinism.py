"""What `budget.deterministic` costs and what it changes: trainings with and without it, by turns.

Usage: `python benchmarks/determinism.py [--device cuda] [--method supervised] [--precision bfloat16]`.

Small heart phantoms, one thread. Prints the processor and wall time of each training and whether its weights
are those of the first training with the same setting, and of the first without it, bit for bit. A training
before these loads libraries and is not timed. An operation without a deterministic kernel ends it by name.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from parallax.case import Budget, TrainView
from parallax.learn.device import device_name
from parallax.learn.job import Job
from parallax.trial.phantom_run import make_phantom

State = dict[str, Tensor]


def trained(job: Job, view: TrainView) -> tuple[State, float, float]:
    """Weights, and the seconds of processor and wall time that the training took."""
    with tempfile.TemporaryDirectory() as folder:
        method = job.make(view.task)
        wall, own = time.perf_counter(), time.process_time()
        method.fit(view, Path(folder))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.process_time() - own, time.perf_counter() - wall
        method.save(Path(folder))
        state: State = torch.load(Path(folder) / "weights.pt", map_location="cpu", weights_only=True)
    return state, *seconds


def same(a: State, b: State) -> str:
    return "yes" if all(torch.equal(a[name], b[name]) for name in a) else "no"


def jobs(a: argparse.Namespace) -> dict[bool, Job]:
    """The job without and with the switch."""
    made = {}
    for deterministic in (False, True):
        budget = Budget(
            steps=a.steps,
            patch=(32, 32, 16),
            widths=(16, 32, 64),
            precision=a.precision,
            deterministic=deterministic,
        )
        made[deterministic] = Job(a.method, {}, 0, budget, a.device, threads=1)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--method", default="supervised", help="a method that writes weights.pt")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--turns", type=int, default=3)
    a = parser.parse_args()
    view, both = make_phantom().view, jobs(a)
    trained(both[False], view)
    device = "cuda" if a.device == "auto" and torch.cuda.is_available() else a.device.replace("auto", "cpu")
    print(
        f"{a.method}, {a.steps} steps, {a.precision}, on {device_name(device)}, PyTorch {torch.__version__}\n"
    )
    print("| deterministic | processor | wall | bits as with the same setting | bits as without |")
    print("| --- | ---: | ---: | --- | --- |")
    first: dict[bool, State] = {}
    for _ in range(a.turns):
        for deterministic, job in both.items():
            state, own_s, wall_s = trained(job, view)
            known = first.setdefault(deterministic, state)
            row = "yes" if deterministic else "no", f"{own_s:.1f} s", f"{wall_s:.1f} s"
            print("|", " | ".join((*row, same(state, known), same(state, first[False]))), "|", flush=True)


if __name__ == "__main__":
    main()
