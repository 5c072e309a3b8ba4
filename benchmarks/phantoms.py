"""How long phantoms take, and how large their organs are.

Usage: `python benchmarks/phantoms.py` generates 20 quick-size cases of each family in two processes; with
`sizes` one case of each family at every size; with `volumes` it prints organs beside published volumes.

Processor time is what the work takes on a free core; wall time is what a busy machine makes of it. Each case
is generated and written as in a run.
"""

from __future__ import annotations

import csv
import resource
import sys
import tempfile
import time
from collections.abc import Iterable
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from parallax.phantom import sampling
from parallax.phantom.abdomen_anatomy import paint_abdomen
from parallax.phantom.heart_anatomy import paint_heart
from parallax.plugin import load_dataset

FAMILIES = ("heart", "abdomen", "orbit")


def stage(job: tuple[str, str, int, str]) -> tuple[float, float]:
    """Wall and processor seconds of one case."""
    family, size, number, folder = job
    dataset = load_dataset(f"phantom_{family}", {"cases": number + 1, "seed": 1, "size": size})
    wall, own = time.perf_counter(), time.process_time()
    dataset.stage(dataset.case_ids()[number:], Path(folder) / family / size)
    return time.perf_counter() - wall, time.process_time() - own


def quick(cases: int = 20, processes: int = 2) -> None:
    """The data of `config/quick.yaml`, less its ten spare cases a family."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = [(family, "default", i, folder) for i in range(cases) for family in FAMILIES]
        start = time.perf_counter()
        with get_context("spawn").Pool(processes) as pool:
            seconds = pool.map(stage, jobs, chunksize=1)
        wall_s = time.perf_counter() - start
    own_s = sum(own for _, own in seconds)
    print(f"{len(jobs)} cases, {processes} processes: {wall_s:.1f} s of wall, {own_s:.1f} s of processor")


def each_size(sizes: Iterable[str] = ("small", "default", "fine", "real")) -> None:
    """One case of every family and size, each in a process of its own so that peaks of memory are its own."""
    print("| family | size | frame (mm) | scans: voxels at mm, stored axes | processor | peak memory |")
    print("| --- | --- | --- | --- | ---: | ---: |")
    for family in FAMILIES:
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder, get_context("spawn").Pool(1) as pool:
                own_s, peak_gib = pool.apply(_measured, ((family, size, 0, folder),))
            print(f"| {family} | {size} | {_grids(family, size)} | {own_s:.1f} s | {peak_gib:.2f} GiB |")


def _measured(job: tuple[str, str, int, str]) -> tuple[float, float]:
    own_s = stage(job)[1]
    # kibibytes on Linux, bytes on macOS
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return own_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _grids(family: str, size: str) -> str:
    chosen = getattr(sampling, f"{family}_size")(size)
    scans = (
        f"{name} {_by(how.shape)} at {_by(how.spacing_mm)}, {how.codes}" for name, how in chosen.scans.items()
    )
    return f"{_by(chosen.frame_mm)} | {'; '.join(scans)}"


def _by(values: Iterable[float]) -> str:
    return " x ".join(f"{value:g}" for value in values)


def volumes(subjects: int = 12) -> None:
    """Mean and standard deviation of organ volumes at size default, seed 0, beside the published range."""
    print("| family | structure | made (ml) | published (ml) | the range is |")
    print("| --- | --- | ---: | ---: | --- |")
    made = {}
    for family, paint in (("heart", paint_heart), ("abdomen", paint_abdomen)):
        grid = getattr(sampling, f"{family}_size")("default").scans["CT"].grid
        labels = [paint(grid, 0, i, (1, 1, 1)).label.ravel() for i in range(subjects)]
        made[family] = (
            np.stack([np.bincount(x, minlength=16) for x in labels]) * np.prod(grid.spacing_mm) / 1e3
        )
    table = Path(__file__).parents[1] / "tests" / "golden" / "volumes.csv"
    for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines()):
        ml = made[row["family"]][:, int(row["value"])]
        published = f"{row['middle_ml']} ({row['low_ml']} to {row['high_ml']})"
        name = row["structure"].replace("_", " ")
        print(
            f"| {row['family']} | {name} | {ml.mean():.1f} ± {ml.std():.1f} | {published} | {row['rule']} |"
        )


if __name__ == "__main__":
    {"sizes": each_size, "volumes": volumes}.get("".join(sys.argv[1:]), quick)()
