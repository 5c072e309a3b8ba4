"""Whether the memory of a training grows with the number of cases.

Usage: `python benchmarks/memory.py [--method supervised] [--cases 10 1000] [--steps 60]`.

Heart phantoms are made once and copied under other names; a view of them is trained on in a process of its
own, as the workflow does: arrays are memory-mapped, crops are read from them. Peak is the largest resident
size of that process. Mapped is the part of it, at the end, that is pages of files, libraries included.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from parallax.case import Budget
from parallax.data.files import write_json
from parallax.data.frame import to_common
from parallax.data.store import grid_to_json, load_train_view, write_arrays
from parallax.plugin import load_dataset

MADE = 10


def write_view(folder: Path, n_cases: int) -> None:
    """A training view of `n_cases`, half of them labelled, that differ in name alone after the first few."""
    dataset = load_dataset("phantom_heart", {"cases": MADE, "seed": 1})
    with tempfile.TemporaryDirectory() as staged:
        dataset.stage(dataset.case_ids(), Path(staged))
        common = [
            to_common(dataset.read(i, Path(staged)), dataset.task, crop=True) for i in dataset.case_ids()
        ]
    names = [f"case{i:04d}" for i in range(n_cases)]
    for i, name in enumerate(names):
        write_arrays(common[i % MADE], name, folder, with_label=i < n_cases // 2)
    for path in (folder / "arrays").iterdir():
        path.rename(folder / path.name)
    samples = {
        name: {"available": list(map(bool, made.available)), "grid": grid_to_json(made.grid)}
        for i, name in enumerate(names)
        for made in (common[i % MADE],)
    }
    labelled, unlabelled = names[: n_cases // 2], names[n_cases // 2 :]
    view = {
        "task": dataset.task.to_json(),
        "labelled": labelled,
        "unlabelled": unlabelled,
        "samples": samples,
    }
    write_json(view, folder / "view.json")


def train_here(folder: Path, method: str, steps: int) -> None:
    """Train in this process and print its memory as JSON."""
    from parallax.learn.job import Job

    view = load_train_view(folder)
    budget = Budget(steps=steps, batch=2, patch=(48, 48, 32))
    with tempfile.TemporaryDirectory() as scratch:
        made = Job(method, {}, 0, budget, "cpu", 1).make(view.task)
        cost = made.fit(view, Path(scratch))
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    mapped = re.search(r"RssFile:\s+(\d+)", status)
    assert mapped is not None
    print(json.dumps({"peak_mib": cost.peak_memory_mib, "mapped_mib": int(mapped[1]) / 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="mean_teacher")
    parser.add_argument("--cases", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--view", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.view:
        train_here(a.view, a.method, a.steps)
        return
    print(f"{a.method}, {a.steps} steps\n")
    print("| cases | arrays (MiB) | peak (MiB) | of it mapped at the end (MiB) |")
    print("| ---: | ---: | ---: | ---: |")
    for n_cases in a.cases:
        with tempfile.TemporaryDirectory() as folder:
            write_view(Path(folder), n_cases)
            size = sum(path.stat().st_size for path in Path(folder).glob("*.npy")) / 2**20
            command = [
                sys.executable,
                __file__,
                "--view",
                folder,
                "--method",
                a.method,
                "--steps",
                str(a.steps),
            ]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"| {n_cases} | {size:.0f} | {found['peak_mib']:.0f} | {found['mapped_mib']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
