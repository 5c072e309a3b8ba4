"""Where nnU-Net may run: its folders, no spawned workers, no noise, and all put back afterwards.

nnU-Net takes its folders and worker counts from environment variables and starts spawned worker processes,
each of which imports the package anew (about 5 s). Here the variables exist only while nnU-Net runs.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch


@contextlib.contextmanager
def nnunet_environment(workspace: Path, *, planning: bool = False, log: Path | None = None) -> Iterator[None]:
    """Let nnU-Net find its folders under `workspace`; restore variables, threads, random states.

    Args:
        workspace: holds `raw`, `preprocessed` and `results`.
        planning: nnU-Net wants at least one augmentation worker while it plans and none while it trains
            (with 0, `ExperimentPlanner.static_estimate_VRAM_usage` calls `torch.set_num_threads(0)`).
        log: file that what nnU-Net prints is appended to; dropped when None.
    """
    variables = _variables(workspace, planning)
    with (
        _environment_with(variables),
        _random_states_kept(),
        _threads_kept(),
        _output(log) as out,
        contextlib.redirect_stdout(out),
        warnings.catch_warnings(),
    ):
        # Deprecations in third-party code are not this project's to fix, and its tests refuse warnings.
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def workers_in_process(*modules: Any) -> Iterator[None]:
    """Run the pools that these nnU-Net modules would spawn in this process, one call after the other."""
    kept = [(module, module.multiprocessing) for module in modules]
    try:
        for module in modules:
            module.multiprocessing = _InProcess()
        yield
    finally:
        for module, original in kept:
            module.multiprocessing = original


def _variables(workspace: Path, planning: bool) -> Mapping[str, str]:
    folders = {f"nnUNet_{name}": str(workspace / name) for name in ("raw", "preprocessed", "results")}
    return folders | {
        "nnUNet_n_proc_DA": "1" if planning else "0",
        "nnUNet_def_n_proc": str(torch.get_num_threads()),
        "nnUNet_compile": "f",
        "nnUNet_wandb_enabled": "0",
    }


@contextlib.contextmanager
def _environment_with(variables: Mapping[str, str]) -> Iterator[None]:
    # All of them are compared: what nnU-Net imports (scikit-learn, inductor) sets variables of its own.
    before = dict(os.environ)
    try:
        os.environ.update(variables)
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


def _output(log: Path | None) -> io.TextIOBase:
    if log is None:
        return io.StringIO()
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("a", encoding="utf-8")


@contextlib.contextmanager
def _random_states_kept() -> Iterator[None]:
    # nnU-Net draws from the three global generators, so the trainer has to seed them.
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


@contextlib.contextmanager
def _threads_kept() -> Iterator[None]:
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Done:
    value: list[Any]

    def ready(self) -> bool:
        return True

    def get(self) -> list[Any]:
        return self.value


class _Pool:
    _pool: tuple[Any, ...] = ()

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def starmap_async(self, function: Callable[..., Any], arguments: Sequence[Sequence[Any]]) -> _Done:
        return _Done([function(*values) for values in arguments])


class _InProcess:
    """Stands in for the module `multiprocessing` as far as nnU-Net's fingerprint and preprocessor use it."""

    def get_context(self, _: str) -> _InProcess:
        return self

    def Pool(self, _: int) -> _Pool:  # noqa: N802  (the name in multiprocessing)
        return _Pool()
