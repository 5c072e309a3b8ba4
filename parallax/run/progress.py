"""The progress line of a run: how many training runs are done and left, and about how long that takes."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

_CONTROL_S = 1.0  # what trains in less is a control and says nothing of how long a method takes


def progress_line(root: Path, method: str) -> str:
    """One line for the terminal, from the plan of the run and the cost files of finished runs."""
    plan = json.loads((root / "plan.json").read_text(encoding="utf-8"))
    paths, cores = plan["runs"], plan["cores"]
    seconds = {path: _train_s(root / "runs" / path / "cost.json") for path in paths}
    done = {path: s for path, s in seconds.items() if s is not None}
    left = [path for path in paths if path not in done]
    line = f"[{len(done)}/{len(paths)} runs] {method} done, {len(left)} left"
    if left and done:
        line += f", about {_left_s(done, left) / cores / 60:.0f} min of training"
    return line


def _left_s(done: dict[str, float], left: list[str]) -> float:
    by_method = defaultdict(list)
    for path, seconds in done.items():
        by_method[path.split("/")[3]].append(seconds)
    typical = mean([s for s in done.values() if s > _CONTROL_S] or [0.0])
    return sum(
        mean(by_method[name]) if (name := path.split("/")[3]) in by_method else typical for path in left
    )


def _train_s(path: Path) -> float | None:
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["train_s"])
    except (OSError, ValueError, KeyError):
        return None


if __name__ == "__main__":
    print(progress_line(Path(sys.argv[1]), sys.argv[2]), flush=True)
