"""Check a finished run: everything is there, and every control sits in its band."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_EXPECTED = (
    "scores.csv",
    "scores.parquet",
    "costs.csv",
    "manifest.json",
    "report/index.html",
    "tables/main.csv",
    "tables/main.md",
    "tables/main.tex",
)


def problems(run_dir: Path) -> list[str]:
    """What is wrong with a finished run, one sentence each; empty when nothing is."""
    found = [f"{name} is missing or empty" for name in _EXPECTED if not _filled(run_dir / name)]
    if not any((run_dir / "figures").glob("*.png")):
        found.append("figures/ holds no PNG")
    if found:
        return found
    import pandas as pd

    return control_problems(pd.read_parquet(run_dir / "scores.parquet"))


def control_problems(scores: pd.DataFrame) -> list[str]:
    """Controls out of their band (oracle: Dice 1, HD95 0; empty: Dice 0, all exactly) and failed runs."""
    found = []
    for method, metric, exact in (
        ("oracle", "dice", 1.0),
        ("oracle", "hd95_mm", 0.0),
        ("empty", "dice", 0.0),
    ):
        rows = scores[(scores.method == method) & (scores.metric == metric) & scores.value.notna()]
        wrong = rows[rows.value != exact]
        if len(wrong):
            first = wrong.iloc[0]
            where = f"{first.dataset} {first.case} {first.modality} {first.structure}"
            found.append(f"{method} has {metric} {first.value} instead of {exact} at {where}")
    failed = scores[scores.status == "failed"]
    for dataset, method, reason in failed[["dataset", "method", "reason"]].drop_duplicates().to_numpy():
        found.append(f"{method} failed on {dataset}: {reason}")
    return found


def main() -> None:
    """Print the problems of the run in the folder given; exit 1 when there are any."""
    found = problems(Path(sys.argv[1]))
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"{sys.argv[1]}: {'in order' if not found else f'{len(found)} problems'}")
    sys.exit(bool(found))


def _filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


if __name__ == "__main__":
    main()
