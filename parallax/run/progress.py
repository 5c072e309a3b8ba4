"""The progress line of a run: how many training runs are done and left, and about how long that takes."""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

_CONTROL_S = 1.0  # what trains in less is a control and says nothing of how long a method takes


def progress_line(root: Path, method: str) -> str:
    """One line for the terminal, from the plan of the run and the cost files of finished runs."""
    plan = json.loads((root / "plan.json").read_text(encoding="utf-8"))
    paths, at_once, waiting = plan["runs"], plan["at_once"], set(plan["waiting"])
    since = {path: plan["started"] if path in waiting else 0.0 for path in paths}
    seconds = {path: _train_s(root / "runs" / path / "cost.json", since[path]) for path in paths}
    done = {path: s for path, s in seconds.items() if s is not None}
    left = [path for path in paths if path not in done]
    line = f"[{len(done)}/{len(paths)} runs] {method} done, {len(left)} left"
    seconds_left = _left_s(done, left)
    if left and seconds_left is not None:
        line += f", about {math.ceil(seconds_left / at_once / 60)} min of training"
    return line


def _left_s(done: dict[str, float], left: list[str]) -> float | None:
    """Core-seconds of training left; None before anything but a control is done."""
    by_method = defaultdict(list)
    for path, seconds in done.items():
        by_method[path.split("/")[3]].append(seconds)
    trained = [seconds for seconds in done.values() if seconds > _CONTROL_S]
    names = [path.split("/")[3] for path in left]
    if not trained and any(name not in by_method for name in names):
        return None
    return sum(mean(by_method.get(name, trained)) for name in names)


def _train_s(path: Path, since: float) -> float | None:
    """Seconds of training; None where the run is not done, or only an older version of it is."""
    try:
        if path.stat().st_mtime < since:
            return None
        return float(json.loads(path.read_text(encoding="utf-8"))["train_s"])
    except (OSError, ValueError, KeyError):
        return None


if __name__ == "__main__":
    print(progress_line(Path(sys.argv[1]), sys.argv[2]), flush=True)
