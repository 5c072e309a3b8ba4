"""Check a finished run: all is there, as the manifest names it, and every control sits in its band."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from parallax.data.files import read_json
from parallax.errors import DataError
from parallax.run.manifest import differing
from parallax.tables.controls import control_errors, read_overlap

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
    from parallax.score.table import read_table

    scores = read_table(run_dir / "scores.parquet")
    controls = [str(error) for error in control_errors(scores, read_overlap(run_dir / "splits"))]
    try:
        changed = differing(run_dir, read_json(run_dir / "manifest.json"))
    except (DataError, KeyError) as error:
        changed = [f"manifest.json cannot be used: {error}"]
    return [*changed, *controls, *failed_runs(scores)]


def failed_runs(scores: pd.DataFrame) -> list[str]:
    """One sentence for each dataset, method and reason of a run that failed."""
    failed = scores[scores.status == "failed"]
    told = failed[["dataset", "method", "reason"]].drop_duplicates().to_numpy()
    return [f"{method} failed on {dataset}: {reason}" for dataset, method, reason in told]


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
