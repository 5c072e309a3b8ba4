"""The training loop that all network methods share."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

import parallax
from parallax.case import Budget, Sample, Task, TrainView
from parallax.data.files import write_bytes
from parallax.data.store import let_go
from parallax.errors import UserError
from parallax.learn.batch import Batch
from parallax.learn.checkpoint import read_checkpoint, write_checkpoint
from parallax.learn.device import device_name, peak_memory_mib
from parallax.learn.method import Cost
from parallax.learn.networks import stable_seed
from parallax.learn.optimiser import adamw
from parallax.learn.sampler import CropSampler
from parallax.learn.schedule import one_cycle_lr

CLIP = 12.0  # largest gradient norm of a parameter group; nnU-Net's value
_PROGRESS_EVERY_S = 2.0


class TrainingError(UserError):
    """Training cannot start or cannot go on: nothing is labelled, or a loss is not finite."""


@dataclass(frozen=True)
class Clock:
    """Where training is: `step` of `steps`, in the run with this `seed`."""

    step: int
    steps: int
    seed: int

    @property
    def fraction(self) -> float:
        """Share of the training that is done, 0 at the first step."""
        return self.step / self.steps

    def generator(self, key: str, device: str = "cpu") -> torch.Generator:
        """A generator seeded by (seed, step, key): the same after a resume."""
        return torch.Generator(device).manual_seed(stable_seed(self.seed, self.step, key))


class Trainable(Protocol):
    """What the loop needs of a `NetworkMethod`."""

    name: ClassVar[str]
    task: Task
    budget: Budget
    seed: int
    device: str
    switches: dict[str, Any]
    uses_unlabelled: bool
    paired_crops: bool
    forward_passes_per_step: float
    class_weights: Tensor

    def build(self) -> nn.Module: ...  # noqa: D102
    def loss(  # noqa: D102
        self, net: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]: ...
    def parameter_groups(self, net: nn.Module) -> list[dict[str, Any]]: ...  # noqa: D102
    def after_step(self, net: nn.Module, clock: Clock) -> None: ...  # noqa: D102


def train(method: Trainable, view: TrainView, scratch: Path) -> tuple[nn.Module, Cost]:
    """Train the network of `method` on `view`, resuming from `scratch` if that holds a checkpoint.

    Returns:
        The network (on `method.device`, in training mode) and what it cost, resumed parts included.

    Raises:
        TrainingError: if nothing is labelled or a loss term is not finite.
    """
    run = _Run(method, view, scratch)
    first, seconds = run.resume()
    started = time.monotonic() - seconds
    run.steps_from(first, started)
    return run.net, run.cost(time.monotonic() - started)


class _Run:
    def __init__(self, method: Trainable, view: TrainView, scratch: Path) -> None:
        if not view.labelled:
            raise TrainingError(
                "no labelled case to train on",
                where=f"training view of {view.task.name}",
                expected="at least one labelled case",
                found="none",
                remedy="raise the label fraction",
            )
        self.method, self.scratch = method, scratch
        self.labelled = self._sampler(view.labelled, stream=0)
        self.unlabelled = self._sampler(_without_labels(view), stream=1) if method.uses_unlabelled else None
        counts = self.labelled.class_counts(view.task.n_classes)
        method.class_weights = _class_weights(counts).to(method.device)
        self.net = method.build().to(method.device).train()
        groups = method.parameter_groups(self.net)
        self.optimiser = adamw(
            groups, learning_rate=method.budget.learning_rate, weight_decay=method.budget.weight_decay
        )
        self.fingerprint = _fingerprint(method, view)

    def _sampler(self, samples: Iterable[Sample], stream: int) -> CropSampler:
        budget = self.method.budget
        return CropSampler(
            tuple(samples),
            patch=budget.patch,
            batch=budget.batch,
            augment=budget.augment,
            seed=self.method.seed,
            stream=stream,
            paired=self.method.paired_crops,
        )

    def resume(self) -> tuple[int, float]:
        """Load the newest checkpoint; returns the next step and the seconds spent so far."""
        state = read_checkpoint(self.scratch, self.fingerprint)
        if state is None:
            return 0, 0.0
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        return int(state["step"]), float(state["train_s"])

    def steps_from(self, first: int, started: float) -> None:
        steps = self.method.budget.steps
        kept = shown = time.monotonic()
        for step in range(first, steps):
            self.step(Clock(step, steps, self.method.seed))
            now = time.monotonic()
            if step + 1 == steps or now - shown >= _PROGRESS_EVERY_S:
                self.show(step + 1, now - started)
                shown = now
            if now - kept >= self.method.budget.checkpoint_every_s:
                self.keep(step + 1, now - started)
                kept = time.monotonic()

    def step(self, clock: Clock) -> None:
        method = self.method
        torch.manual_seed(stable_seed(clock.seed, clock.step))
        labelled = self.labelled.batch(clock.step).to(method.device)
        unlabelled = self.unlabelled.batch(clock.step).to(method.device) if self.unlabelled else None
        reduced = method.budget.precision == "bfloat16"
        with torch.autocast(torch.device(method.device).type, torch.bfloat16, enabled=reduced):
            terms = method.loss(self.net, labelled, unlabelled, clock)
        if terms:
            self._update(clock, terms)
        method.after_step(self.net, clock)

    def _update(self, clock: Clock, terms: dict[str, Tensor]) -> None:
        method = self.method
        total = torch.stack([term.float() for term in terms.values()]).sum()
        if not bool(torch.isfinite(total)):
            raise _not_finite(method.name, clock.step, terms)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        rate = one_cycle_lr(clock.step, clock.steps, method.budget.learning_rate)
        for group in self.optimiser.param_groups:
            clip_gradients(group["params"])
            group["lr"] = rate * group.get("lr_scale", 1.0)
        self.optimiser.step()

    def keep(self, step: int, train_s: float) -> None:
        state = {
            "step": step,
            "train_s": train_s,
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        write_checkpoint(self.scratch, self.fingerprint, state)

    def show(self, step: int, seconds: float) -> None:
        self.scratch.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"step": step, "steps": self.method.budget.steps, "s": round(seconds, 1)})
        write_bytes(self.scratch / "progress.json", line.encode())

    def cost(self, train_s: float) -> Cost:
        method = self.method
        streams = 1 if self.unlabelled is None else 2
        return Cost(
            parameters=sum(p.numel() for p in self.net.parameters() if p.requires_grad),
            steps=method.budget.steps,
            samples_seen=method.budget.steps * method.budget.batch * streams,
            forward_passes_per_step=float(method.forward_passes_per_step),
            train_s=train_s,
            peak_memory_mib=peak_memory_mib(method.device),
            device=device_name(method.device),
        )


def clip_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """`clip_grad_norm_` bit for bit; on a CPU a gradient that is short enough is not multiplied by 1.0."""
    present = [parameter for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm([parameter.grad for parameter in present if parameter.grad is not None])
    if norm.is_cuda or not norm < 0.999 * CLIP:  # to ask a GPU would cost more than the answer is worth
        nn.utils.clip_grads_with_norm_(present, CLIP, norm)


def _without_labels(view: TrainView) -> Iterable[Sample]:
    return (replace(sample, label=None) for sample in view.unlabelled or view.labelled)


def _class_weights(counts: np.ndarray[Any, np.dtype[np.int64]]) -> Tensor:
    """sqrt(1 / frequency), mean 1. An absent class counts as one voxel: it never meets a labelled voxel."""
    weights = 1.0 / np.sqrt(np.maximum(counts, 1) / max(int(counts.sum()), 1))
    weights[counts == 0] = weights[counts > 0].mean() if (counts > 0).any() else 1.0
    return torch.from_numpy((weights / weights.mean()).astype(np.float32))


def _fingerprint(method: Trainable, view: TrainView) -> str:
    """Digest of the settings and data of a run, so that a stale checkpoint is not resumed.

    The code is not part of it: the workflow gives each version of a method a scratch folder of its own.
    """
    digest = hashlib.sha256()
    budget = asdict(replace(method.budget, checkpoint_every_s=0.0))
    settings = [parallax.__version__, method.name, method.switches, method.seed, budget, view.task.to_json()]
    digest.update(json.dumps([*settings, method.device], default=str, sort_keys=True).encode())
    for sample in (*view.labelled, *view.unlabelled):
        _, x, y, _ = sample.image.shape
        digest.update(f"{sample.case}{sample.image.shape}{sample.available}".encode())
        digest.update(np.ascontiguousarray(sample.image[:, x // 2, y // 2]).tobytes())
        if sample.label is not None:
            digest.update(np.ascontiguousarray(sample.label).tobytes())
            let_go(sample.label)
        let_go(sample.image)
    return digest.hexdigest()


def _not_finite(name: str, step: int, terms: dict[str, Tensor]) -> TrainingError:
    bad = [key for key, term in terms.items() if not bool(torch.isfinite(term))]
    return TrainingError(
        "the loss is not finite",
        where=f"method {name}, step {step}, term {', '.join(bad) or 'sum'}",
        expected="finite loss terms",
        found=", ".join(f"{key} = {term.item():g}" for key, term in terms.items()),
        remedy="lower budget.learning_rate or use precision float32",
    )
