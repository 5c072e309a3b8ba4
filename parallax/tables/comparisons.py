"""Methods against a reference, condition by condition: what the statistics tables and their CSV hold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from parallax.score.stats.crossed import crossed
from parallax.score.stats.inference import ALPHA, cases_needed, false_claim, holm, signed_rank
from parallax.score.stats.paired import RUN, Paired, case_runs, pair
from parallax.score.stats.ranks import Ranking, rank_methods
from parallax.score.stats.separation import separation
from parallax.score.stats.spread import LEAST_CASES, bootstrap_interval, generator_for
from parallax.tables.layout import Context
from parallax.tables.summary import CONDITION, CONTENDER, conditions

Contender = tuple[str, ...]

#: The verdicts on a comparison.
BETTER, WORSE, OPEN, FEW = "better", "worse", "not separable", "too few cases"


@dataclass(frozen=True)
class Entry:
    """A method at a condition, and the reference that it is set against (empty where there is none)."""

    dataset: str
    misalignment: str
    label_fraction: float
    annotation: str
    method: str
    preset: str
    adapter: str
    pretraining: str
    checkpoint_rule: str
    reference: str


@dataclass(frozen=True)
class Comparison(Entry):
    """One method against the reference at one condition. Differences are method minus reference.

    NaN where there are fewer than six cases. `low` and `high` take the trained networks as given;
    `runs_low` and `runs_high` take them as a sample too, and are NaN where there is only one training.
    `p_holm` is corrected over all methods of the condition.
    """

    metric: str
    cases: int
    only_method: int
    only_reference: int
    runs: int
    seeds: int
    difference: float
    low: float
    high: float
    runs_low: float
    runs_high: float
    p: float
    p_holm: float
    effect: float
    zeros: int
    false_claim: float
    verdict: str


@dataclass(frozen=True)
class Comparisons:
    """All that is said about one condition; `contenders` belong to `ranking`, highest mean first."""

    condition: tuple[Any, ...]
    reference: str
    wanted: str
    rows: tuple[Comparison, ...]
    contenders: tuple[Contender, ...]
    cases: int
    ranking: Ranking | None
    first_false: float
    first_ahead: bool
    between: float
    within: float

    @property
    def needed(self) -> int:
        """Cases that it takes to compare so many methods at all."""
        return cases_needed(len(self.contenders) - 1)


def compare(table: pd.DataFrame, context: Context, metric: str = "dice") -> list[Comparisons]:
    """Comparisons of every condition of a dataset that may be ranked. Controls are left out."""
    kept = table[~table["method"].isin(context.controls) & ~table["dataset"].isin(context.unranked)]
    return [_compare(key, rows, context, metric) for key, rows in conditions(kept)]


def compared_frame(found: Sequence[Comparisons]) -> pd.DataFrame:
    """All comparisons, unrounded, for CSV."""
    return pd.DataFrame(
        [asdict(row) for one in found for row in one.rows], columns=list(Comparison.__dataclass_fields__)
    )


def ranked_frame(found: Sequence[Comparisons]) -> pd.DataFrame:
    """All ranks, unrounded, for CSV; conditions with too few cases have none."""
    columns = [*CONDITION, *CONTENDER, "cases", "rank", "rank_low", "rank_high", "tau_median", "tau_low"]
    rows = [
        (*one.condition, *contender, one.cases, rank, low, high, one.ranking.tau_median, one.ranking.tau_low)
        for one in found
        if one.ranking
        for contender, rank, low, high in zip(
            one.contenders, one.ranking.ranks, one.ranking.low, one.ranking.high, strict=True
        )
    ]
    return pd.DataFrame(rows, columns=columns)


def find_reference(contenders: Sequence[Contender], wanted: str) -> Contender | None:
    """The contender that `NAME` or `NAME:PRESET` means, else `supervised`, else None."""
    for name in (wanted, "supervised"):
        method, _, preset = name.partition(":")
        found = [c for c in contenders if c[0] == method and c[1] == (preset or "paper")]
        if found:
            return min(found, key=lambda c: (c[4] != "last", c[3] != "none", c))
    return None


def _compare(key: tuple[Any, ...], rows: pd.DataFrame, context: Context, metric: str) -> Comparisons:
    values = {
        tuple(map(str, contender)): case_runs(own, metric)
        for contender, own in rows.groupby(list(CONTENDER), sort=True)
    }
    values = {contender: frame for contender, frame in values.items() if frame.notna().any(axis=None)}
    reference = find_reference(list(values), context.reference)
    found = list(_rows(key, values, reference, metric)) if reference else []
    means = pd.DataFrame({contender: frame.mean(axis=1) for contender, frame in values.items()})
    complete = means.dropna()
    order = sorted(values, key=lambda contender: (-complete[contender].mean(), contender))
    rng = generator_for(("ranks", *key, metric))
    enough = len(values) > 1 and len(complete) >= cases_needed(len(values) - 1)
    between, within = _separation(rows, metric)
    first_false, first_ahead = _first(values, order)
    return Comparisons(
        condition=key,
        reference=name_of(reference) if reference else "",
        wanted=context.reference,
        rows=tuple(found),
        contenders=tuple(order),
        cases=len(complete),
        ranking=rank_methods(complete[order].to_numpy(), rng) if enough else None,
        first_false=first_false,
        first_ahead=first_ahead,
        between=between,
        within=within,
    )


def name_of(contender: Contender) -> str:
    """`NAME`, or `NAME:PRESET` where that is not the default."""
    return contender[0] if contender[1] == "paper" else f"{contender[0]}:{contender[1]}"


def _rows(
    key: tuple[Any, ...], values: dict[Contender, pd.DataFrame], reference: Contender, metric: str
) -> Iterator[Comparison]:
    others = [contender for contender in values if contender != reference]
    pairs = {contender: pair(values[contender], values[reference]) for contender in others}
    known = dict(zip(CONDITION, key, strict=True)) | {"reference": name_of(reference), "metric": metric}
    made = [
        _row(paired, known | dict(zip(CONTENDER, contender, strict=True)))
        for contender, paired in pairs.items()
    ]
    needed = cases_needed(len(made))
    for row, p in zip(made, holm([row.p for row in made]), strict=True):
        yield replace(row, p_holm=p, verdict=_verdict(replace(row, p_holm=p), needed))


def _row(paired: Paired, known: dict[str, Any]) -> Comparison:
    nan, cases = math.nan, len(paired.cases)
    counts = {name: getattr(paired, name) for name in ("only_method", "only_reference", "runs", "seeds")}
    difference = float(paired.per_case.mean()) if cases else nan
    row = Comparison(
        **known, **counts, cases=cases, difference=difference, low=nan, high=nan, runs_low=nan, runs_high=nan,
        p=nan, p_holm=nan, effect=nan, zeros=0, false_claim=nan, verdict=FEW,
    )  # fmt: skip
    if cases < LEAST_CASES:
        return row
    low, high = bootstrap_interval(paired.differences, generator_for(tuple(map(str, known.values()))))
    runs_low, runs_high = crossed(paired.by_training).interval()
    test = signed_rank(paired.per_case)
    return replace(
        row, low=low, high=high, runs_low=runs_low, runs_high=runs_high, p=test.p, effect=test.effect,
        zeros=test.zeros, false_claim=false_claim(paired.per_case),
    )  # fmt: skip


def _verdict(row: Comparison, needed: int) -> str:
    if row.cases < needed:
        return FEW
    sided = [(row.low, row.high), (row.runs_low, row.runs_high)]
    # NaN, where one training is all there is, touches nothing
    touches_zero = any(low <= 0 <= high for low, high in sided)
    if touches_zero or row.p_holm > ALPHA or row.false_claim > ALPHA:
        return OPEN
    return BETTER if row.difference > 0 else WORSE


def _first(values: dict[Contender, pd.DataFrame], order: Sequence[Contender]) -> tuple[float, bool]:
    """Risk that the first of the ranking is not better than the second, and whether it is called ahead."""
    paired = pair(values[order[0]], values[order[1]]) if len(order) > 1 else None
    if paired is None or len(paired.cases) < LEAST_CASES:
        return math.nan, False
    risk = false_claim(paired.per_case)
    low, _ = crossed(paired.by_training).interval()
    return risk, risk <= ALPHA and not low <= 0


def _separation(rows: pd.DataFrame, metric: str) -> tuple[float, float]:
    own = rows[(rows["metric"] == metric) & rows["value"].notna()]
    if own.empty:
        return math.nan, math.nan
    contender = own.groupby(list(CONTENDER)).ngroup()
    found = separation(own.assign(method=contender), ["dataset"], RUN)
    between, within = found[["between", "within"]].to_numpy(dtype=np.float64)[0]
    return float(between), float(within)
