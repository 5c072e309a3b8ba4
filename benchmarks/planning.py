"""How long `snakemake -n` takes to plan a large grid, and how much memory.

Usage: `python benchmarks/planning.py [--runs 1000 3000 10000] [--profile FILE]`.

A configuration of about so many training runs is made in a temporary folder: three phantoms, five levels of
misalignment, five label fractions with three draws each, three seeds, and as many methods as it takes. The
dry run is the one that a user types (default profile, nothing done before), in a process of its own: its
wall time, its processor time and the most memory that it held. `--profile` writes cProfile's record of the
last one, which then takes longer.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from parallax.plugin import method_cards, plugin_root

DATASETS = ("phantom_heart", "phantom_abdomen", "phantom_orbit")
FRACTIONS, DRAWS, SEEDS, SEVERITIES = (0.05, 0.1, 0.2, 0.5, 1.0), 3, 3, (1, 2, 3, 4)
# all labels are drawn once
CELLS = len(DATASETS) * (1 + len(SEVERITIES)) * ((len(FRACTIONS) - 1) * DRAWS + 1) * SEEDS


@dataclass(frozen=True)
class Planned:
    """What one dry run planned, and what that took."""

    trained: int
    jobs: int
    wall_s: float
    processor_s: float
    peak_mib: float


def grid(runs: int) -> dict[str, Any]:
    """A configuration of about so many training runs."""
    known = [
        f"{card.name}:{preset}"
        for card in method_cards().values()
        for preset in card.presets
        if not card.control and card.trained_as(preset) == preset and not card.missing_package(preset)
    ]
    methods = known[: max(1, round(runs / CELLS))]
    levels = {f"s{severity}": {"severity": severity} for severity in SEVERITIES}
    dataset = {
        "options": {"cases": 60, "seed": 1, "size": "small"},
        "split": {"seed": 11, "train": 40, "test": 20},
    }
    return {
        "run": "planning",
        "datasets": dict.fromkeys(DATASETS, dataset),
        "methods": methods,
        "reference": methods[0].split(":")[0],
        "conditions": [{"labels": list(FRACTIONS), "misalignment": ["aligned", *levels]}],
        "misalignments": levels,
        "seeds": list(range(SEEDS)),
        "label_draws": DRAWS,
        "budget": {"steps": 100},
    }


def plan(runs: int, profile: Path | None) -> Planned:
    """Plan a grid of about so many runs in a fresh folder. Raises `SystemExit` where Snakemake fails."""
    with tempfile.TemporaryDirectory() as folder:
        config, said = Path(folder, "grid.yaml"), Path(folder, "said.txt")
        config.write_text(yaml.safe_dump(grid(runs), sort_keys=False), encoding="utf-8")
        recorded = ["-m", "cProfile", "-o", str(profile.resolve())] if profile else []
        command = [sys.executable, *recorded, "-m", "snakemake", "-n", "--cores", "2"]
        # the default profile, but with the table of jobs, which is where their numbers are read
        command += ["--quiet", "host", "reason", "rules"]
        command += ["--snakefile", str(plugin_root() / "Snakefile"), "--configfile", str(config)]
        started = time.monotonic()
        with said.open("w", encoding="utf-8") as out:
            process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - started
        text = said.read_text(encoding="utf-8")
        if status != 0:
            sys.exit(f"snakemake -n failed:\n{text[-3000:]}")
    counts = dict(re.findall(r"^(\w+) +(\d+)\s*$", text, re.MULTILINE))
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, KiB on Linux
    peak_mib = used.ru_maxrss * unit / 2**20
    return Planned(
        int(counts["train"]), int(counts["total"]), wall_s, used.ru_utime + used.ru_stime, peak_mib
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--profile", type=Path, help="write cProfile's record of the last grid here")
    given = parser.parse_args()
    print("| training runs | jobs | wall (s) | processor (s) | peak memory (MiB) |")
    print("|---|---|---|---|---|")
    for runs in given.runs:
        profile = given.profile if runs == given.runs[-1] else None
        p = plan(runs, profile)
        row = f"{p.trained} | {p.jobs} | {p.wall_s:.1f} | {p.processor_s:.1f} | {p.peak_mib:.0f}"
        print(f"| {row} |", flush=True)


if __name__ == "__main__":
    main()
