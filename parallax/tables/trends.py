"""Trends of Dice with shift and with labels, by method: what the trend tables and their CSV hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from parallax.score.stats.paired import RUN
from parallax.score.stats.robustness import Robustness, robustness
from parallax.score.stats.spread import generator_for
from parallax.score.stats.trend import Trend, fit_trend
from parallax.tables.comparisons import Contender, Entry, find_reference, name_of
from parallax.tables.layout import Context
from parallax.tables.summary import CONDITION, CONTENDER, with_all_modalities

#: Families of misalignment whose size is no distance in mm.
_NO_DISTANCE = ("fov", "spacing", "subject")


@dataclass(frozen=True)
class MethodTrend(Entry):
    """One method along one axis: `shift` (x in mm) or `labels` (x is log2 of the label fraction).

    `family` is that of the misalignment (`shift`); `misalignment` is the level held fixed (`labels`), as
    `label_fraction` is for `shift`. Slopes are Dice per unit of x. `against` is the slope of the paired
    difference to the reference: the interaction. `curve` is None along labels.
    """

    along: str
    family: str
    own: Trend
    against: Trend | None
    curve: Robustness | None


def trends(table: pd.DataFrame, context: Context) -> list[MethodTrend]:
    """Trends of every dataset, along shift and along labels, where there are two levels of it or more."""
    kept = with_all_modalities(table[table["status"] != "skipped"])
    kept = kept[(kept["metric"] == "dice") & ~kept["method"].isin(context.controls)]
    points = _points(kept).assign(family=lambda frame: _family(frame["misalignment"], context))
    return [*_along_shift(points, context), *_along_labels(points, context)]


def to_frame(found: Iterable[MethodTrend]) -> pd.DataFrame:
    """The numbers of all trends, unrounded, for CSV."""
    return pd.DataFrame([_flat(trend) for trend in found])


def _points(dice: pd.DataFrame) -> pd.DataFrame:
    """Dice by condition, method, case and run; a case that failed in part is left out."""
    keys = [*CONDITION, *CONTENDER, "case", *RUN]
    lost = (dice["status"] == "failed").groupby([dice[key] for key in keys]).transform("any")
    found = dice[~lost].groupby(keys, sort=True)[["value", "shift_mm"]].mean().dropna().reset_index()
    run = found["label_draw"].astype(str) + "/" + found["seed"].astype(str)
    return found.assign(run=run).rename(columns={"value": "y"})


def _family(levels: pd.Series[str], context: Context) -> pd.Series[str]:
    return levels.map(lambda level: context.families.get(level, "shift"))


def _along_shift(points: pd.DataFrame, context: Context) -> Iterator[MethodTrend]:
    aligned = points["shift_mm"].groupby([points["dataset"], points["misalignment"]]).transform("max") == 0
    for (dataset, fraction, annotation), own in points.groupby(["dataset", "label_fraction", "annotation"]):
        here = aligned[own.index]
        moved = own[~here & ~own["family"].isin(_NO_DISTANCE)]
        # a level of another family that moves nothing is not what `aligned` means
        still = own[here & (own["misalignment"] == "aligned")]
        for family, shifted in moved.groupby("family"):
            if not still.empty:
                known = {
                    "dataset": dataset, "along": "shift", "family": family, "misalignment": "",
                    "label_fraction": fraction, "annotation": annotation,
                }  # fmt: skip
                both = pd.concat([still, shifted])
                both = both.assign(level=both["misalignment"], x=both["shift_mm"])
                yield from _by_method(both, known, context)


def _along_labels(points: pd.DataFrame, context: Context) -> Iterator[MethodTrend]:
    for (dataset, level, annotation), own in points.groupby(["dataset", "misalignment", "annotation"]):
        if own["label_fraction"].nunique() > 1:
            known = {
                "dataset": dataset, "along": "labels", "family": "", "misalignment": level,
                "label_fraction": math.nan, "annotation": annotation,
            }  # fmt: skip
            fractions = own["label_fraction"]
            yield from _by_method(own.assign(level=fractions, x=np.log2(fractions)), known, context)


def _by_method(points: pd.DataFrame, known: dict[str, Any], context: Context) -> Iterator[MethodTrend]:
    groups = {tuple(map(str, key)): own for key, own in points.groupby(list(CONTENDER), sort=True)}
    reference = find_reference(list(groups), context.reference)
    for contender, own in groups.items():
        if own["level"].nunique() < 2:
            continue
        key = (*map(str, known.values()), *contender)
        yield MethodTrend(
            **(known | dict(zip(CONTENDER, contender, strict=True))),
            reference=name_of(reference) if reference else "",
            own=fit_trend(own),
            against=_against(own, groups[reference]) if reference and contender != reference else None,
            curve=_curve(own, key) if known["along"] == "shift" and "aligned" in set(own["level"]) else None,
        )


def _against(own: pd.DataFrame, reference: pd.DataFrame) -> Trend:
    """Trend of the differences on identical case, run and level."""
    both = own.merge(reference, on=["case", "run", "level"], suffixes=("", "_reference"))
    return fit_trend(both.assign(y=both["y"] - both["y_reference"]))


def _curve(own: pd.DataFrame, key: Contender) -> Robustness:
    means = own.groupby(["case", "level"])[["y", "x"]].mean().unstack("level")
    return robustness(means["x"].to_numpy(), means["y"].to_numpy(), generator_for(("curve", *key)))


def _flat(trend: MethodTrend) -> dict[str, Any]:
    flat = {name: getattr(trend, name) for name in list(MethodTrend.__dataclass_fields__)[:-3]}
    for prefix, part in (("", trend.own), ("against_", trend.against), ("curve_", trend.curve)):
        flat |= {f"{prefix}{name}": value for name, value in (asdict(part) if part else {}).items()}
    return flat
