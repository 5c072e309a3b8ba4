"""One method with one preset, on tiny volumes: what the checks share, made when it is first needed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from parallax.cards import MethodCard
from parallax.case import IGNORE, Budget, Sample, Task, TestView, TrainView
from parallax.learn.job import check_prediction
from parallax.learn.method import Cost, Method
from parallax.learn.network_method import Batch, Clock, NetworkMethod
from parallax.trial.outcome import NotKeptError, require
from parallax.trial.state import GlobalState
from parallax.trial.toys import toy_sample, toy_task, toy_test_view, toy_view

TASK = toy_task(2, 3)
PATCH = (16, 16, 16)
BUDGET = Budget(steps=4, batch=2, patch=PATCH, widths=(4, 8), checkpoint_every_s=0.0)
SOME = torch.tensor([[True, True], [True, False], [False, True]])  # what items of one batch have
KILLED = 1  # step after which a run is interrupted
SEED = 3
_OWN_TRAINING = (32, 32, 32)  # nnU-Net plans nothing for less


class KillError(Exception):
    """Stands for a kill."""


class _Recorded:
    """Keeps the weights after step `KILLED`, and stops there if it is told to."""

    killed: int | None = None
    early: dict[str, Tensor]

    def after_step(self, net: nn.Module, clock: Clock) -> None:
        super().after_step(net, clock)  # type: ignore[misc]
        if clock.step == KILLED:
            self.early = copy.deepcopy(net.state_dict())
        if clock.step == self.killed:
            raise KillError


@dataclass
class Trial:
    """A method with a preset, and what it was trained to.

    Attributes:
        kind: its class.
        card: what it declares.
        preset: which of its presets.
        folder: where runs are kept; empty at first.
        full: the budget that its cost is measured at.
        disturbed: global settings that it changed, by name, with the value before and after.
    """

    kind: type[Method]
    card: MethodCard
    preset: str
    folder: Path
    full: Budget = BUDGET
    disturbed: dict[str, str] = field(default_factory=dict)

    @property
    def is_network(self) -> bool:
        """Whether the engine trains it, so that steps and gradients can be looked into."""
        return issubclass(self.kind, NetworkMethod)

    @property
    def budget(self) -> Budget:
        """The tiny budget."""
        return BUDGET if self.is_network else replace(BUDGET, patch=_OWN_TRAINING)

    def method(self, task: Task = TASK, budget: Budget | None = None, *, killed: int | None = None) -> Any:
        """Untrained; `killed` is the step after which training ends with `KillError`."""
        parents = (_Recorded, self.kind) if self.is_network else (self.kind,)
        kind: Any = type(self.kind.__name__, parents, {"__module__": self.kind.__module__})
        made = kind(task, budget or self.budget, switches=self.card.presets[self.preset], seed=SEED)
        made.killed = killed
        return made

    @cached_property
    def trained(self) -> Any:
        """Trained on cases of which some lack a modality; checks must not change it."""
        with self.watched():
            method = self.method()
            self.cost: Cost = method.fit(self.view(), self.folder / "trained")
        self._kept = copy.deepcopy(method)
        return method

    def just_trained(self) -> Any:
        """A copy of `trained`, from before any case was segmented."""
        _ = self.trained
        return copy.deepcopy(self._kept)

    @cached_property
    def interrupted(self) -> Any:
        """The same, killed after step `KILLED`; its scratch folder is `interrupted`."""
        return self.killed_on(self.view(), "interrupted")

    def killed_on(self, view: TrainView, name: str) -> Any:
        """Trained on `view` in the scratch folder `name` and killed after step `KILLED`."""
        method = self.method(killed=KILLED)
        try:
            method.fit(view, self.folder / name)
        except KillError:
            return method
        raise NotKeptError(f"training did not end where `after_step` raised, in step {KILLED}")

    def view(self, task: Task = TASK) -> TrainView:
        """Two labelled and two unlabelled cases; the second one of each lacks one of several modalities."""
        view = toy_view(task, size=self.budget.patch)
        if len(task.modalities) == 1:
            return view
        return replace(
            view,
            labelled=(view.labelled[0], without(view.labelled[1], 1)),
            unlabelled=(view.unlabelled[0], without(view.unlabelled[1], 0)),
        )

    def test_view(self, case: str = "t0", *, absent: float | None = None, truth: bool = False) -> TestView:
        """A test case; with `absent` it lacks the second modality, whose image holds that value."""
        missing = () if absent is None else (1,)
        truth = truth or self.card.needs_truth
        view = toy_test_view(TASK, self.budget.patch, case=case, with_truth=truth, missing=missing)
        if absent:
            image = view.sample.image.copy()
            image[1] = absent
            view = replace(view, sample=replace(view.sample, image=image))
        return view

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note what changes of the settings of the whole process, and put it back."""
        before = GlobalState.now()
        try:
            yield
        finally:
            self.disturbed |= before.differences(GlobalState.now())
            before.restore()


