"""Repairs that reading made: a line per case, a file per prepared part, a count per run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from parallax.case import Case, Repair
from parallax.data.files import read_json, write_json
from parallax.errors import printable


def repair_line(case: Case) -> str:
    """What reading changed of a case, in one line for a log."""
    details = (f" ({r.detail})" if r.detail else "" for r in case.repairs)
    found = [f"{r.modality}: {r.what}{detail}" for r, detail in zip(case.repairs, details, strict=True)]
    return printable(f"{case.id}: {'; '.join(found) or 'nothing repaired'}")


def write_repairs(folder: Path, repairs: Mapping[str, Sequence[Repair]]) -> None:
    """Write `repairs.json` of a prepared part: case to its repairs; cases without any are left out."""
    held = {case: [asdict(repair) for repair in found] for case, found in repairs.items() if found}
    write_json(held, folder / "repairs.json")


def count_repairs(run_dir: Path) -> dict[tuple[str, str], int]:
    """Dataset and repair to the number of cases that needed it, over all prepared parts of a run."""
    cases: dict[tuple[str, str], set[str]] = {}
    for path in sorted((run_dir / "data").glob("*/prepared/*/repairs.json")):
        for case, found in read_json(path).items():
            for repair in found:
                cases.setdefault((path.parts[-4], repair["what"]), set()).add(case)
    return {key: len(ids) for key, ids in sorted(cases.items())}
