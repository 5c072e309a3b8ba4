"""Verdicts on claims, from the tidy table alone: supported, contradicted, undecided, or not tested."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from parallax.claims.claim import Claim
from parallax.claims.trials import (
    CONTRADICTED,
    EVIDENCE,
    SUPPORTED,
    UNDECIDED,
    UNTESTED,
    Part,
    is_about,
    trials,
)
from parallax.score.stats.crossed import Crossed, crossed
from parallax.score.stats.inference import ALPHA, cases_needed, equivalent, holm, signed_rank
from parallax.score.stats.paired import Paired
from parallax.score.stats.spread import bootstrap_interval, generator_for
from parallax.tables.layout import Context
from parallax.tables.summary import with_all_modalities

#: Least number of training seeds behind a statement about a method rather than about trained networks.
LEAST_SEEDS = 2


@dataclass(frozen=True)
class Verdict:
    """A claim, what the run says of it, its parts, and every value behind it (one row per case and run)."""

    claim: Claim
    verdict: str
    reason: str
    more: str
    parts: tuple[Part, ...]
    evidence: pd.DataFrame

    @property
    def tested(self) -> tuple[Part, ...]:
        """The parts that have values."""
        return tuple(part for part in self.parts if part.verdict != UNTESTED)


def judge(claims: Sequence[Claim], table: pd.DataFrame, context: Context) -> list[Verdict]:
    """The verdict on every claim. Datasets that the run does not rank count for none."""
    return [_judge(claim, table, context) for claim in claims]


def parts_frame(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Every part of every claim, unrounded, for CSV."""
    about = ("sentence", "source", "kind", "method", "metric", "margin")
    rows = [
        asdict(part) | {name: getattr(verdict.claim, name) for name in about} | {"overall": verdict.verdict}
        for verdict in verdicts
        for part in verdict.parts
    ]
    return pd.DataFrame(rows, columns=[*Part.__dataclass_fields__, "overall", *about])


