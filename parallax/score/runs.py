"""Score one run: its predictions against the native label maps of the test part."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from parallax.case import Adapter, Task, Volume
from parallax.errors import DataError, UserError
from parallax.score.metrics import METRICS, StructureScore, diagonal_mm, score_label_maps
from parallax.score.table import Row

#: Metric of the rows that say what a map perfect on the reference modality would reach elsewhere.
CEILING = "dice_ceiling"


@dataclass(frozen=True)
class RunInfo:
    """The columns that all rows of a run share; `run.json` holds them under these names."""

    dataset: str
    pairing: str
    misalignment: str
    label_fraction: float
    label_draw: int
    method: str
    preset: str
    adapter: str
    seed: int
    pretraining: str = "none"
    checkpoint_rule: str = "last"
    annotation: str = "full"


@dataclass(frozen=True)
class TestCase:
    """What a row needs to know about a test case; `labelled` and `available` are modality names."""

    __test__ = False  # not a pytest class

    id: str
    available: tuple[str, ...]
    labelled: tuple[str, ...]
    shift_mm: float
    rotation_deg: float


def read_run_info(values: Mapping[str, Any]) -> RunInfo:
    """The run's columns from its JSON; keys that rows do not carry are passed over."""
    names = RunInfo.__dataclass_fields__
    missing = [name for name in list(names)[:9] if name not in values]
    if missing:
        raise DataError(
            "a run cannot be scored without knowing what it is",
            where="the JSON given to --run",
            expected=", ".join(names),
            found="no " + ", ".join(missing),
            remedy="write the missing keys",
        )
    info = RunInfo(**{name: values[name] for name in names if name in values})
    return RunInfo(**(asdict(info) | {"label_fraction": float(info.label_fraction)}))


def read_test_cases(data: Path) -> tuple[Task, list[TestCase]]:
    """The task and the cases of `data` (dataset.json, and transforms.json where something was moved)."""
    described = json.loads((data / "dataset.json").read_text(encoding="utf-8"))
    transforms = data / "transforms.json"
    moved = json.loads(transforms.read_text(encoding="utf-8")) if transforms.exists() else {}
    cases = [
        _test_case(name, entry, moved.get(name) or {}) for name, entry in sorted(described["cases"].items())
    ]
    return Task.from_json(described["task"]), cases


def score_run(
    data: Path, predictions: Path, status: Mapping[str, Any], run: RunInfo, unperturbed: Path | None = None
) -> list[Row]:
    """Rows of one run: test case x labelled modality x structure x metric.

    Args:
        data: test part (label maps, dataset.json, transforms.json).
        predictions: folder of `<case>__<modality>.nii.gz` label maps.
        status: `{"status": "ok" | "failed", "reason": ...}` of training and prediction; `subsets` holds the
            same for each set of modalities that test cases were reduced to, whose predictions lie in a
            folder of that name. Only the modalities given are scored.
        run: the columns that all rows share.
        unperturbed: test part before the misalignment, whose grids give the HD95 of a missed structure;
            None takes the grids of `data`.

    Raises `DataError` where the task declares no tolerance for the NSD of a structure.
    A failed run gives rows of status `failed`; so does a single prediction that is absent or not valid.
    """
    task, cases = read_test_cases(data)
    rows: list[Row] = []
    for case in cases:
        truths = {name: _read(data / "labels", case.id, name, task) for name in case.labelled}
        penalties = {name: _penalty_mm(t, unperturbed, case.id, name, task) for name, t in truths.items()}
        for reduced, folder, outcome in _as_given(case, predictions, status):
            for modality in reduced.labelled:
                truth, penalty_mm = truths[modality], penalties[modality]
                result = _score_prediction(truth, folder, case.id, modality, task, outcome, penalty_mm)
                rows += _rows(run, reduced, modality, task, result)
        if run.adapter == Adapter.BROADCAST:
            rows += _ceiling_rows(run, case, truths, task)
    return rows


