"""What a run will take before it starts: core-seconds, memory and disk from a model fitted to measured runs.

`costs.yaml` beside this file holds the coefficients. `benchmarks/fit_costs.py` writes it; docs/scale.md
explains it. They are those of one processor, one thread a job; nothing is known of a GPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from parallax.case import Budget
from parallax.data.splits import case_index
from parallax.perturb.labels import label_subsets
from parallax.run.plan import Run
from parallax.run.setup import Setup

#: Reference of the channel factor: the widths of every run that the coefficients were fitted to.
REFERENCE_WIDTHS = (16, 32, 64, 128)


@dataclass(frozen=True)
class MethodCost:
    """Coefficients of one method, as one preset, on so many modalities.

    Attributes:
        passes: forward passes per optimiser step, as the method counts them.
        pass_ns: nanoseconds per voxel of a batch and forward pass, at the reference widths.
        train_start_s: what a training spends outside its steps: imports, reading, writing.
        predict_start_s: the same of a prediction.
        predict_s: seconds per segmented scan.
        idle_mib: memory of the process before its first step.
        step_bytes: bytes per voxel of a batch beyond that, at the reference widths.
        model_mib: size of the weights on disk.
    """

    method: str
    preset: str
    modalities: int
    passes: float
    pass_ns: float
    train_start_s: float
    predict_start_s: float
    predict_s: float
    idle_mib: float
    step_bytes: float
    model_mib: float


@dataclass(frozen=True)
class StageCost:
    """Coefficients that depend on no method; a scan is one modality of one case."""

    data_s: float
    data_mib: float
    score_start_s: float
    score_s: float
    score_mib: float
    prediction_mib: float
    table_mib: float
    results_s: float


@dataclass(frozen=True)
class CostModel:
    """All coefficients, and what they were measured on."""

    measured_on: str
    stages: StageCost
    methods: tuple[MethodCost, ...]

    def of(self, method: str, preset: str, modalities: int) -> tuple[MethodCost, bool]:
        """The nearest row, and whether the method was measured: preset first, then number of modalities."""
        rows = [row for row in self.methods if row.method == method]
        if not rows:
            return self._typical(modalities), False
        own = (
            [row for row in rows if row.preset == preset] or [r for r in rows if r.preset == "paper"] or rows
        )
        return min(own, key=lambda row: abs(row.modalities - modalities)), True

    def _typical(self, modalities: int) -> MethodCost:
        """The median of the methods that train, for a method that was never measured."""
        rows = [row for row in self.methods if row.passes > 0 and row.modalities == modalities]
        rows = rows or [row for row in self.methods if row.passes > 0]
        names = [name for name in MethodCost.__dataclass_fields__ if name not in ("method", "preset")]
        values = {name: median(getattr(row, name) for row in rows) for name in names}
        step_ns = median(
            row.passes * row.pass_ns for row in rows
        )  # a median of products is no product of medians
        return MethodCost("", "", **values | {"pass_ns": step_ns / values["passes"]})


@dataclass(frozen=True)
class Estimate:
    """Core-seconds, the most memory of one job, disk; `measured` is False where a method never was."""

    core_s: float = 0.0
    memory_mib: float = 0.0
    disk_mib: float = 0.0
    measured: bool = True

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            self.core_s + other.core_s,
            max(self.memory_mib, other.memory_mib),
            self.disk_mib + other.disk_mib,
            self.measured and other.measured,
        )

    def times(self, runs: int) -> Estimate:
        """So many of these, one after the other."""
        return Estimate(self.core_s * runs, self.memory_mib, self.disk_mib * runs, self.measured)


def read_cost_model(path: Path | None = None) -> CostModel:
    """The committed coefficients, or those of another file that `benchmarks/fit_costs.py` wrote."""
    values = yaml.safe_load((path or Path(__file__).with_name("costs.yaml")).read_text(encoding="utf-8"))
    return to_cost_model(values)


def to_cost_model(values: Mapping[str, Any]) -> CostModel:
    """Coefficients from plain values."""
    methods = tuple(MethodCost(**row) for row in values["methods"])
    return CostModel(values["measured_on"], StageCost(**values["stages"]), methods)


def step_voxels(budget: Budget) -> float:
    """Voxels that one forward pass of a step touches, weighed by channels: 1 at the reference widths.

    Each level of the network has an eighth of the voxels of the one above it; all channels are touched.
    """
    voxels = budget.batch * budget.patch[0] * budget.patch[1] * budget.patch[2]
    return voxels * _channels(budget.widths) / _channels(REFERENCE_WIDTHS)


def _channels(widths: tuple[int, ...]) -> float:
    return sum(width * 0.125**level for level, width in enumerate(widths))


def steps_of(method: str, budget: Budget) -> int:
    """Optimiser steps of a method: nnU-Net may have a number of its own."""
    return budget.nnunet_steps or budget.steps if method == "nnunet" else budget.steps


@dataclass(frozen=True)
class Estimator:
    """The cost of a resolved run by a model."""

    model: CostModel
    setup: Setup

    @cached_property
    def cases(self) -> dict[str, tuple[int, int]]:
        """Cases of each dataset that are prepared (train and test), and those that are tested on."""
        found = {}
        for name, dataset in self.setup.datasets.items():
            split, _ = label_subsets(case_index(dataset), self.setup.split(name), [1.0], 1)
            found[name] = (len({*split["train"], *split["test"]}), len(split["test"]))
        return found

    def segmented(self, dataset: str) -> float:
        """Scans that one run segments: every modality of each test case, or those of all its subsets."""
        modalities = len(self.setup.tasks[dataset].modalities)
        every = self.setup.config.test_modalities == "every"
        # of the 2^n - 1 subsets of n modalities, each modality is in 2^(n-1)
        return self.cases[dataset][1] * modalities * (2.0 ** (modalities - 1) if every else 1.0)

    def run(self, dataset: str, method: str, preset: str) -> Estimate:
        """What one run takes: training, prediction, scoring."""
        row, measured = self.model.of(method, preset, len(self.setup.tasks[dataset].modalities))
        stages, scans = self.model.stages, self.segmented(dataset)
        train_s, step_mib = self._training(dataset, method, preset, row)
        core_s = train_s + row.predict_start_s + stages.score_start_s
        core_s += scans * (row.predict_s + stages.score_s)
        disk_mib = row.model_mib + scans * (stages.prediction_mib + stages.table_mib)
        return Estimate(core_s, max(row.idle_mib + step_mib, stages.score_mib), disk_mib, measured)

    def _training(self, dataset: str, method: str, preset: str, row: MethodCost) -> tuple[float, float]:
        """Seconds and MiB; nothing for a preset that takes the weights of another one."""
        if self.setup.trained_as(method, preset) != preset and row.passes:
            return 0.0, 0.0
        budget = self.setup.config.budget_of(dataset)
        voxels = step_voxels(budget)
        steps_s = steps_of(method, budget) * voxels * row.passes * row.pass_ns * 1e-9
        return row.train_start_s + steps_s, voxels * row.step_bytes / 2**20

    def methods(self, runs: Iterable[Run] | None = None) -> dict[tuple[str, str], Estimate]:
        """Estimates by method and preset, over all of their runs, or over these."""
        found: dict[tuple[str, str], Estimate] = {}
        wanted = self.setup.plan.runs if runs is None else runs
        counts = Counter((run.dataset, run.method, run.preset) for run in wanted)
        for (dataset, method, preset), times in counts.items():
            whole = self.run(dataset, method, preset).times(times)
            found[method, preset] = found.get((method, preset), Estimate()) + whole
        return found

    def kept_scans(self) -> int:
        """Scans on disk: each as prepared, and once for every level of misalignment."""
        kept = 0
        for name, task in self.setup.tasks.items():
            levels = {run.misalignment for run in self.setup.plan.runs if run.dataset == name}
            kept += self.cases[name][0] * len(task.modalities) * (len(levels) + 1)
        return kept

    def rest(self) -> Estimate:
        """Preparing and misaligning all scans, and the tables, figures and report of the whole run."""
        stages, scans, runs = self.model.stages, self.kept_scans(), len(self.setup.plan.runs)
        return Estimate(scans * stages.data_s + runs * stages.results_s, 0.0, scans * stages.data_mib)

    def total(self) -> Estimate:
        """Everything."""
        return sum(self.methods().values(), self.rest())
