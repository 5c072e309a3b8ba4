"""What a training step is made of: networks, losses, backward pass, optimiser, and the rest.

Usage: `python benchmarks/step_parts.py [METHOD[:PRESET] ...] [--device cuda] [--steps 120]`.

Trains on heart phantoms (CT and MR, half of them unlabelled) with the loop of the suite, one thread. Parts:

- networks: every outermost call of a module that has weights;
- losses: what else `loss` of the method does (loss terms, pseudo-labels);
- backward: `Tensor.backward`;
- optimiser: its `step`;
- rest: crops, augmentation, moving averages, clipping, checks, the last checkpoint.

Overhead is optimiser and rest over networks, losses and backward.

Without names: `supervised`, `mean_teacher`, `cmc`. As in a run, keep freed memory (see
workflow/rules/common.smk): `MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4000000000
python benchmarks/step_parts.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from parallax.case import Budget, Sample, TrainView
from parallax.data.frame import to_common
from parallax.learn.device import device_name
from parallax.learn.loop import train
from parallax.learn.optimiser import EagerAdamW
from parallax.plugin import load_dataset, load_method, method_card

PARTS = ("networks", "losses", "backward", "optimiser")
DEFAULT = ("supervised", "mean_teacher", "cmc")
RUN_STEPS = 120  # as in the default run: the checkpoint at the end is a part of every step


@dataclass
class Parts:
    """Seconds in each part; `losses` contains `networks` until `of_a_step` takes them apart."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    open: set[str] = field(default_factory=set)

    def timed(self, part: str, function: Callable[..., Any], device: str) -> Callable[..., Any]:
        """`function`, whose outermost calls are added up under `part`."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if part in self.open or "backward" in self.open or not (part != "networks" or _weighs(args[0])):
                return function(*args, **kwargs)
            self.open.add(part)
            _wait(device)
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                _wait(device)
                self.seconds[part] += time.perf_counter() - start
                self.open.remove(part)

        return call

    def of_a_step(self, steps: int, train_s: float) -> dict[str, float]:
        """Milliseconds of one step by part, `rest` included."""
        found = {part: 1000 * seconds / steps for part, seconds in self.seconds.items()}
        found["losses"] -= found["networks"]
        return {**found, "rest": 1000 * train_s / steps - sum(found.values())}


def _weighs(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


@contextlib.contextmanager
def measured(method: Any, device: str) -> Iterator[Parts]:
    """Inside, the parts of the training steps of `method` are timed."""
    parts = Parts()
    kept = nn.Module.__call__, Tensor.backward, EagerAdamW.step
    method.loss = parts.timed("losses", method.loss, device)
    nn.Module.__call__ = parts.timed("networks", kept[0], device)  # type: ignore[method-assign]
    Tensor.backward = parts.timed("backward", kept[1], device)  # type: ignore[method-assign]
    EagerAdamW.step = parts.timed("optimiser", kept[2], device)  # type: ignore[method-assign]
    try:
        yield parts
    finally:
        nn.Module.__call__, Tensor.backward, EagerAdamW.step = kept  # type: ignore[method-assign]


def print_parts(
    methods: Mapping[str, tuple[str, Mapping[str, Any]]], view: TrainView, budget: Budget, device: str
) -> None:
    """A row per method: milliseconds by part, and what a step takes beside its passes.

    A forward pass ends in the loss; the last column counts the losses as overhead all the same.
    """
    names = ("method", "step (ms)", *PARTS, "rest", "rest of a step", "overhead", "overhead with losses")
    print("|", " | ".join(names), "|")
    print("| --- |", " ---: |" * (len(names) - 1), sep="")
    for title, (name, switches) in methods.items():
        made: Any = load_method(name)
        for steps in (2, budget.steps):  # the first few load libraries
            method = made(view.task, replace(budget, steps=steps), switches=switches, seed=0, device=device)
            with tempfile.TemporaryDirectory() as folder, measured(method, device) as parts:
                _, cost = train(method, view, Path(folder))
        found = parts.of_a_step(budget.steps, cost.train_s)
        step, bare = sum(found.values()), found["networks"] + found["backward"]
        passes = bare + found["losses"]
        shares = found["rest"] / step, (step - passes) / passes, (step - bare) / bare
        cells = [f"{value:.1f}" for value in (step, *found.values())]
        cells += [f"{100 * share:.1f} %" for share in shares]
        print(f"| {title} | {' | '.join(cells)} |")


def heart() -> TrainView:
    """Heart phantoms of the size of the default run: four labelled, four not."""
    dataset = load_dataset("phantom_heart", {"cases": 8, "seed": 1})
    with tempfile.TemporaryDirectory() as folder:
        dataset.stage(dataset.case_ids(), Path(folder))
        cases = [dataset.read(case_id, Path(folder)) for case_id in dataset.case_ids()]
    found = [(case.id, to_common(case, dataset.task, crop=True)) for case in cases]
    samples = [Sample(name, c.image, c.label, c.available, c.grid) for name, c in found]
    bare = tuple(replace(sample, label=None) for sample in samples[4:])
    return TrainView(dataset.task, tuple(samples[:4]), bare)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=DEFAULT)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--steps", type=int, default=RUN_STEPS)
    a = parser.parse_args()
    torch.set_num_threads(1)
    wanted = {}
    for name in a.methods:
        method, _, preset = name.partition(":")
        presets = method_card(method).presets
        wanted[name] = (method, presets[preset or next(iter(presets))])
    budget = Budget(steps=a.steps, batch=2, patch=(48, 48, 32), precision=a.precision)
    print(f"{device_name(a.device)}, one thread, {a.precision}, {a.steps} steps\n")
    print_parts(wanted, heart(), budget, a.device)


if __name__ == "__main__":
    main()
