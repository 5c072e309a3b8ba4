"""Metrics of any two label maps, or of two folders of them: the engine of `parallax score`."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parallax.case import Volume
from parallax.data.files import replacing
from parallax.data.given import given_json
from parallax.errors import ConfigError, DataError
from parallax.score.metrics import diagonal_mm, labels_in, metric_names, score_label_maps

if TYPE_CHECKING:
    from numpy.typing import NDArray

Scored = dict[str, str | float]

_DIGITS = re.compile("[0-9]{1,6}")
_COLUMNS = ("case", "structure", "metric", "value", "tolerance_mm", "status", "reason")

#: More labels than that, or a larger value, and a file is an image rather than a label map.
MOST_LABELS, LARGEST_LABEL = 255, 65535


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        names: structure name to label value; None scores every value, as `label 1`, ...
        tolerance_mm: of the NSD, for every structure; without it there is no NSD.
        pooled: whether the pooled HD95 is added, as `hd95_pooled_mm`.
    """

    names: Mapping[str, int] | None = None
    tolerance_mm: float | None = None
    pooled: bool = False

    def __post_init__(self) -> None:
        """Raises `ConfigError` for a tolerance that is not above 0."""
        if self.tolerance_mm is not None and not 0 < self.tolerance_mm < math.inf:
            raise ConfigError(
                "The NSD has no value under this tolerance",
                where="--tolerance-mm",
                expected="a length in mm above 0",
                found=repr(self.tolerance_mm),
                remedy="give the distance in mm up to which two boundaries count as one",
            )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics in the order of rows and columns."""
        return metric_names(self.tolerance_mm is not None, self.pooled)


EVERYTHING = Wanted()


def score_pair(truth_path: Path, prediction_path: Path, wanted: Wanted = EVERYTHING) -> list[Scored]:
    """Rows of two label maps, or of all label maps of two folders that share a file name.

    Each row holds `case` (file name without ending), `structure` (`label 1`, ... or a name), `metric`,
    `value`, `tolerance_mm` (of the NSD, else NaN), `status` and `reason`. A truth without a prediction gives
    rows of status `failed`. Raises `DataError` where a path is absent, a file cannot be read or is no label
    map, or no prediction has the name of a truth, `GeometryError` where two grids differ.
    """
    truth_path, prediction_path = Path(truth_path), Path(prediction_path)
    _check_paths(truth_path, prediction_path)
    if not truth_path.is_dir():
        return _score_files(truth_path, prediction_path, wanted)
    truths, predictions = _label_maps(truth_path), _label_maps(prediction_path)
    if not truths.keys() & predictions.keys():
        raise DataError(
            "No prediction has the name of a truth",
            where=prediction_path.as_posix(),
            expected=f"label maps named as those in {truth_path.as_posix()}: {_some(truths)}",
            found=_some(predictions),
            remedy="give a prediction the file name of its truth",
        )
    return [
        row for case, truth in truths.items() for row in _score_files(truth, predictions.get(case), wanted)
    ]


def extra_predictions(truth_path: Path, prediction_path: Path) -> list[str]:
    """Names of predictions of two folders that have no truth; empty for two files."""
    if not truth_path.is_dir():
        return []
    return sorted(_label_maps(prediction_path).keys() - _label_maps(truth_path).keys())


def header_remarks(truth_path: Path, prediction_path: Path) -> list[str]:
    """Headers among the files of `score_pair` that say two things, a line each: no number tells."""
    from parallax.data.reading import odd_headers

    if truth_path.is_dir():
        truths, predictions = _label_maps(truth_path), _label_maps(prediction_path)
        paths = [*truths.values(), *(path for case, path in predictions.items() if case in truths)]
    else:
        paths = [truth_path, prediction_path]
    return [
        f"{what}, in {n} of {len(paths)} files, the first is {first}"
        for what, (n, first) in odd_headers(paths).items()
        if "disagree" in what
    ]


def write_scored(rows: Sequence[Scored], path: Path) -> None:
    """Write rows as CSV (NaN is an empty cell), all of it or nothing. Raises `DataError` where it cannot."""
    try:
        with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {key: "" if value != value else value for key, value in row.items()} for row in rows
            )
    except OSError as error:
        raise DataError(
            "The scores cannot be written",
            where=path.as_posix(),
            expected="a file that can be written",
            found=f"{type(error).__name__}: {error.strerror}",
            remedy="name another file",
        ) from error


def read_names(text: str) -> dict[str, int]:
    """Names of labels from `liver=1,spleen=2`, or from a dataset.json of Parallax or nnU-Net.

    Raises `ConfigError` where neither can be read, or where a value is used twice or is no label.
    """
    path = Path(text)
    given = _from_json(path) if text.endswith(".json") else _from_text(text)
    values = list(given.values())
    whole = all(isinstance(v, int) and not isinstance(v, bool) and 0 < v <= LARGEST_LABEL for v in values)
    if not values or not whole or len(set(values)) < len(values):
        raise _names_error(text, ", ".join(f"{name}={value!r}" for name, value in given.items()) or "none")
    return given


def _from_text(text: str) -> dict[str, int]:
    parts = [part.rpartition("=") for part in text.split(",")]
    if not all(name.strip() and _DIGITS.fullmatch(value.strip()) for name, _, value in parts):
        raise _names_error(text, repr(text))
    names = [name.strip() for name, _, _ in parts]
    if len(set(names)) < len(names):
        raise _names_error(text, repr(text))
    return {name: int(value) for name, (_, _, value) in zip(names, parts, strict=True)}


def _from_json(path: Path) -> dict[str, int]:
    try:
        held = given_json(path)
        own = held["task"]["classes"] if "task" in held else held["labels"]
        return {str(name): value for name, value in own.items() if value != 0}
    except (DataError, KeyError, TypeError, AttributeError) as error:
        raise _names_error(path.as_posix(), f"{type(error).__name__}: {error}") from error


def _names_error(where: str, found: str) -> ConfigError:
    return ConfigError(
        "Names of labels cannot be read",
        where=f"--labels {where}",
        expected=f"name=value,name=value or a dataset.json; each value once, from 1 to {LARGEST_LABEL}",
        found=found,
        remedy="write for instance --labels liver=1,spleen=2",
    )


def _check_paths(truth: Path, prediction: Path) -> None:
    for path in (truth, prediction):
        if not path.exists():
            raise DataError(
                "A path to score is absent",
                where=path.as_posix(),
                expected="a label map or a folder of label maps",
                found="nothing",
                remedy="check the spelling",
            )
    if truth.is_dir() != prediction.is_dir():
        folder, file = (truth, prediction) if truth.is_dir() else (prediction, truth)
        raise DataError(
            "A folder cannot be scored against a file",
            where=folder.as_posix(),
            expected="two label maps or two folders",
            found=f"a folder beside the file {file.as_posix()}",
            remedy="name a label map in the folder, or the folder of the file",
        )


def _label_maps(folder: Path) -> dict[str, Path]:
    """Label maps by case."""
    paths = sorted(path for path in folder.iterdir() if path.name.endswith((".nii", ".nii.gz")))
    found = {_case(path): path for path in paths}
    if len(found) < len(paths) or not found:
        twice = sorted({_case(path) for path in paths if path not in found.values()})
        raise DataError(
            "A case has two label maps" if twice else "There is nothing to score",
            where=folder.as_posix(),
            expected="label maps named *.nii.gz or *.nii, one for each case",
            found=f"{', '.join(twice)} with both endings" if twice else "none",
            remedy="remove one of the files" if twice else "name the folder that holds the label maps",
        )
    return found


def _case(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _score_files(truth_path: Path, prediction_path: Path | None, wanted: Wanted) -> list[Scored]:
    from parallax.data.volumes import check_same_grid

    case, truth = _case(truth_path), _read(truth_path)
    if prediction_path is None:
        names = _names(wanted, truth)
        reason = f"no prediction is named {case}"
        return [
            _row(case, name, metric, math.nan, "failed", wanted, reason)
            for name, metric in _cells(names, wanted)
        ]
    prediction = _read(prediction_path)
    check_same_grid(truth, prediction, f"{truth_path.as_posix()} and {prediction_path.as_posix()}")
    names = _names(wanted, truth, prediction)
    scores = score_label_maps(
        truth.array,
        prediction.array,
        names,
        truth.spacing_mm,
        diagonal_mm(truth.array.shape, truth.spacing_mm),
        None if wanted.tolerance_mm is None else dict.fromkeys(names, wanted.tolerance_mm),
        pooled=wanted.pooled,
    )
    return [
        _row(case, name, metric, scores[name].values[metric], scores[name].status, wanted)
        for name, metric in _cells(names, wanted)
    ]


def _read(path: Path) -> Volume:
    from parallax.data.label_values import integers
    from parallax.data.volumes import load_volume

    volume = load_volume(path)
    values: NDArray[Any] = integers(volume.array, path)
    least, most = (int(values.min()), int(values.max())) if values.size else (0, 0)
    array = values.astype(np.uint16) if least >= 0 and most <= LARGEST_LABEL else None
    if array is None or len(labels_in(array)) > MOST_LABELS:
        count = "" if array is None else f" with {len(labels_in(array))} labels"
        raise DataError(
            "A file does not look like a label map",
            where=path.as_posix(),
            expected=f"at most {MOST_LABELS} labels with values from 0 (background) to {LARGEST_LABEL}",
            found=f"values from {least} to {most}{count}",
            remedy="name the label map, not the image",
        )
    return Volume(array, volume.affine)


def _names(wanted: Wanted, *volumes: Volume) -> Mapping[str, int]:
    if wanted.names is not None:
        return wanted.names
    found = {label for volume in volumes for label in labels_in(volume.array)}
    return {f"label {label}": label for label in sorted(found)}


def _cells(names: Mapping[str, int], wanted: Wanted) -> list[tuple[str, str]]:
    return [(name, metric) for name in names for metric in wanted.metrics]


def _row(
    case: str, structure: str, metric: str, value: float, status: str, wanted: Wanted, reason: str = ""
) -> Scored:
    tolerance_mm = wanted.tolerance_mm if metric == "nsd" and wanted.tolerance_mm else math.nan
    return dict(zip(_COLUMNS, (case, structure, metric, value, tolerance_mm, status, reason), strict=True))


def _some(names: Mapping[str, Path]) -> str:
    return ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
