"""How far scores drift on another machine: the same training with other processor kernels.

Usage: `python benchmarks/drift.py [--method supervised] [--steps 40]`, on Linux with an x86 processor.

Libraries choose kernels by what the processor can do. Environment variables make them take those of an older
one, which add in another order, as another machine or another BLAS does. Small heart phantoms, one thread.
For each choice a process of its own trains, segments four cases and scores each structure in each modality.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

#: Name of a choice of kernels -> the variables that make it.
MACHINES = {
    "as it is": {},
    "the same again": {},
    "oneDNN without AVX": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "PyTorch and MKL without AVX": {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
    "all without AVX": {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
    },
}


def scores(method: str, steps: int) -> dict[str, float]:
    """Dice of a training in this process, by case, modality and structure."""
    from parallax.case import Budget
    from parallax.learn.job import Job
    from parallax.score.metrics import dice
    from parallax.trial.phantom_run import make_phantom

    made = make_phantom()
    budget = Budget(steps=steps, patch=(32, 32, 16), widths=(16, 32, 64))
    trained = Job(method, {}, 0, budget).make(made.task)
    with tempfile.TemporaryDirectory() as folder:
        trained.fit(made.view, Path(folder))
    found = {}
    for view, case in made.cases:
        for modality, answer in trained.predict(view).label_maps.items():
            truth = case.labels[modality].array
            for name, value in made.task.classes.items():
                found[f"{case.id}/{modality}/{name}"] = dice(truth == value, answer == value)
    return found


def on_machine(variables: dict[str, str], method: str, steps: int) -> dict[str, float]:
    """The same in a process of its own, in which these variables are set."""
    command = [sys.executable, __file__, "--method", method, "--steps", str(steps), "--here"]
    done = subprocess.run(command, env=os.environ | variables, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def apart(a: dict[str, float], b: dict[str, float]) -> tuple[float, float]:
    """Largest difference of one Dice, and the difference of the means."""
    most = max(abs(a[key] - b[key]) for key in a)
    return most, abs(sum(a.values()) - sum(b.values())) / len(a)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="supervised")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--here", action="store_true", help="print the scores of one training as JSON")
    a = parser.parse_args()
    if a.here:
        print(json.dumps(scores(a.method, a.steps)))
        return
    print(f"{a.method}, {a.steps} steps\n")
    print("| kernels | mean Dice | largest drift of a Dice | drift of the mean |")
    print("| --- | ---: | ---: | ---: |")
    first: dict[str, float] = {}
    for name, variables in MACHINES.items():
        found = on_machine(variables, a.method, a.steps)
        first = first or found
        most, mean = apart(first, found)
        print(f"| {name} | {sum(found.values()) / len(found):.3f} | {most:.2g} | {mean:.2g} |", flush=True)


if __name__ == "__main__":
    main()
