"""From the tidy table to one line per dataset, condition and method: the numbers of tables and figures."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from parallax.score.runs import CEILING
from parallax.score.stats.spread import Values, generator_for, spread
from parallax.tables.group import Group, group_of, mean_and_sd_over_cases

#: What makes a condition, and what makes a row inside it.
CONDITION = ("dataset", "misalignment", "label_fraction", "annotation")
CONTENDER = ("method", "preset", "adapter", "pretraining", "checkpoint_rule")

#: Reference points that are no methods, in the order in which tables show them.
CONTROLS = ("oracle", "mean_shape", "shuffled", "empty")


@dataclass(frozen=True)
class Line:
    """One method at one condition (or at one modality and structure of it). NaN or 0 where nothing is known.

    `available` is empty where each case was given with all the modalities that it has.

    HD95 is summarised over single values (case x modality x structure x run): median over all that count,
    mean and SD over those where both masks exist, and how many were missed or false positives.
    `nsd_tolerance_mm` is one number, or `1.5 (aorta, liver), 1 (spleen)` where structures differ.
    """

    dataset: str
    pairing: str
    misalignment: str
    label_fraction: float
    annotation: str
    shift_mm: float
    modality: str
    structure: str
    available: str
    method: str
    preset: str
    adapter: str
    pretraining: str
    checkpoint_rule: str
    runs: int
    runs_failed: int
    cases: int
    cases_given: int
    dice_mean: float
    dice_sd_cases: float
    dice_low: float
    dice_high: float
    dice_least: float
    dice_most: float
    dice_sd_runs: float
    ceiling_mean: float
    nsd_mean: float
    nsd_sd_cases: float
    nsd_tolerance_mm: str
    hd95_median_mm: float
    hd95_found_mean_mm: float
    hd95_found_sd_mm: float
    assd_found_mean_mm: float
    counted: int
    missed: int
    false_positive: int
    both_empty: int
    failed: int
    status: str
    reason: str


def summarise(table: pd.DataFrame) -> list[Line]:
    """One line per dataset, condition and method, skipped ones included, over all modalities and structures.

    Conditions in which every method was skipped are left out here; `skipped` lists them.
    """
    return [
        line
        for condition, rows in conditions(table)
        for line in (*_lines(rows, "", ""), *_skipped_lines(table, condition, rows))
    ]


def summarise_by_structure(table: pd.DataFrame) -> list[Line]:
    """One line per dataset, condition, modality, structure and method."""
    return [
        line
        for _, condition_rows in conditions(table)
        for (modality, structure), rows in condition_rows.groupby(["modality", "structure"], sort=True)
        for line in _lines(rows, str(modality), str(structure))
    ]


def summarise_by_given(table: pd.DataFrame) -> list[Line]:
    """One line per dataset, condition, modality, set of modalities given at test, and method.

    Over the cases that were also tested with modalities left out; empty where none were.
    """
    done = table[table["status"] != "skipped"]
    sets = done.groupby(["dataset", "case"])["available"].transform("nunique")
    return [
        line
        for _, condition_rows in _grouped(done[sets > 1])
        for (modality, given), rows in condition_rows.groupby(["modality", "available"], sort=True)
        for line in _lines(rows, str(modality), "", str(given))
    ]


def with_all_modalities(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of cases that were given with every modality that they have, and those of skipped runs."""
    given = table["available"].str.count(r"\+")
    most = given.groupby([table["dataset"], table["case"]]).transform("max")
    return table[given == most]


def skipped(table: pd.DataFrame) -> pd.DataFrame:
    """What was not run and why: one row per dataset, misalignment, label fraction, method and reason."""
    columns = [*CONDITION, "method", "preset", "reason"]
    return table.loc[table["status"] == "skipped", columns].drop_duplicates().reset_index(drop=True)


def failures(table: pd.DataFrame) -> pd.DataFrame:
    """What failed and why: one row per run and reason, with the number of Dice values that are missing."""
    columns = [*CONDITION, "label_draw", "method", "preset", "seed", "reason"]
    rows = table[(table["status"] == "failed") & (table["metric"] == "dice")]
    return rows.groupby(columns, sort=True).size().rename("values").reset_index()


def conditions(table: pd.DataFrame) -> list[tuple[Any, pd.DataFrame]]:
    """Conditions with their rows: by dataset, most labels first, then least shift first."""
    return _grouped(with_all_modalities(table[table["status"] != "skipped"]))


def _grouped(done: pd.DataFrame) -> list[tuple[Any, pd.DataFrame]]:
    def place(item: tuple[Any, pd.DataFrame]) -> tuple[Any, ...]:
        (dataset, misalignment, fraction, annotation), rows = item
        return (dataset, -fraction, rows["shift_mm"].mean(), misalignment, annotation != "full", annotation)

    return sorted(done.groupby(list(CONDITION), sort=True), key=place)


