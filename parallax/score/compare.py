"""Metrics of any two label maps, or of two folders of them: the engine of `parallax score`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from parallax.case import Volume
from parallax.errors import DataError
from parallax.score.metrics import diagonal_mm, metric_names, score_label_maps

Scored = dict[str, str | float]


def score_pair(truth_path: Path, prediction_path: Path) -> list[Scored]:
    """Rows of two label maps, or of all label maps of two folders that share a file name.

    Each row holds `case` (file name without ending), `structure` (`label 1`, ...), `metric` (`dice`,
    `hd95_mm`, `assd_mm`, `volume_difference_ml`), `value`, `status` and `reason`. A truth without a
    prediction gives rows of status `failed`. Raises `DataError` where a path is absent or a file cannot be
    read, `GeometryError` where two grids differ.
    """
    truth_path, prediction_path = Path(truth_path), Path(prediction_path)
    for path in (truth_path, prediction_path):
        if not path.exists():
            raise _absent(path)
    if not truth_path.is_dir():
        return _score_files(truth_path, prediction_path)
    rows: list[Scored] = []
    for truth in _label_maps(truth_path):
        rows += _score_files(truth, prediction_path / truth.name)
    return rows


def _label_maps(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.name.endswith((".nii", ".nii.gz")))
    if not found:
        raise DataError(
            "there is nothing to score",
            where=folder.as_posix(),
            expected="label maps named *.nii.gz or *.nii",
            found="none",
            remedy="name the folder that holds the label maps",
        )
    return found


def _score_files(truth_path: Path, prediction_path: Path) -> list[Scored]:
    from parallax.data.volumes import check_same_grid, read_label_map

    case = truth_path.name.removesuffix(".gz").removesuffix(".nii")
    allowed = set(range(256))
    truth = read_label_map(truth_path, allowed)
    if not prediction_path.exists():
        reason = f"no prediction named {prediction_path.name}"
        return [
            _row(case, name, metric, math.nan, "failed", reason)
            for name in _structures(truth)
            for metric in metric_names(False, False)
        ]
    prediction = read_label_map(prediction_path, allowed)
    check_same_grid(truth, prediction, case)
    classes = _structures(truth, prediction)
    penalty_mm = diagonal_mm(truth.array.shape, truth.spacing_mm)
    scores = score_label_maps(truth.array, prediction.array, classes, truth.spacing_mm, penalty_mm)
    return [
        _row(case, name, metric, score.values[metric], score.status, "")
        for name, score in scores.items()
        for metric in metric_names(False, False)
    ]


def _structures(*volumes: Volume) -> dict[str, int]:
    values: set[Any] = set()
    for volume in volumes:
        values |= set(np.unique(volume.array).tolist())
    return {f"label {int(value)}": int(value) for value in sorted(values) if value}


def _row(case: str, structure: str, metric: str, value: float, status: str, reason: str) -> Scored:
    return {
        "case": case,
        "structure": structure,
        "metric": metric,
        "value": value,
        "status": status,
        "reason": reason,
    }


def _absent(path: Path) -> DataError:
    return DataError(
        "a path to score is absent",
        where=path.as_posix(),
        expected="a label map or a folder of label maps",
        found="nothing",
        remedy="check the spelling",
    )
