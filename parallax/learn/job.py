"""Train or predict as one job of the workflow: folders in, folders out; a failed method is a result too."""

from __future__ import annotations

import json
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from parallax.case import Budget, Prediction, Task, TestView, Volume
from parallax.data.files import read_json, write_json
from parallax.data.seal import fresh_folder, seal
from parallax.data.store import load_reduced_views, load_test_views, load_train_view, modality_subsets
from parallax.data.volumes import write_volume
from parallax.errors import no_room
from parallax.learn.limits import Limits, watched
from parallax.learn.method import Cost, Method
from parallax.learn.room import Room, packed, retried, with_notes
from parallax.plugin import load_method, method_card

#: Gives a run its part of a device, for as long as the process lives; None where nobody shares one.
Lender = Callable[[], Room | None]
OK: Mapping[str, str] = {"status": "ok", "reason": ""}
_FAILED = {"status": "failed"}
_NONE = Limits()


@dataclass(frozen=True)
class Job:
    """Which method, as what, and on what device (`auto`, `cpu`, `cuda`, `cuda:1`) with how many threads.

    `switches` are those in which it differs from the first preset of the method.
    """

    method: str
    switches: Mapping[str, Any]
    seed: int
    budget: Budget
    device: str = "cpu"
    threads: int = 1

    def make(self, task: Task) -> Method:
        """The method, ready for `fit` or `load`."""
        card = method_card(self.method)
        return load_method(self.method)(
            task,
            self.budget,
            switches=self.switches,
            seed=self.seed,
            device="cpu" if card.control else self._device(),
        )

    def noting(self, notes: list[str]) -> Callable[[str], None]:
        """A function that keeps a note in `notes` and prints it, for the log and from there the terminal."""

        def note(text: str) -> None:
            notes.append(text)
            sys.stderr.write(f"GPU memory: {self.method}, seed {self.seed}: {text}\n")
            sys.stderr.flush()

        return note

    def _device(self) -> str:
        from parallax.learn.device import (
            prepare_torch,
        )  # controls need no torch, and its import takes a second

        return prepare_torch(self.device, self.threads, deterministic=self.budget.deterministic)


def read_budget(text: str) -> Budget:
    """A budget from JSON, given as text or as the path of a file."""
    values = json.loads(text) if text.lstrip().startswith("{") else read_json(Path(text))
    arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Budget(**arguments)


def train_job(
    job: Job,
    view_folder: Path,
    scratch: Path,
    model: Path,
    cost: Path,
    status: Path,
    lend: Lender = lambda: None,
    limits: Limits = _NONE,
) -> None:
    """Fit and save. Where the method raises, `model` is left empty and `status` says why.

    So it is where it goes past a limit; the process then ends here, with status 0. Interrupts (Ctrl-C,
    SIGTERM) are not results: they end the process, and the next call resumes. A run
    whose device has no memory left goes on with more room; `out_of_memory` in the status says so.
    """
    view = load_train_view(view_folder)
    spent = Cost(0, 0, 0, 0.0, 0.0, 0.0, "none")
    notes: list[str] = []

    def finish(outcome: Mapping[str, str]) -> None:
        write_json(asdict(spent), cost)
        write_json(with_notes(outcome, notes, "out_of_memory"), status)
        seal(cost, status)

    def fail(outcome: Mapping[str, str]) -> None:
        with fresh_folder(model):
            pass
        finish(outcome)

    def fit() -> tuple[Method, Cost]:
        method = job.make(view.task)
        return method, method.fit(view, scratch)

    # In this order: a run that waits for another process of the same run holds no part of a device meanwhile.
    with _alone(scratch):
        room = lend()
        try:
            with watched(limits, lambda reason: fail(_FAILED | {"reason": reason})):
                method, used = retried(fit, room, job.noting(notes))
                with fresh_folder(model) as folder:  # opened late: a kill in training leaves nothing behind
                    method.save(folder)
        except Exception as error:
            if no_room(error):  # nothing that the method did: the next start takes the job up again
                raise
            fail(_failed(error))
            return
    spent = replace(used, device=packed(used.device, room))
    finish(OK)
    shutil.rmtree(scratch, ignore_errors=True)


