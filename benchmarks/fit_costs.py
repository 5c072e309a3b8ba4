"""Fit the cost model of `parallax plan` to finished runs, and hold it against measured ones.

Usage: `python benchmarks/fit_costs.py RUN_DIR... [--check RUN_DIR...] [--out FILE --note TEXT]`

Reads the costs that methods report, Snakemake's benchmark files and the sizes of folders, all as they lie in
a finished run. Other work on the machine only ever adds time, so a coefficient is the least of its medians
over runs and datasets. Memory is that of the last folder that has the method, and the time of data and tables
that of the last folder, so name a new run of phantoms last. For every run after `--check`, measured and
estimated core-seconds are printed by dataset and method, and for how many trainings the memory is right.
`--out` writes the coefficients that `parallax plan` uses (parallax/run/costs.yaml).
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from parallax.run.costs import CostModel, Estimate, Estimator, StageCost, step_voxels, steps_of, to_cost_model
from parallax.run.setup import make_setup

DATA = ("index", "split", "prepare-train", "prepare-test", "misalign-train", "misalign-test", "view")
RESULTS = ("scores", "controls", "tables", "figures", "report", "manifest")
NEAR = 0.2
HEADER = "# Written by benchmarks/fit_costs.py; docs/scale.md explains the model. Seconds are of one core.\n"


@dataclass(frozen=True)
class Measured:
    """What the jobs of one training run took; a job's wall time is that of the whole process."""

    source: str
    method: str
    preset: str
    dataset: str
    modalities: int
    scans: float
    trained: bool
    steps: int
    voxels: float
    passes: float
    train_s: float
    predict_s: float
    score_s: float
    train_wall_s: float
    predict_wall_s: float
    score_wall_s: float
    predict_mib: float
    score_mib: float
    peak_mib: float
    model_mib: float
    prediction_mib: float
    table_mib: float

    @property
    def wall_s(self) -> float:
        """All three jobs."""
        return self.train_wall_s + self.predict_wall_s + self.score_wall_s


@dataclass(frozen=True)
class Finished:
    """A finished run of the workflow: its folder, its runs, and what belongs to none of them."""

    root: Path
    processor: str
    estimator: Estimator
    runs: list[Measured]
    data_s: float
    results_s: float


def read_finished(root: Path) -> Finished:
    """Everything that the fit needs of a run. The files of its methods must still exist."""
    manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    setup = make_setup(manifest["config"])
    # sizes of the plan are asked of an estimator; no coefficient is needed for them
    sizes = Estimator(CostModel("", StageCost(*[0.0] * len(fields(StageCost))), ()), setup)
    runs = [measure(root, sizes, run) for run in setup.plan.runs]
    data_s, results_s = (benchmarks_s(root, names) for names in (DATA, RESULTS))
    return Finished(root, manifest["machine"]["processor"], sizes, runs, data_s, results_s)


def measure(root: Path, sizes: Estimator, run: Any) -> Measured:
    folder, setup = root / "runs" / run.path, sizes.setup
    cost = json.loads((folder / "cost.json").read_text(encoding="utf-8"))
    said = json.loads((folder / "predict_status.json").read_text(encoding="utf-8")).get("predict_s", {})
    score = (root / "logs" / run.path / "score.log").read_text(encoding="utf-8")
    walls = {n: benchmark(root / "benchmarks" / run.path / f"{n}.tsv") for n in ("train", "predict", "score")}
    budget, modalities = setup.config.budget_of(run.dataset), len(setup.tasks[run.dataset].modalities)
    scans = sizes.segmented(run.dataset)
    # the time of the headline predictions is written down; scans of subsets take as long each
    repeats = scans / (sizes.cases[run.dataset][1] * modalities)
    return Measured(
        source=root.name,
        method=run.method,
        preset=run.preset,
        dataset=run.dataset,
        modalities=modalities,
        scans=scans,
        trained=setup.trained_as(run.method, run.preset) == run.preset,
        steps=steps_of(run.method, budget),
        voxels=step_voxels(budget),
        passes=cost["forward_passes_per_step"],
        train_s=cost["train_s"],
        predict_s=sum(said.values()) * repeats,
        score_s=float(re.findall(r'"score_s": ([\d.]+)', score)[-1]),
        train_wall_s=walls["train"][0],
        predict_wall_s=walls["predict"][0],
        score_wall_s=walls["score"][0],
        predict_mib=walls["predict"][1],
        score_mib=walls["score"][1],
        peak_mib=cost["peak_memory_mib"],
        model_mib=size_mib(folder / "model"),
        prediction_mib=size_mib(folder / "predictions"),
        table_mib=(folder / "scores.csv").stat().st_size / 2**20,
    )


def benchmark(path: Path) -> tuple[float, float]:
    """Wall seconds and peak resident memory in MiB, as Snakemake measured the last try of a job."""
    with path.open(encoding="utf-8") as handle:
        row = list(csv.DictReader(handle, delimiter="\t"))[-1]
    return float(row["s"]), 0.0 if row["max_rss"] in ("NA", "-", "") else float(row["max_rss"])


def benchmarks_s(root: Path, names: Iterable[str]) -> float:
    return sum(benchmark(path)[0] for name in names for path in (root / "benchmarks").rglob(f"{name}.tsv"))


def size_mib(folder: Path) -> float:
    """Size of the files below a folder; one that has several names (a hard link) counts once."""
    stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in stats}.values()) / 2**20


def least(runs: Iterable[Measured], value: Callable[[Measured], float]) -> float:
    """The least of the medians by run of the workflow and dataset, to 4 digits."""
    groups = defaultdict(list)
    for run in runs:
        groups[run.source, run.dataset].append(value(run))
    return rounded(max(0.0, min(median(group) for group in groups.values())))


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