def evidence_frame(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Every value behind the verdicts: claim, method, condition, case and run, for CSV."""
    frames = [verdict.evidence for verdict in verdicts if len(verdict.evidence)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=EVIDENCE)


def _judge(claim: Claim, table: pd.DataFrame, context: Context) -> Verdict:
    own = with_all_modalities(table[table["metric"].isin([claim.metric, ""])])
    names = [name for name in sorted(set(own["dataset"])) if is_about(claim, name)]
    ranked = [name for name in names if name not in context.unranked]
    made = [trial for name in ranked for trial in trials(claim, own[own["dataset"] == name], name)]
    parts = _corrected(claim, [_measured(claim, one.part, one.paired) for one in made])
    frames = [one.evidence for one in made if len(one.evidence)]
    evidence = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=EVIDENCE)
    verdict, reason, more = _overall(parts)
    if not ranked:
        reason = "the run has no dataset for it" if not names else "its datasets are not ranked by the run"
    return Verdict(claim, verdict, reason, more, tuple(parts), evidence)


def _measured(claim: Claim, part: Part, paired: Paired | None) -> Part:
    if paired is None:
        return part
    values = paired.per_case
    trained = crossed(paired.by_training)
    mean = float(values.mean())
    bound = _bound(claim, mean)
    p = trained.p(bound) if paired.seeds >= LEAST_SEEDS else signed_rank(values - bound).p
    part = replace(part, cases=len(values), seeds=paired.seeds, runs=paired.runs, difference=mean, p=p)
    if claim.kind == "equivalence" and not np.any(paired.differences[np.isfinite(paired.differences)]):
        same = replace(part, low=0.0, high=0.0, leans=SUPPORTED, verdict=SUPPORTED)
        return replace(same, reason="equal to the last digit in every case and run")
    if part.cases < cases_needed(1):
        reason = f"{part.cases} cases; {cases_needed(1)} are the least that can decide"
        return replace(part, verdict=UNDECIDED, reason=reason, more=f"{cases_needed(1)} cases or more")
    return _decided(claim, part, paired, trained)


def _decided(claim: Claim, part: Part, paired: Paired, trained: Crossed) -> Part:
    """A part with enough cases: what they say of the trained networks, then what all say of the method."""
    key = (part.claim, part.dataset, part.reference, part.modality)
    low, high = bootstrap_interval(paired.differences, generator_for(key))
    part = replace(
        part, low=low, high=high,
        leans=_side(claim, low, high, equivalent(paired.per_case, claim.margin) <= ALPHA),
    )  # fmt: skip
    if part.seeds < LEAST_SEEDS:
        return _of_these_networks(claim, part)
    if not math.isfinite(trained.error):
        return replace(
            part, verdict=UNDECIDED, reason="no two cases that every training has", more="runs that failed"
        )
    low, high = trained.interval()
    inner = trained.interval(1 - 2 * ALPHA)
    part = replace(part, low=low, high=high)
    verdict = _side(claim, low, high, -claim.margin < inner[0] and inner[1] < claim.margin)
    if verdict != UNDECIDED:
        return replace(part, verdict=verdict)
    more = "more seeds or label draws" if part.leans != UNDECIDED else _more_cases(claim, part)
    return replace(part, verdict=UNDECIDED, reason=_open_reason(claim), more=more)


def _of_these_networks(claim: Claim, part: Part) -> Part:
    """A part with fewer than two seeds: whatever the cases say, it is said of the trained networks alone."""
    part = replace(part, verdict=UNDECIDED)
    if part.leans == UNDECIDED:
        return replace(part, reason=_open_reason(claim), more=_more_cases(claim, part))
    alone = "one seed: it holds for these trained networks"
    return replace(
        part, reason=alone if part.seeds else "no seed that both sides have", more="a second seed or more"
    )


def _bound(claim: Claim, mean: float) -> float:
    """The value of the difference that a claim turns on."""
    if claim.kind == "equivalence":
        return math.copysign(claim.margin, mean)
    return -claim.margin


def _side(claim: Claim, low: float, high: float, within: bool) -> str:
    """What a 95 % interval says; `within` is the answer of two one-sided tests (equivalence)."""
    if claim.kind == "equivalence":
        if within:
            return SUPPORTED
        return CONTRADICTED if low > claim.margin or high < -claim.margin else UNDECIDED
    if low > -claim.margin:
        return SUPPORTED
    return CONTRADICTED if high < -claim.margin else UNDECIDED


def _open_reason(claim: Claim) -> str:
    points = f"{100 * claim.margin:g} Dice point" + ("" if claim.margin == 0.01 else "s")
    if claim.kind == "equivalence":
        return f"the interval reaches beyond {points}"
    return f"the interval includes a loss of {points}" if claim.margin else "the interval includes zero"


def _more_cases(claim: Claim, part: Part) -> str:
    """Cases at which an interval that shrinks with their root would leave out the bound."""
    distance = abs(part.difference - _bound(claim, part.difference))
    factor = ((part.high - part.low) / 2 / distance) ** 2 if distance > 1e-12 else math.inf
    cases = math.ceil(part.cases * factor) if factor < 1e6 else 0
    if not 0 < cases <= 1000:
        return "more than 1000 cases at this difference"
    return f"about {max(cases, part.cases + 1)} cases at this difference"


def _corrected(claim: Claim, parts: Sequence[Part]) -> list[Part]:
    """Parts with p corrected over all: any one part can contradict a claim, the more the sooner by chance."""
    made = []
    for part, p in zip(parts, holm([part.p for part in parts]), strict=True):
        part = replace(part, p_holm=p)
        if part.verdict == CONTRADICTED and not p <= ALPHA:
            reason = f"contradicted, but not after correction for {len(parts)} comparisons"
            part = replace(part, verdict=UNDECIDED, reason=reason, more=_more_cases(claim, part))
        made.append(part)
    return made


def _overall(parts: Sequence[Part]) -> tuple[str, str, str]:
    """Verdict, reason and what more is needed, over all parts.

    Supported takes every tested part (an intersection-union test, which needs no correction); contradicted
    takes one, and none on another dataset that supports the claim altogether.
    """
    tested = [part for part in parts if part.verdict != UNTESTED]
    if not tested:
        return UNTESTED, _distinct(part.reason for part in parts), ""
    by_dataset = {name: [p for p in tested if p.dataset == name] for name in {p.dataset for p in tested}}
    against = {name for name, own in by_dataset.items() if any(p.verdict == CONTRADICTED for p in own)}
    for_it = {name for name, own in by_dataset.items() if all(p.verdict == SUPPORTED for p in own)}
    if len(for_it) == len(by_dataset):
        left_out = _distinct(part.reason for part in parts if part.verdict == UNTESTED)
        return SUPPORTED, _distinct(part.reason for part in tested) or left_out, ""
    if against and not for_it:
        return CONTRADICTED, "", ""
    if against:
        names = f"supported on {', '.join(sorted(for_it))}, contradicted on {', '.join(sorted(against))}"
        return UNDECIDED, f"the datasets disagree: {names}", "another dataset"
    open_parts = [part for part in tested if part.verdict == UNDECIDED]
    return (
        UNDECIDED,
        _distinct(part.reason for part in open_parts),
        _distinct(part.more for part in open_parts),
    )


def _distinct(texts: Iterable[str]) -> str:
    """Each clause of some texts once, in order."""
    return "; ".join(dict.fromkeys(clause for text in texts for clause in text.split("; ") if clause))
