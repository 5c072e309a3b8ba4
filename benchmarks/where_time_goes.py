"""Where the time of a finished run went.

Usage: `python benchmarks/where_time_goes.py results/quick`.

Core-seconds by stage, from the benchmark files that Snakemake keeps, the costs that methods report and
the wall time of the whole run. Start-up is what a process spends before and after its work (interpreter,
imports, reading, writing); bookkeeping is what is left of cores x wall time: Snakemake itself, and cores
that waited. Then, by dataset, what the data of a case take beside a training on them.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import mean

STAGES = {
    "data": ("index", "split", "prepare-train", "prepare-test", "misalign-train", "misalign-test", "view"),
    "tables, figures, report": ("scores", "controls", "tables", "figures", "viewer", "report", "manifest"),
}


def benchmark_s(root: Path, names: Iterable[str]) -> float:
    return sum(_seconds(path) for name in names for path in (root / "benchmarks").rglob(f"{name}.tsv"))


def _seconds(path: Path) -> float:
    with path.open(encoding="utf-8") as handle:
        return sum(float(row["s"]) for row in csv.DictReader(handle, delimiter="\t"))


def _values(root: Path, pattern: str, key: str) -> Iterator[float]:
    for path in root.glob(pattern):
        value = json.loads(path.read_text(encoding="utf-8")).get(key, 0.0)
        yield sum(value.values()) if isinstance(value, dict) else float(value)


def stages(root: Path) -> dict[str, float]:
    """Core-seconds by stage; the last three sum up what is not work."""
    training, prediction, scoring = (
        sum(_values(root, "runs/**/cost.json", "train_s")),
        sum(_values(root, "runs/**/predict_status.json", "predict_s")),
        sum(_values(root, "logs/**/score.log", "score_s")),
    )
    rows = {"data": benchmark_s(root, STAGES["data"]), "training": training, "prediction": prediction}
    rows["scoring"] = scoring
    rows["tables, figures, report"] = benchmark_s(root, STAGES["tables, figures, report"])
    processes = benchmark_s(root, ("train", "predict", "score"))
    rows["process start-up"] = processes - training - prediction - scoring
    offered = sum(part["wall_s"] * part["cores"] for part in invocations(root))
    rows["bookkeeping and waiting"] = offered - sum(rows.values())
    return rows


def invocations(root: Path) -> list[dict[str, float]]:
    """Wall time and cores of every invocation of the workflow that came to its end."""
    parts: list[dict[str, float]] = json.loads((root / "wall.json").read_text(encoding="utf-8"))
    return parts


def data_beside_training(root: Path) -> Iterator[tuple[str, int, float, float, float]]:
    """Dataset, cases, seconds per case to prepare and to misalign once, and the mean training of a network.

    To prepare a phantom is to generate, write and read it, and to bring it to the common frame.
    """
    for folder in sorted(path for path in (root / "benchmarks").iterdir() if path.is_dir()):
        parts = (root / "data" / folder.name / "prepared").rglob("dataset.json")
        cases = sum(len(json.loads(path.read_text(encoding="utf-8"))["cases"]) for path in parts)
        levels = len(list(folder.glob("*/misalign-train.tsv")))
        prepare_s = sum(_seconds(path) for path in folder.glob("prepare-*.tsv"))
        misalign_s = sum(_seconds(path) for path in folder.glob("*/misalign-*.tsv"))
        trained = [s for s in _values(root, f"runs/{folder.name}/**/cost.json", "train_s") if s >= 1.0]
        yield folder.name, cases, prepare_s / cases, misalign_s / cases / levels, mean(trained)


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "results/quick")
    rows = stages(root)
    total = sum(rows.values())
    parts = invocations(root)
    wall_s, cores = sum(part["wall_s"] for part in parts), max(part["cores"] for part in parts)
    print(f"{root}: {wall_s / 60:.1f} min on {cores} cores (invocations: {len(parts)})")
    if rows["bookkeeping and waiting"] < 0:
        sys.exit(
            "An invocation was killed and left no time: run it again from nothing to see where time goes."
        )
    ready = Path(".venv/.ready")
    if ready.is_file() and ready.read_text().strip():
        print(f"  {'set-up of .venv, once':<26}{float(ready.read_text()):>8.0f} s (not part of the run)")
    for stage, seconds in rows.items():
        print(f"  {stage:<26}{seconds:>8.0f} s {100 * seconds / total:>6.1f} %")
    overhead = rows["process start-up"] + rows["bookkeeping and waiting"]
    print(f"  start-up and bookkeeping together: {100 * overhead / total:.1f} %")
    pure = rows["training"] + rows["prediction"] + rows["scoring"]
    print(f"  cores x wall time over pure training, prediction and scoring: {total / pure:.2f}\n")
    print("| dataset | cases | prepare (s per case) | misalign (s per case) | one training (s) |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, cases, *seconds in data_beside_training(root):
        print(f"| {name} | {cases} | {' | '.join(f'{each:.2f}' for each in seconds)} |")


if __name__ == "__main__":
    main()
