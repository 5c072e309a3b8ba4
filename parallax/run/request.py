"""What a training asks a scheduler for: memory and time, from finished trainings or from the cost model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parallax.run.costs import Estimate

# What is asked for where nothing is known: of the memory and time of a training on a GPU.
_MEM_MIB = 3000
_RUNTIME_MIN = 240
_LEAST_MEM_MIB = 1000
_LEAST_RUNTIME_MIN = 10
# A node may be slower than the one that was measured on; a job that asks too much only waits longer.
_MEM_MARGIN = 1.5
_TIME_MARGIN = 3.0


@dataclass(frozen=True)
class Request:
    """Memory in MiB and time in minutes."""

    mem_mib: int
    runtime_min: int

    def again(self, attempt: int) -> Request:
        """What the `attempt`-th try asks for, from 1: a job may have failed for want of either."""
        return Request(self.mem_mib * attempt, self.runtime_min * attempt)


@dataclass(frozen=True)
class _Spent:
    train_s: float
    peak_memory_mib: float  # of the machine; NaN where it is not known, as with a GPU


def train_request(
    root: Path, dataset: str, method: str, expected: Callable[[], Estimate] | None = None
) -> Request:
    """What to ask for a training of `method` on `dataset`, in the folder `root` of its configuration.

    The most that a finished training of the two took there, with a margin. Where none is finished: what is
    `expected` of a run, with the same margin, or a fixed guess where that is None, as on a GPU, of which the
    cost model knows nothing. Memory of a GPU says nothing of the memory of its machine.
    """
    paths = root.glob(f"runs/{dataset}/*/*/{method}/*/cost.json")
    known = [spent for path in paths if (spent := _read(path)) is not None]
    if known:
        memory = [each.peak_memory_mib for each in known if not math.isnan(each.peak_memory_mib)]
        return _with_margin(max(each.train_s for each in known), max(memory, default=math.nan))
    if expected is not None:
        estimate = expected()
        return _with_margin(estimate.core_s, estimate.memory_mib)
    return Request(_MEM_MIB, _RUNTIME_MIN)


def _with_margin(seconds: float, memory_mib: float) -> Request:
    minutes = max(_LEAST_RUNTIME_MIN, math.ceil(seconds * _TIME_MARGIN / 60))
    if math.isnan(memory_mib):
        return Request(_MEM_MIB, minutes)
    return Request(max(_LEAST_MEM_MIB, math.ceil(memory_mib * _MEM_MARGIN)), minutes)


def _read(path: Path) -> _Spent | None:
    """The cost of a finished training; None where it failed, and so spent nothing, or cannot be read."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        status = json.loads(path.with_name("status.json").read_text(encoding="utf-8"))["status"]
        memory = float(values["peak_memory_mib"]) if values["device"] == "cpu" else math.nan
        return _Spent(float(values["train_s"]), memory) if status == "ok" else None
    except (OSError, ValueError, KeyError):
        return None