def fit_method(runs: Sequence[Measured], modalities: int) -> dict[str, Any]:
    """One method and preset on so many modalities; starts and predictions are those of all of its runs."""
    own = [run for run in runs if run.modalities == modalities]
    newest = [run for run in own if run.source == own[-1].source]
    learnt = [run for run in own if run.passes]
    trained = [run for run in runs if run.trained]
    idle_mib = max(run.predict_mib for run in newest)
    step_bytes = max([0.0, *((run.peak_mib - idle_mib) / run.voxels for run in newest if run.passes)]) * 2**20
    return {
        "method": runs[0].method,
        "preset": runs[0].preset,
        "modalities": modalities,
        "passes": rounded(median(run.passes for run in own)),
        "pass_ns": least(learnt, lambda r: 1e9 * r.train_s / (r.steps * r.voxels * r.passes))
        if learnt
        else 0.0,
        "train_start_s": least(trained or runs, lambda r: r.train_wall_s - r.train_s * r.trained),
        "predict_start_s": least(runs, lambda r: r.predict_wall_s - r.predict_s),
        "predict_s": least(runs, lambda r: r.predict_s / r.scans),
        "idle_mib": rounded(idle_mib),
        "step_bytes": rounded(step_bytes),
        "model_mib": rounded(median(run.model_mib for run in own)),
    }


def fit(finished: Sequence[Finished], note: str) -> dict[str, Any]:
    """All coefficients as plain values."""
    runs = [run for one in finished for run in one.runs]
    groups = defaultdict(list)
    for run in runs:
        groups[run.method, run.preset].append(run)
    rows = [
        fit_method(own, n) for _, own in sorted(groups.items()) for n in sorted({r.modalities for r in own})
    ]
    newest, kept = finished[-1], [one.estimator.kept_scans() for one in finished]
    stages = {
        "data_s": rounded(newest.data_s / kept[-1]),
        "data_mib": rounded(max(data_mib(one) / scans for one, scans in zip(finished, kept, strict=True))),
        "score_start_s": least(runs, lambda r: r.score_wall_s - r.score_s),
        "score_s": least(runs, lambda r: r.score_s / r.scans),
        "score_mib": rounded(max(run.score_mib for run in runs)),
        "prediction_mib": rounded(median(run.prediction_mib / run.scans for run in runs)),
        "table_mib": rounded(median(run.table_mib / run.scans for run in runs)),
        "results_s": rounded(newest.results_s / len(newest.runs)),
    }
    processors = sorted({one.processor for one in finished})
    measured_on = ", ".join([*processors, *([note] if note else [])])
    return {"measured_on": measured_on, "stages": stages, "methods": rows}


def data_mib(one: Finished) -> float:
    return size_mib(one.root / "data") + size_mib(one.root / "raw")


def check(model: CostModel, one: Finished) -> None:
    """Print measured and estimated cost of a finished run."""
    estimator = Estimator(model, one.estimator.setup)
    rest, total = one.data_s + one.results_s, estimator.total()
    print(
        f"\n| {one.root.name}, {len(one.runs)} runs | measured | estimated | difference |\n|---|---|---|---|"
    )
    row("in all (core-s)", sum(run.wall_s for run in one.runs) + rest, total.core_s)
    row("data, tables, report (core-s)", rest, estimator.rest().core_s)
    each = [(run, estimator.run(run.dataset, run.method, run.preset)) for run in one.runs]
    for key in ("dataset", "method"):
        for name in sorted({getattr(run, key) for run in one.runs}):
            own = [(run, guess) for run, guess in each if getattr(run, key) == name]
            rough = key == "method" and not all(guess.measured for _, guess in own)
            label = f"{name}{', never measured' if rough else ''} (core-s)"
            row(label, sum(run.wall_s for run, _ in own), sum(guess.core_s for _, guess in own))
    row("most memory of one job (MiB)", max(run.peak_mib for run in one.runs), total.memory_mib)
    row("disk (MiB)", size_mib(one.root), total.disk_mib)
    check_memory([(run, guess) for run, guess in each if run.trained and run.passes])


def check_memory(each: Sequence[tuple[Measured, Estimate]]) -> None:
    """Print how near the peaks of trainings are to what is said of them before they start."""
    off = {run: guess.memory_mib / run.peak_mib - 1 for run, guess in each}
    near = sum(abs(share) <= NEAR for share in off.values())
    worst = max(off, key=lambda run: abs(off[run]))
    name = f"{worst.method}:{worst.preset} on {worst.dataset}, {worst.peak_mib:.0f} MiB"
    print(
        f"\nMemory of a training: {near} of {len(off)} within {100 * NEAR:.0f} %;"
        f" farthest: {name}, {100 * off[worst]:+.0f} %"
    )


def row(name: str, measured: float, estimated: float) -> None:
    print(f"| {name} | {measured:.0f} | {estimated:.0f} | {100 * (estimated / measured - 1):+.0f} % |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of finished runs to fit")
    parser.add_argument(
        "--check", type=Path, nargs="+", default=[], help="folders of finished runs to compare"
    )
    parser.add_argument(
        "--note", default="", help="what else must be known of the machine, such as other work"
    )
    parser.add_argument("--out", type=Path, help="write the coefficients here")
    given = parser.parse_args()
    values = fit([read_finished(root) for root in given.runs], given.note)
    if given.out:
        text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=200)
        given.out.write_text(HEADER + text, encoding="utf-8")
    print(f"fitted to {', '.join(root.name for root in given.runs)}")
    for root in given.check:
        check(to_cost_model(values), read_finished(root))


if __name__ == "__main__":
    main()