def _lines(rows: pd.DataFrame, modality: str, structure: str, given: str = "") -> Iterator[Line]:
    shift_mm = float(rows.drop_duplicates("case")["shift_mm"].mean())
    place = {"shift_mm": shift_mm, "modality": modality, "structure": structure, "available": given}
    for contender, own in rows.groupby(list(CONTENDER), sort=True):
        yield _line(own, contender, place)


def _line(rows: pd.DataFrame, contender: tuple[Hashable, ...], place: Mapping[str, Any]) -> Line:
    values: dict[str, Any] = {**place, **{name: rows[name].iloc[0] for name in (*CONDITION, "pairing")}}
    values |= {name: str(value) for name, value in zip(CONTENDER, contender, strict=True)}
    names = ("dataset", "misalignment", "label_fraction", *CONTENDER, "modality", "structure")
    # what is ordinary does not count: the intervals of a run shall not depend on what else could vary
    rare = [str(v) for v in (values["annotation"], values["available"]) if v not in ("full", "")]
    key = [*(str(values[name]) for name in names), *rare]
    group = group_of(rows)
    dice = asdict(spread(group.by_case("dice"), generator_for(key)))
    values |= {"cases": dice.pop("cases"), "cases_given": group.cases}
    values |= {f"dice_{name}": value for name, value in dice.items()}
    nsd_mean, nsd_sd_cases = mean_and_sd_over_cases(group.by_case("nsd"))
    values |= {"nsd_mean": nsd_mean, "nsd_sd_cases": nsd_sd_cases, "nsd_tolerance_mm": group.tolerances()}
    values |= {"ceiling_mean": _mean(group.values(CEILING))}
    return Line(**values, **_boundary(group), **_counts(group), **_outcome(group))


def _outcome(group: Group) -> dict[str, Any]:
    """How many runs there are, how many of them gave nothing at all, and why."""
    own = group.metric != CEILING
    failed = group.status == "failed"
    runs, whole = set(group.run[own].tolist()), set(group.run[own & ~failed].tolist())
    return {
        "runs": len(runs),
        "runs_failed": len(runs - whole),
        "status": "ok" if whole else "failed",
        "reason": " / ".join(sorted(set(group.reason[own & failed]))),
    }


def _boundary(group: Group) -> dict[str, Any]:
    hd95, found, assd = (
        group.values("hd95_mm"),
        group.values("hd95_mm", ["ok"]),
        group.values("assd_mm", ["ok"]),
    )
    return {
        "hd95_median_mm": float(np.median(hd95)) if len(hd95) else math.nan,
        "hd95_found_mean_mm": _mean(found),
        "hd95_found_sd_mm": float(np.std(found, ddof=1)) if len(found) > 1 else math.nan,
        "assd_found_mean_mm": _mean(assd),
    }


def _mean(values: Values) -> float:
    return float(values.mean()) if len(values) else math.nan


def _counts(group: Group) -> dict[str, Any]:
    """Numbers of values (case x modality x structure x run) by status."""
    status = group.status[group.metric == "dice"].tolist()
    names = ("missed", "false_positive", "both_empty", "failed")
    counted = sum(one in ("ok", "missed", "false_positive") for one in status)
    return {name: status.count(name) for name in names} | {"counted": counted}


def _skipped_lines(table: pd.DataFrame, condition: Any, rows: pd.DataFrame) -> Iterator[Line]:
    """Lines for the methods that were skipped at a condition at which others ran."""
    dataset, misalignment, fraction, annotation = condition
    here = skipped(table)
    here = here[here["annotation"].isin([annotation, ""])]
    here = here[(here["dataset"] == dataset) & here["misalignment"].isin([misalignment, ""])]
    here = here[here["label_fraction"].isna() | (here["label_fraction"] == fraction)]
    ran = set(zip(rows["method"], rows["preset"], strict=True))
    shift_mm = float(rows.drop_duplicates("case")["shift_mm"].mean())
    for (method, preset), own in here.groupby(["method", "preset"], sort=True):
        if (method, preset) not in ran:
            known = {
                "dataset": dataset,
                "misalignment": misalignment,
                "label_fraction": fraction,
                "annotation": annotation,
                "pairing": rows["pairing"].iloc[0],
                "shift_mm": shift_mm,
                "method": method,
                "preset": preset,
                "pretraining": "none",
                "checkpoint_rule": "last",
                "status": "skipped",
                "reason": " / ".join(sorted(set(own["reason"]))),
            }
            yield _empty_line(known)


def _empty_line(known: Mapping[str, Any]) -> Line:
    blanks: dict[str, Any] = {"str": "", "int": 0, "float": math.nan}
    fields = Line.__dataclass_fields__
    return Line(**{name: known.get(name, blanks[str(field.type)]) for name, field in fields.items()})
