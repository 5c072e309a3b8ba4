"""Check a finished run: everything is there, and every control sits in its band."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    """Failed runs, and controls out of their band.

    Exactly: oracle Dice 1, NSD 1 and HD95 0, its copied preset Dice equal to the ceiling, empty Dice 0 and
    NSD 0.
    """
    found = []
    for method, metric, exact in (
        ("oracle", "dice", 1.0),
        ("oracle", "nsd", 1.0),
        ("oracle", "hd95_mm", 0.0),
        ("empty", "dice", 0.0),
        ("empty", "nsd", 0.0),
    ):
        own = (scores.method == method) & (scores.adapter != "broadcast") & (scores.metric == metric)
        wrong = scores[own & scores.value.notna() & (scores.value != exact)]
        found += [f"{method} has {metric} {r.value} instead of {exact} at {_place(r)}" for r in _first(wrong)]
    found += _copied_problems(scores[(scores.method == "oracle") & (scores.adapter == "broadcast")])
    failed = scores[scores.status == "failed"]
    for dataset, method, reason in failed[["dataset", "method", "reason"]].drop_duplicates().to_numpy():
        found.append(f"{method} failed on {dataset}: {reason}")
    return found


def _copied_problems(scores: pd.DataFrame) -> list[str]:
    """A perfect map that is copied to every modality loses exactly what the printed ceiling says."""
    keys = ["dataset", "misalignment", "label_fraction", "case", "modality", "structure"]
    wide = scores.pivot_table("value", keys, "metric", aggfunc="first").reset_index()
    if wide.empty:
        return []
    wrong = wide[wide.dice.notna() & (wide.dice != wide.dice_ceiling)]
    return [
        f"the copied oracle has dice {r.dice}, its ceiling is {r.dice_ceiling}, at {_place(r)}"
        for r in _first(wrong)
    ]


def _first(rows: pd.DataFrame) -> list[Any]:
    return list(rows.head(1).itertuples())


def _place(row: Any) -> str:
    return f"{row.dataset} {row.case} {row.modality} {row.structure}"


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
