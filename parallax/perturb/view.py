"""A training view whose label maps are annotated as the configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.case import IGNORE
from parallax.data.files import read_json
from parallax.data.store import Part, grid_from_json, read_part, write_train_view
from parallax.errors import DataError
from parallax.perturb.annotate import apply, check_dice, draw_cases, mean_dice, realised_dice
from parallax.perturb.annotation import Annotation
from parallax.perturb.level import case_rng
from parallax.perturb.masks import Spacing


def write_annotated_view(
    data: Path, subset: Mapping[str, list[str]], name: str, annotation: Annotation, seed: int, folder: Path
) -> None:
    """Make the folder that a method is trained from, with `annotations.json`: what was drawn and reached.

    A case of which nothing is left known counts as unlabelled, and its mask is not in the folder.

    Args:
        data: a misaligned train part.
        subset: `labelled` and `unlabelled` case ids.
        name: name of the annotation; with seed, dataset and case it decides what a case loses.
        annotation: what is asked for.
        seed: of the split.
        folder: where the view goes (replaced as a whole).

    Raises:
        DataError: a Dice that was asked for is out of reach, or no case keeps anything known.
    """
    part = read_part(data)
    spacings = _spacings(data, subset["labelled"])
    labels = {case: lambda case=case: _label(data, case) for case in subset["labelled"]}
    drawn = draw_cases(
        labels,
        annotation,
        part.task,
        spacings,
        lambda case: case_rng(seed, part.task.name, case, f"annotation {name}"),
    )
    left = {case: apply(_label(data, case), p, part.task, spacings[case]) for case, p in drawn.items()}
    left = {case: label for case, label in left.items() if (label != IGNORE).any()}
    dice = {case: realised_dice(_label(data, case), drawn[case], part.task, spacings[case]) for case in left}
    _check_any(part, name, list(left))
    check_dice(annotation, mean_dice(list(dice.values())), f"annotation {name}, {part.task.name}")
    bare = [case for case in subset["labelled"] if case not in left]
    notes = {
        "name": name,
        "annotation": annotation.model_dump(exclude_none=True),
        "mean_dice": mean_dice(list(dice.values())),
        "left_without_labels": bare,
        "cases": {case: {"parameters": drawn[case].to_json(), "dice": dice[case]} for case in left},
    }
    labelled = [case for case in subset["labelled"] if case in left]
    write_train_view(data, labelled, [*subset["unlabelled"], *bare], folder, redrawn=left, notes=notes)


def _label(data: Path, case: str) -> NDArray[np.uint8]:
    array: NDArray[np.uint8] = np.load(data / "arrays" / f"{case}.label.npy", allow_pickle=False)
    return array


def _spacings(data: Path, cases: list[str]) -> dict[str, Spacing]:
    frames: Mapping[str, Any] = read_json(data / "frames.json")
    return {case: grid_from_json(frames[case]["common"]).spacing_mm for case in cases}


def _check_any(part: Part, name: str, labelled: list[str]) -> None:
    if not labelled:
        raise DataError(
            "An annotation leaves no label at all",
            where=f"annotation {name}, {part.task.name}",
            expected="at least one labelled case that keeps something known",
            found="none",
            remedy="raise the label fraction, or keep more modalities",
        )