def reuse_job(trained: Path, model: Path, cost: Path, status: Path) -> None:
    """Take over a run that was trained in the same way: its weights, what it cost and how it ended."""
    with fresh_folder(model) as folder:
        shutil.copytree(trained / "model", folder, dirs_exist_ok=True)
    write_json(read_json(trained / "cost.json"), cost)
    write_json(read_json(trained / "status.json"), status)
    seal(cost, status)


def predict_job(
    job: Job,
    data: Path,
    model: Path,
    status: Path,
    out: Path,
    predict_status: Path,
    *,
    every_subset: bool = False,
    lend: Lender = lambda: None,
    limits: Limits = _NONE,
) -> None:
    """Load and segment every test case; where training or prediction fails, `out` is left empty.

    With `every_subset` each case is segmented again with every subset of its modalities, into a folder of
    `out` such as `CT` or `CT+MR`; `subsets` in the status says how each went.
    """
    trained: Mapping[str, Any] = read_json(status)
    with_truth = method_card(job.method).needs_truth
    room = lend() if trained["status"] == "ok" else None

    def fail(reason: str) -> None:
        with fresh_folder(out):
            pass
        write_json(_FAILED | {"reason": reason, "predict_s": {}}, predict_status)
        seal(predict_status)

    with watched(limits, fail), fresh_folder(out) as folder:
        outcome = _predict(job, lambda: load_test_views(data, with_truth), model, folder, trained, room)
        subsets = {}
        for given in modality_subsets(data) if every_subset else ():
            name, views = "+".join(given), partial(load_reduced_views, data, given, with_truth)
            subsets[name] = _predict(job, views, model, folder / name, trained, room)
    write_json(outcome | ({"subsets": subsets} if subsets else {}), predict_status)
    seal(predict_status)


def _predict(
    job: Job,
    views: Callable[[], Iterator[TestView]],
    model: Path,
    folder: Path,
    trained: Mapping[str, Any],
    room: Room | None,
) -> dict[str, Any]:
    outcome: Mapping[str, Any] = trained
    seconds: dict[str, float] = {}
    notes: list[str] = []
    folder.mkdir(exist_ok=True)
    if outcome["status"] == "ok":
        try:
            seconds = retried(lambda: _predict_all(job, views(), model, folder), room, job.noting(notes))
        except Exception as error:
            if no_room(error):  # nothing that the method did: the next start takes the job up again
                raise
            outcome = _failed(error)
            shutil.rmtree(folder)
            folder.mkdir()
    return {**with_notes(outcome, notes, "out_of_memory_predicting"), "predict_s": seconds}


def _predict_all(job: Job, views: Iterator[TestView], model: Path, folder: Path) -> dict[str, float]:
    method: Method | None = None
    seconds = {}
    for view in views:
        if method is None:
            method = job.make(view.task)
            method.load(model)
        started = time.monotonic()
        prediction = method.predict(view)
        seconds[view.sample.case] = round(time.monotonic() - started, 4)
        check_prediction(prediction, view)
        for name, label_map in prediction.label_maps.items():
            volume = Volume(label_map, view.native[name].affine)
            write_volume(volume, folder / f"{view.sample.case}__{name}.nii.gz")
    return seconds


def check_prediction(prediction: Prediction, view: TestView) -> None:
    """Raise `ValueError` unless each modality of the case has a uint8 map of known classes on its grid."""
    found = {name: (label.shape, label.dtype) for name, label in prediction.label_maps.items()}
    # the oracle knows only modalities with a mask; everybody else answers for each that the case has
    names = view.native if view.truth is None else view.truth
    wanted = {name: (view.native[name].shape, np.dtype(np.uint8)) for name in names}
    if found != wanted:
        raise ValueError(f"case {view.sample.case}: expected label maps {wanted}, found {found}")
    last = view.task.n_classes - 1
    strange = {n: int(label.max()) for n, label in prediction.label_maps.items() if int(label.max()) > last}
    if strange:
        raise ValueError(f"case {view.sample.case}: expected classes 0 to {last}, found {strange}")


@contextmanager
def _alone(scratch: Path) -> Iterator[None]:
    """Wait for another process that trains the same run: one whose parent was killed may still be at it."""
    scratch.mkdir(parents=True, exist_ok=True)
    with scratch.with_name(scratch.name + ".lock").open("a", encoding="utf-8") as handle:
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _failed(error: Exception) -> dict[str, str]:
    traceback.print_exception(error)  # into the log of the rule
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return {**_FAILED, "reason": reason[:500]}
