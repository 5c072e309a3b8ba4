"""What of a run tests a claim: the values of both sides, paired, and the reason where there are none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import pandas as pd

from parallax.claims.claim import Claim
from parallax.score.stats.paired import Paired, case_runs, difference_of, join, pair

SUPPORTED, CONTRADICTED, UNDECIDED, UNTESTED = "supported", "contradicted", "undecided", "not tested"


@dataclass(frozen=True)
class Part:
    """A claim on one dataset against one reference (and in one modality).

    `difference` is in the direction of the claim: above zero speaks for it (for an equivalence: the method
    minus the reference). `low` and `high` take cases and trainings as samples, with one seed the cases.
    `leans` is what the cases alone say of the trained networks. `reason` says why it is undecided or not
    tested, `more` what would decide it.
    """

    claim: str
    dataset: str
    reference: str
    modality: str
    conditions: str
    cases: int
    seeds: int
    runs: int
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    leans: str
    verdict: str
    reason: str
    more: str


#: Label fraction, level and its mean shift in mm.
Condition = tuple[float, str, float]


@dataclass(frozen=True)
class Trial:
    """A part that is yet to be judged, its paired values (None where there are none), and all behind them."""

    part: Part
    paired: Paired | None
    evidence: pd.DataFrame


def trials(claim: Claim, rows: pd.DataFrame, dataset: str) -> Iterator[Trial]:
    """One trial per reference, and per modality where the claim is about each; `rows` are of one dataset."""
    done = rows[(rows["status"] != "skipped") & (rows["checkpoint_rule"] == "last")]
    done = done[(done["annotation"] == claim.where.annotation) & (done["pretraining"] == "none")]
    low, high = claim.where.labels
    done = done[done["label_fraction"].between(low - 1e-9, high + 1e-9)]
    modalities = sorted(set(done["modality"])) if claim.modality == "each" else [""]
    for reference in claim.reference:
        absent = [_absence(name, rows, done, claim) for name in (claim.method, reference)]
        if any(absent):
            known = _nothing(claim, dataset, reference, "")
            yield Trial(replace(known, reason="; ".join(filter(None, absent))), None, pd.DataFrame())
            continue
        for modality in modalities:
            here = done[done["modality"] == modality] if modality else done
            frames = [_levels(_of(name, here), claim.metric) for name in (claim.method, reference)]
            yield _trial(claim, _nothing(claim, dataset, reference, modality), *frames)


def _of(name: str, rows: pd.DataFrame) -> pd.DataFrame:
    method, _, preset = name.partition(":")
    return rows[(rows["method"] == method) & (rows["preset"] == (preset or "paper"))]


def _absence(name: str, rows: pd.DataFrame, done: pd.DataFrame, claim: Claim) -> str:
    """Why a method has no values; empty where it has some."""
    if _of(name, done)["value"].notna().any():
        return ""
    own = _of(name, rows)
    reasons = sorted(set(own.loc[own["status"].isin(["failed", "skipped"]), "reason"]))
    if reasons:
        return f"{name}: {' / '.join(reasons)}"
    return f"{name} did not run" if own.empty else f"{name} did not run with {_labels(claim)}"


def _nothing(claim: Claim, dataset: str, reference: str, modality: str) -> Part:
    nan = math.nan
    return Part(
        claim.id, dataset, reference, modality, "", 0, 0, 0, nan, nan, nan, nan, nan, "", UNTESTED, "", ""
    )


def _levels(rows: pd.DataFrame, metric: str) -> dict[Condition, pd.DataFrame]:
    """Values of one method by condition."""
    found = {}
    for (_, level), own in rows.groupby(["label_fraction", "misalignment"], sort=True):
        fraction, shift_mm = own["label_fraction"].iloc[0], own.drop_duplicates("case")["shift_mm"].mean()
        values = case_runs(own, metric)
        if len(values):
            found[float(fraction), str(level), float(shift_mm)] = values
    return found


def _trial(
    claim: Claim, known: Part, ours: dict[Condition, pd.DataFrame], theirs: dict[Condition, pd.DataFrame]
) -> Trial:
    theirs_at = {key[:2]: frame for key, frame in theirs.items()}
    both = {key: pair(frame, theirs_at[key[:2]]) for key, frame in ours.items() if key[:2] in theirs_at}
    both = {key: paired for key, paired in both.items() if paired.cases}
    if claim.kind == "loss":
        used, pairs = _losses(both)
    else:
        shifted = claim.where.misalignment == "shifted"
        used = [key for key in both if (key[2] > 0) == shifted and (shifted or key[1] == "aligned")]
        pairs = [both[key] for key in used]
    if not pairs or not join(pairs).cases:
        return Trial(replace(known, reason=_no_condition(claim)), None, pd.DataFrame())
    joined = join(pairs)
    at = ", ".join(f"{100 * fraction:g} % {level}" for fraction, level, _ in used)
    evidence = pd.concat(
        [
            _evidence(claim, known, key, name, frame)
            for key in used
            for name, frame in ((claim.method, ours[key]), (known.reference, theirs_at[key[:2]]))
        ],
        ignore_index=True,
    )
    return Trial(replace(known, conditions=at), joined, evidence)


def _losses(
    both: dict[Condition, Paired],
) -> tuple[list[Condition], list[Paired]]:
    """The aligned and the shifted conditions of each label fraction, and what the method loses less."""
    used: dict[Condition, None] = {}
    pairs = []
    aligned = {key[0]: key for key in both if key[1] == "aligned"}
    for key, paired in both.items():
        if key[2] > 0 and key[0] in aligned:
            used |= {aligned[key[0]]: None, key: None}
            pairs.append(difference_of(paired, both[aligned[key[0]]]))
    return list(used), [paired for paired in pairs if paired.cases]


def _no_condition(claim: Claim) -> str:
    what = {"loss": "aligned and shifted"}.get(claim.kind, claim.where.misalignment)
    return f"no condition with {_labels(claim)}, {what}, has cases of both"


def _labels(claim: Claim) -> str:
    low, high = (f"{100 * fraction:g}" for fraction in claim.where.labels)
    return f"{low} % labels" if low == high else f"{low} to {high} % labels"


EVIDENCE = [
    "claim", "dataset", "reference", "modality", "label_fraction", "misalignment", "method", "case",
    "label_draw", "seed", "value",
]  # fmt: skip


def _evidence(claim: Claim, part: Part, key: Condition, name: str, frame: pd.DataFrame) -> pd.DataFrame:
    rows = [
        (claim.id, part.dataset, part.reference, part.modality, key[0], key[1], name, case, *run, value)
        for case, values in zip(frame.index, frame.to_numpy(), strict=True)
        for run, value in zip(frame.columns, values, strict=True)
        if math.isfinite(value)
    ]
    return pd.DataFrame(rows, columns=EVIDENCE)


def is_about(claim: Claim, dataset: str) -> bool:
    """Whether a claim names this dataset."""
    return any(fnmatchcase(dataset, pattern) for pattern in claim.datasets)