def without(sample: Sample, modality: int) -> Sample:
    """The same case if that modality had not been acquired."""
    image = sample.image.copy()
    image[modality] = 0
    label = None if sample.label is None else sample.label.copy()
    if label is not None:
        label[modality] = IGNORE
    there = tuple(flag and k != modality for k, flag in enumerate(sample.available))
    return replace(sample, image=image, label=label, available=there)


def unpaired_view(task: Task) -> TrainView:
    """Every case is one scan."""
    view = toy_view(task, 4, 2, size=PATCH)
    single = [
        [without(s, 1 - i % 2) for i, s in enumerate(part)] for part in (view.labelled, view.unlabelled)
    ]
    return replace(view, labelled=tuple(single[0]), unlabelled=tuple(single[1]))


def crops(available: Tensor, absent: float = 0.0, *, labelled: bool = True, task: Task = TASK) -> Batch:
    """One crop per row of `available` [B, K]; images of absent modalities hold `absent` everywhere."""
    samples = [toy_sample(task, f"c{i}", PATCH) for i in range(len(available))]
    there = available[:, :, None, None, None]
    image = torch.stack([torch.from_numpy(s.image) for s in samples]).where(there, absent)
    label = torch.stack([torch.from_numpy(s.label) for s in samples]).long().where(there, IGNORE)
    return Batch(image, label if labelled else None, available, tuple(s.case for s in samples))


def answer(method: Any, batch: Batch, net: nn.Module | None = None) -> Tensor:
    """Logits as at test time."""
    network = (net or copy.deepcopy(method.net)).eval()
    with torch.no_grad():
        logits: Tensor = method.logits(network, batch.image, batch.available)
    return logits


def learnt(
    method: Any, step: int, available: Tensor, absent: float = 0.0
) -> tuple[dict[str, Tensor], list[Tensor | None]]:
    """Loss terms of one step and the gradients that they give."""
    method = copy.deepcopy(method)
    labelled = crops(available, absent)
    bare = crops(available, absent, labelled=False) if method.uses_unlabelled else None
    torch.manual_seed(0)
    terms = method.loss(method.net.train(), labelled, bare, Clock(step, BUDGET.steps, SEED))
    if any(term.requires_grad for term in terms.values()):
        torch.stack([term.float() for term in terms.values()]).sum().backward()  # type: ignore[no-untyped-call]
    return terms, [parameter.grad for parameter in method.net.parameters()]


def segmented(method: Any, view: TestView) -> dict[str, NDArray[np.uint8]]:
    """The label maps of a test case. Raises `ValueError` where their shapes or types are wrong."""
    prediction = method.predict(view)
    check_prediction(prediction, view)
    return dict(prediction.label_maps)


def same_bits(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Whether two states hold the same names and bits."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def same_maps(a: Mapping[str, NDArray[np.uint8]], b: Mapping[str, NDArray[np.uint8]]) -> bool:
    """Whether two predictions are equal voxel by voxel."""
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


def all_finite(tensors: Any) -> bool:
    """Whether no tensor holds NaN or infinity; None is passed over."""
    return all(bool(t.isfinite().all()) for t in tensors if t is not None)


def require_trained(method: Any) -> None:
    """Raise `NotKeptError` unless all weights are finite and some have moved from where they began."""
    before, after = (dict(net.named_parameters()) for net in (method.build(), method.net))
    moved = [not torch.equal(before[key], value) for key, value in after.items() if value.requires_grad]
    odd = [key for key, value in method.net.state_dict().items() if not bool(value.isfinite().all())]
    require(not odd, f"weights became NaN or infinite: {', '.join(odd[:3])}")
    require(any(moved), "no weight moved from where it began")