def _as_given(
    case: TestCase, predictions: Path, status: Mapping[str, Any]
) -> Iterator[tuple[TestCase, Path, Mapping[str, Any]]]:
    """The case with all its modalities, then with each set that leaves some out; folder and outcome."""
    yield case, predictions, status
    for name, outcome in (status.get("subsets") or {}).items():
        given = tuple(name.split("+"))
        if set(given) < set(case.available):
            labelled = tuple(m for m in case.labelled if m in given)
            yield replace(case, available=given, labelled=labelled), predictions / name, outcome


def _test_case(name: str, entry: Mapping[str, Any], moved: Mapping[str, Any]) -> TestCase:
    return TestCase(
        id=name,
        available=tuple(entry["modalities"]),
        labelled=tuple(m for m in entry["modalities"] if m in entry["labelled"]),
        shift_mm=float(moved.get("realised_rms_mm") or 0.0),
        rotation_deg=float(np.linalg.norm(np.atleast_1d(moved.get("rotation_deg") or 0.0))),
    )


def _read(folder: Path, case: str, modality: str, task: Task) -> Volume:
    from parallax.data.volumes import read_label_map

    return read_label_map(folder / f"{case}__{modality}.nii.gz", {0, *task.classes.values()})


def _penalty_mm(truth: Volume, unperturbed: Path | None, case: str, modality: str, task: Task) -> float:
    if unperturbed is not None:
        truth = _read(unperturbed / "labels", case, modality, task)
    return diagonal_mm(truth.array.shape, truth.spacing_mm)


def _score_prediction(
    truth: Volume,
    folder: Path,
    case: str,
    modality: str,
    task: Task,
    status: Mapping[str, Any],
    penalty_mm: float,
) -> dict[str, StructureScore] | str:
    """Scores by structure, or the reason why there are none."""
    from parallax.data.volumes import check_same_grid

    if status.get("status") != "ok":
        return status.get("reason") or "the run failed without a reason"
    if not (folder / f"{case}__{modality}.nii.gz").exists():
        return f"no prediction for {case} in {modality}"
    try:
        prediction = _read(folder, case, modality, task)
        check_same_grid(truth, prediction, f"{case}, {modality}")
    except UserError as error:
        return str(error)
    tolerances_mm = {name: task.tolerance_mm(name) for name in task.structures}
    return score_label_maps(
        truth.array, prediction.array, task.classes, truth.spacing_mm, penalty_mm, tolerances_mm
    )


def _rows(
    run: RunInfo, case: TestCase, modality: str, task: Task, result: dict[str, StructureScore] | str
) -> Iterator[Row]:
    for structure in task.structures:
        for metric in METRICS:
            if isinstance(result, str):
                row = _row(run, case, modality, structure, metric, math.nan, "failed", result)
            else:
                score = result[structure]
                row = _row(run, case, modality, structure, metric, score.values[metric], score.status, "")
            yield replace(row, tolerance_mm=task.tolerance_mm(structure)) if metric == "nsd" else row


def _ceiling_rows(run: RunInfo, case: TestCase, truths: Mapping[str, Volume], task: Task) -> Iterator[Row]:
    """Dice of the reference modality's truth, copied onto every other modality's grid."""
    from parallax.data.frame import resample_labels

    reference = next((name for name in task.modality_names if name in truths), None)
    for modality, truth in truths.items():
        copied = resample_labels(truths[str(reference)], truth.grid)
        for structure, label in task.classes.items():
            a, b = truth.array == label, copied == label
            total = int(a.sum()) + int(b.sum())
            value = 2.0 * int((a & b).sum()) / total if total else math.nan
            status = "ok" if total else "both_empty"
            yield _row(run, case, modality, structure, CEILING, value, status, "")


def _row(
    run: RunInfo,
    case: TestCase,
    modality: str,
    structure: str,
    metric: str,
    value: float,
    status: str,
    reason: str,
) -> Row:
    return Row(
        case=case.id,
        modality=modality,
        structure=structure,
        shift_mm=case.shift_mm,
        rotation_deg=case.rotation_deg,
        available="+".join(case.available),
        metric=metric,
        value=value,
        status=status,
        reason=reason,
        **asdict(run),
    )
