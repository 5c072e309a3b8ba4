"""What a method costs, and whether that is what it declares."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from parallax.learn.device import peak_memory_mib
from parallax.learn.network_method import Batch, Clock
from parallax.trial.outcome import check, require
from parallax.trial.trial import BUDGET, SEED, TASK, Trial

_FACTOR = 2.0  # a network may take the image in at several places, or in parts: the count is no exact one


@dataclass
class _Counter:
    """Crops that networks took in so far."""

    modalities: int
    crop_voxels: int
    applied: float = 0.0

    def entered(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        """A convolution of at most K channels over whole crops is where a network takes the image in."""
        image = given[0]
        if isinstance(image, Tensor) and image.ndim >= 4 and image.shape[1] <= self.modalities:
            voxels = image.numel() // image.shape[1]
            whole = isinstance(module, nn.Conv2d) or voxels // len(image) == self.crop_voxels
            self.applied += voxels / self.crop_voxels if whole else 0.0


@check(
    "cost",
    remedy="set self.forward_passes_per_step in `set_up`: networks applied to budget.batch crops in a step",
    needs=("it trains",),
)
def cost(trial: Trial) -> str:
    """The cost that `fit` reports is that of the network, and passes are not declared too low."""
    net, said = trial.trained.net, trial.cost
    n = sum(p.numel() for p in net.parameters() if p.requires_grad)
    require(said.parameters == n, f"`fit` reports {said.parameters} parameters, the network trains {n}")
    require(said.steps == BUDGET.steps, f"`fit` reports {said.steps} steps of {BUDGET.steps}")
    declared = said.forward_passes_per_step
    counted = networks_applied(trial)
    require(declared > 0, f"declares {declared:g} forward passes a step")
    require(
        counted <= _FACTOR * declared, f"declares {declared:g} forward passes a step; hooks count {counted:g}"
    )
    parameters, ms = full_size(trial)
    return (
        f"{parameters / 1e6:.2f} M parameters, {ms:.0f} ms a step here ({_size(trial)}); forward passes: "
        f"{declared:g} declared, {counted:.3g} counted; peak of this process {peak_memory_mib('cpu'):.0f} MiB"
    )


def networks_applied(trial: Trial) -> float:
    """Networks applied to `batch` crops in a step, counted where they take it in; mean of the steps."""
    method = trial.method()
    method.net = method.build().train()
    counter = _Counter(len(TASK.modalities), math.prod(BUDGET.patch))
    with _hooked(method.net, counter), torch.no_grad():
        for step in range(BUDGET.steps):
            _step(method, step, BUDGET.patch, BUDGET.batch)
    return counter.applied / BUDGET.batch / BUDGET.steps


def full_size(trial: Trial) -> tuple[int, float]:
    """Parameters and milliseconds a step (loss and gradients, the second of two) at the full budget."""
    method = trial.method(budget=trial.full)
    method.net = method.build().train()
    seconds = 0.0
    for step in (0, 1):
        started = time.perf_counter()
        terms = _step(method, step, trial.full.patch, trial.full.batch)
        if terms:
            torch.stack([term.float() for term in terms.values()]).sum().backward()  # type: ignore[no-untyped-call]
        seconds = time.perf_counter() - started
    return sum(p.numel() for p in method.net.parameters() if p.requires_grad), 1000.0 * seconds


def _step(method: Any, step: int, patch: tuple[int, int, int], batch: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(step)
    k = len(TASK.modalities)
    image = torch.randn(batch, k, *patch, generator=generator)
    label = torch.randint(TASK.n_classes, (batch, k, *patch), generator=generator)
    there, cases = torch.ones(batch, k, dtype=torch.bool), ("l0", "l1")[:batch]
    bare = Batch(image.flip(0), None, there, cases) if method.uses_unlabelled else None
    torch.manual_seed(step)
    terms: dict[str, Tensor] = method.loss(
        method.net, Batch(image, label, there, cases), bare, Clock(step, method.budget.steps, SEED)
    )
    return terms


@contextmanager
def _hooked(net: nn.Module, counter: _Counter) -> Iterator[None]:
    kinds = (nn.Conv2d, nn.Conv3d)
    handles = [m.register_forward_pre_hook(counter.entered) for m in net.modules() if isinstance(m, kinds)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _size(trial: Trial) -> str:
    x, y, z = trial.full.patch
    return f"{x}x{y}x{z}, batch {trial.full.batch}"
