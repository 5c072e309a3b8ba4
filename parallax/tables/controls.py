"""Controls guard the tables: a run whose controls leave their bands is scored wrongly, and gets no table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parallax.errors import DataError
from parallax.plugin import load_method, method_cards

if TYPE_CHECKING:
    import pandas as pd

#: Cases that were also trained on, by dataset: what is learned by heart may be perfect.
Overlap = Mapping[str, frozenset[str]]

_CONDITION = ["dataset", "misalignment", "label_fraction", "label_draw", "annotation", "available"]
_PLACE = [*_CONDITION, "case", "modality"]
_VOLUME = "volume_difference_ml"
# Dice from voxel counts, and volumes in mL as sums of floats: equal up to rounding
_ROUNDING = 1e-6
_REMEDY = (
    "the scoring, the label maps or the split is wrong, so no table is written: run `make test` and look at "
    "this case; then delete the folder of this run under results/, and start again"
)


@dataclass(frozen=True)
class Band:
    """What a preset of a control must give in one metric.

    Means over the structures of a case in one modality lie between `least` and `most`; or every value equals
    the metric `same_as`; or every status is one of `statuses`.
    """

    method: str
    preset: str
    metric: str
    least: float = 0.0
    most: float = 0.0
    same_as: str = ""
    statuses: tuple[str, ...] = ()


def declared_bands(root: Path | None = None) -> list[Band]:
    """The bands of every control, as their files declare them in `bands` (preset, metric, limits)."""
    cards = [card for card in method_cards(root).values() if card.control]
    found = []
    for card in cards:
        bands = getattr(load_method(card.name, root), "bands", {})
        for preset, metrics in bands.items():
            found += [_band(card.name, preset, metric, limits) for metric, limits in metrics.items()]
    return found


def read_overlap(splits: Path) -> Overlap:
    """Cases that are in training and in test, from the splits of a run; nothing where there are none."""
    both = {}
    for path in sorted(splits.glob("*.json")):
        split = json.loads(path.read_text(encoding="utf-8"))
        both[path.stem] = frozenset(split["train"]) & frozenset(split["test"])
    return both


def check_controls(scores: pd.DataFrame, overlap: Overlap | None = None) -> None:
    """Raise the first error of `control_errors`; it says how many there are."""
    errors = control_errors(scores, overlap)
    if errors:
        raise errors[0]


def control_errors(scores: pd.DataFrame, overlap: Overlap | None = None) -> list[DataError]:
    """One error for each band that a control left, for controls that failed, and for impossible values."""
    done = scores[scores.status != "skipped"]
    bands = declared_bands()
    errors = [error for band in bands for error in _out_of(band, done, overlap or {})]
    names = sorted({band.method for band in bands})
    failed = done[done.method.isin(names) & (done.status == "failed")].drop_duplicates("method")
    lost = [_error(r, f"Control {r.method} failed", "a value", str(r.reason)) for r in failed.itertuples()]
    return [*errors, *lost, *_impossible(done)]


def _band(method: str, preset: str, metric: str, limits: Any) -> Band:
    if isinstance(limits, str):
        return Band(method, preset, metric, same_as=limits)
    if metric == "status":
        return Band(method, preset, metric, statuses=tuple(limits))
    return Band(method, preset, metric, least=float(limits[0]), most=float(limits[1]))


def _out_of(band: Band, done: pd.DataFrame, overlap: Overlap) -> Iterator[DataError]:
    own = done[(done.method == band.method) & (done.preset == band.preset) & (done.status != "failed")]
    if band.statuses:
        wrong = own[(own.metric == "dice") & ~own.status.isin(band.statuses)]
        expected, value = f"status {' or '.join(band.statuses)}", "status"
    elif band.same_as:
        wrong = _unequal(own, band)
        expected, value = f"the same {band.metric} as {band.same_as}, bit for bit", "pair"
    else:
        wrong = _outside(own[own.metric == band.metric], band, overlap)
        expected, value = f"{band.metric} {_limits(band)}, mean over the structures", "mean"
    if len(wrong):
        first = next(wrong.itertuples())
        count = f" ({len(wrong)} such places)" if len(wrong) > 1 else ""
        found = getattr(first, value)
        told = f"{found:.10g}{count}" if value == "mean" else f"{found}{count}"
        yield _error(first, f"Control {band.method} is out of its band", expected, told)


def _outside(own: pd.DataFrame, band: Band, overlap: Overlap) -> pd.DataFrame:
    """Places whose mean is outside, each as its structure that is farthest off."""
    if band.least < band.most:
        for dataset, cases in overlap.items():
            own = own[(own.dataset != dataset) | ~own.case.isin(cases)]
    own = own[own.value.notna()]
    means = own.groupby(_PLACE)["value"].transform("mean")
    wrong = own.assign(mean=means, off=(own.value - (band.least + band.most) / 2).abs())
    wrong = wrong[~means.between(band.least, band.most)]
    return wrong.sort_values("off", ascending=False, kind="stable").drop_duplicates(_PLACE)


def _unequal(own: pd.DataFrame, band: Band) -> pd.DataFrame:
    from parallax.tables.summary import with_all_modalities

    # what is compared with was computed for cases with all their modalities only
    rows, keys = with_all_modalities(own), [*_PLACE, "structure", "method", "preset"]
    pair = [
        rows[rows.metric == name].drop_duplicates(keys).set_index(keys)["value"].rename(name)
        for name in (band.metric, band.same_as)
    ]
    wide = pair[0].dropna().to_frame().join(pair[1]).reset_index()
    wrong = wide[wide[band.metric] != wide[band.same_as]]
    told = [f"{a} and {b}" for a, b in zip(wrong[band.metric], wrong[band.same_as], strict=True)]
    return wrong.assign(pair=told)


def _impossible(done: pd.DataFrame) -> Iterator[DataError]:
    """A Dice above 2 min(V, W) / (V + W), which no two masks of volumes V and W can reach.

    V is what the control `empty` lacks, so this needs that control; W is V and the volume difference.
    """
    keys = [*_PLACE, "structure"]
    empty = done[(done.method == "empty") & (done.metric == _VOLUME) & done.value.notna()]
    truth = (-empty.drop_duplicates(keys).set_index(keys)["value"]).rename("truth_ml")
    every = [*keys, "method", "preset", "adapter", "pretraining", "checkpoint_rule", "seed"]
    known = done[done.metric.isin(["dice", _VOLUME]) & done.value.notna()]
    wide = known.pivot_table("value", every, "metric", aggfunc="first").reset_index().join(truth, on=keys)
    if "dice" not in wide or _VOLUME not in wide:
        return
    own_ml = wide.truth_ml + wide[_VOLUME]
    bound = 2 * own_ml.clip(upper=wide.truth_ml) / (own_ml + wide.truth_ml)
    wrong = wide.assign(bound=bound)[wide.dice > bound + _ROUNDING]
    for _, rows in wrong.groupby(["method", "preset"]):
        row = next(rows.itertuples())
        what = f"A Dice of {row.method} is larger than the volumes of the two masks allow"
        yield _error(row, what, f"at most {row.bound:.6f}", f"{row.dice} ({len(rows)} such values)")


def _limits(band: Band) -> str:
    return f"of {band.least:g}" if band.least == band.most else f"between {band.least:g} and {band.most:g}"


def _error(row: Any, what: str, expected: str, found: str) -> DataError:
    labels = f"{100 * row.label_fraction:.4g} % labels (draw {row.label_draw})"
    annotation = [] if row.annotation == "full" else [row.annotation]
    place = [
        row.dataset,
        row.misalignment,
        labels,
        *annotation,
        f"case {row.case}",
        row.modality,
        row.structure,
    ]
    where = f"{', '.join(place)}; {row.method}:{row.preset}"
    return DataError(what, where=where, expected=expected, found=found, remedy=_REMEDY)
