"""A whole run in a minute: hearts made on the spot, a short training, Dice beside that of others."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from parallax.case import Budget, Case, Sample, Task, TestView, TrainView
from parallax.data.frame import to_common
from parallax.learn.method import Cost
from parallax.plugin import load_dataset, load_method
from parallax.score.metrics import dice
from parallax.trial.outcome import NotApplicableError, check, require
from parallax.trial.trial import SEED, Trial, segmented

STEPS = 100
LEAST_STEPS = 30
LIMIT_S = 60.0
_LABELLED, _UNLABELLED, _TEST = 4, 4, 4
_BUDGET = Budget(steps=STEPS, patch=(32, 32, 16), widths=(16, 32, 64))
_BESIDE = ("mean_shape", "empty", "supervised")


@dataclass(frozen=True)
class Phantom:
    """Small hearts in CT and MR: four labelled, four unlabelled, four to segment."""

    task: Task
    view: TrainView
    cases: tuple[tuple[TestView, Case], ...]


@dataclass(frozen=True)
class Scored:
    """What one training gave.

    Attributes:
        dice: mean over test cases, modalities and structures.
        cost: of the training.
    """

    dice: float
    cost: Cost


@check(
    "phantom run",
    remedy=(
        "it learns less than the mean of the training masks says: look at the loss terms (signs, weights, "
        "batch.label), the learning rate of its groups (lr_scale) and its initial weights"
    ),
    needs=("label maps", "shape of the answer"),
)
def phantom_run(trial: Trial) -> str:
    """After a minute of training it is above the mean of the training masks."""
    if trial.card.control:
        raise NotApplicableError("a control is what others are compared with")
    made = make_phantom()
    budget = replace(_BUDGET, steps=affordable_steps(trial, made))
    own = scored(trial, made, budget)
    others = {name: _beside(name, budget.steps) for name in _BESIDE}
    beside = ", ".join(f"{name} {other.dice:.3f}" for name, other in others.items())
    ms, other_ms = (1000.0 * r.cost.train_s / budget.steps for r in (own, others["supervised"]))
    found = (
        f"Dice {own.dice:.3f} (beside it: {beside}) after {budget.steps} steps of {ms:.0f} ms "
        f"(supervised {other_ms:.0f} ms)"
    )
    require(own.dice > others["mean_shape"].dice, found)
    return found


def affordable_steps(trial: Trial, made: Phantom) -> int:
    """`STEPS`, or what two steps say can be done in `LIMIT_S` of processor time, at least `LEAST_STEPS`."""
    pilot = trial.method(made.task, replace(_BUDGET, steps=2))
    started = time.process_time()  # not by the clock: a busy machine shall give the same result
    pilot.fit(made.view, trial.folder / "pilot")
    seconds = time.process_time() - started
    return max(LEAST_STEPS, min(STEPS, int(2 * LIMIT_S / max(seconds, 1e-9))))


def scored(trial: Trial, made: Phantom, budget: Budget) -> Scored:
    """Train the method of the trial and segment the test cases."""
    method = trial.method(made.task, budget)
    cost = method.fit(made.view, trial.folder / "phantom")
    return Scored(_dice(method, made), cost)


@cache
def make_phantom() -> Phantom:
    """The hearts, made by the data set `phantom_heart` at its size `small`."""
    n = _LABELLED + _UNLABELLED + _TEST
    dataset = load_dataset("phantom_heart", {"cases": n, "size": "small"})
    with TemporaryDirectory() as folder:
        dataset.stage(dataset.case_ids(), Path(folder))
        cases = [dataset.read(case_id, Path(folder)) for case_id in dataset.case_ids()]
    task = dataset.task
    samples = [_sample(case, task) for case in cases]
    bare = [replace(sample, label=None) for sample in samples]
    view = TrainView(task, tuple(samples[:_LABELLED]), tuple(bare[_LABELLED:-_TEST]))
    pairs = zip(bare[-_TEST:], cases[-_TEST:], strict=True)
    return Phantom(task, view, tuple((_test_view(task, sample, case), case) for sample, case in pairs))


@cache
def _beside(name: str, steps: int) -> Scored:
    made = make_phantom()
    method: Any = load_method(name)(made.task, replace(_BUDGET, steps=steps), switches={}, seed=SEED)
    with TemporaryDirectory() as folder:
        cost = method.fit(made.view, Path(folder))
    return Scored(_dice(method, made), cost)


def _dice(method: Any, made: Phantom) -> float:
    values = []
    for view, case in made.cases:
        maps = segmented(method, view)
        for name, truth in case.labels.items():
            values += [dice(truth.array == c, maps[name] == c) for c in made.task.classes.values()]
    return float(np.nanmean(values))


def _sample(case: Case, task: Task) -> Sample:
    common = to_common(case, task, crop=False)
    return Sample(case.id, common.image, common.label, common.available, common.grid)


def _test_view(task: Task, sample: Sample, case: Case) -> TestView:
    return TestView(task, sample, {name: volume.grid for name, volume in case.images.items()})
