"""Which cases the viewer shows: for each condition the test cases by Dice, worst first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import pandas as pd

from parallax.perturb.labels import labels_name
from parallax.tables.layout import Context, condition_name
from parallax.tables.summary import with_all_modalities

_CONDITION = ["dataset", "misalignment", "label_fraction", "annotation"]


@dataclass(frozen=True)
class Shown:
    """One prediction: where it lies below `runs/`, the name of the method, and Dice by modality."""

    key: str
    name: str
    folder: str
    dice: dict[str, float]

    @property
    def mean(self) -> float:
        """Dice over the modalities."""
        return sum(self.dice.values()) / len(self.dice)


@dataclass(frozen=True)
class Place:
    """A test case at one condition, with every method that has predicted it."""

    dataset: str
    misalignment: str
    condition: str
    case: str
    shift_mm: float
    rotation_deg: float
    predictions: tuple[Shown, ...]

    @property
    def mean(self) -> float:
        """Dice over all methods: how hard the case is."""
        return sum(one.mean for one in self.predictions) / len(self.predictions)


def worst_first(table: pd.DataFrame, context: Context) -> list[Place]:
    """The worst case of every condition, then the second worst of every condition, and so on.

    Controls are left out. Where there are several label draws and seeds, the first of each method is shown.
    """
    scores = with_all_modalities(table)
    scores = scores[(scores["metric"] == "dice") & scores["value"].notna()]
    scores = scores[~scores["method"].isin(context.controls)]
    conditions = [_of_condition(own, context) for _, own in scores.groupby(_CONDITION, sort=True)]
    return [place for rank in zip_longest(*conditions) for place in rank if place is not None]


def _of_condition(scores: pd.DataFrame, context: Context) -> list[Place]:
    scores = _first_runs(scores)
    places = [_place(own, context) for _, own in scores.groupby("case", sort=True)]
    return sorted(places, key=lambda place: place.mean)


def _first_runs(scores: pd.DataFrame) -> pd.DataFrame:
    order = scores[["method", "preset", "label_draw", "seed"]].drop_duplicates()
    first = order.sort_values(["label_draw", "seed"]).drop_duplicates(["method", "preset"])
    return scores.merge(first)


def _place(scores: pd.DataFrame, context: Context) -> Place:
    row: Any = next(scores.itertuples())
    return Place(
        row.dataset,
        row.misalignment,
        condition_name(row.label_fraction, row.misalignment, row.annotation),
        row.case,
        float(scores["shift_mm"].max()),
        float(scores["rotation_deg"].max()),
        tuple(_predictions(scores, context)),
    )


def _predictions(scores: pd.DataFrame, context: Context) -> Iterator[Shown]:
    for _, own in scores.groupby(["method", "preset"], sort=False):
        row: Any = next(own.itertuples())
        labels = labels_name(row.label_fraction, row.label_draw, row.annotation)
        folder = f"{row.dataset}/{row.misalignment}/{labels}/{row.method}/{row.preset}-s{row.seed}"
        dice = own.groupby("modality")["value"].mean()
        yield Shown(
            f"{row.method}:{row.preset}",
            context.name(row.method, row.preset),
            folder,
            {str(name): float(value) for name, value in dice.items()},
        )
