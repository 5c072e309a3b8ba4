"""Which cases are trained on and which are tested on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from parallax.data.case_ids import check_case_ids
from parallax.errors import ConfigError


def case_index(dataset: Any) -> dict[str, Any]:
    """What the split needs to know of a dataset (`parallax.data.dataset.Dataset`): `cases/<dataset>.json`.

    Raises `DataError` where the id of a case cannot name its files.
    """
    check_case_ids((case, f"dataset {dataset.name}") for case in dataset.case_ids())
    return {
        "task": dataset.task.to_json(),
        "cases": dataset.case_ids(),
        "strata": dict(dataset.strata()),
        "patients": dict(dataset.patients()),
        "without_labels": list(dataset.unlabelled_ids()),
    }


def make_split(index: Mapping[str, Any], spec: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """Part the cases into train, validation and test, each patient on one side.

    Args:
        index: as `case_index` gives it. Cases without labels are never test cases.
        spec: `test` and optionally `train` as counts, or both as lists of ids; `test_fraction` instead of a
            count; `validation` (a count or a list, default none); `seed` (kept for the record);
            `allow_overlap` (lists only); `patients` (case to patient, laid over those of the index).
        order: random order of the cases; the first labelled ones are tested on, the next ones trained on,
            the next ones set aside for validation. Where patients have several cases, whole patients are
            taken, and a side may hold fewer cases than its count: as many as whole patients can fill.

    Returns:
        `train`, `validation`, `test` (sorted), `seed`, `hash` (over the three sides).

    Raises:
        ConfigError: an unknown case, a case or a patient on two sides, an empty side, or too many cases
            asked for.
    """
    patients = patients_of(index, spec)
    if isinstance(spec.get("train"), list) or isinstance(spec.get("test"), list):
        train, test = _written(index, spec)
    else:
        train, test = _drawn(index, spec, order, patients)
    if not train or not test:
        raise _error("at least one case on each side", f"train {len(train)}, test {len(test)}")
    validation = _validation(spec.get("validation", 0), order, {*train, *test}, patients)
    split = {"train": sorted(train), "test": sorted(test), "validation": validation}
    _check_patients(split, patients, overlap=bool(spec.get("allow_overlap", False)))
    return {**split, "seed": spec.get("seed", 0), "hash": split_hash(split)}


def patients_of(index: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, str]:
    """Case to patient, of every case; a case that nothing is said of is a patient of its own."""
    own: dict[str, str] = {case: case for case in index["cases"]}
    return {**own, **index.get("patients", {}), **spec.get("patients", {})}


def split_hash(split: Mapping[str, Any]) -> str:
    """SHA-256 over the sorted ids of the sides: equal for equal splits, wherever they were made.

    A split without validation cases has the hash over its two sides.
    """
    sides = {side: sorted(split[side]) for side in ("train", "validation", "test") if split.get(side)}
    return hashlib.sha256(json.dumps(sides, sort_keys=True).encode()).hexdigest()


def split_rng(seed: int, *purpose: int) -> np.random.Generator:
    """The generator of a split (no purpose) or of one draw of labels (the number of the draw)."""
    return np.random.default_rng([seed, 1 + len(purpose), *purpose])


def _validation(
    wanted: int | list[str], order: Sequence[str], taken: set[str], patients: Mapping[str, str]
) -> list[str]:
    people = {patients[i] for i in taken}
    if isinstance(wanted, int):
        free = [i for i in order if patients[i] not in people]
        chosen = _whole_patients(free, wanted, patients)
        fits = wanted <= len(free) and bool(chosen) == bool(wanted)
    else:
        free = [i for i in patients if i not in taken]
        chosen = [i for i in wanted if i in free]
        fits = len(chosen) == len(wanted)
    if not fits:
        raise _error(f"validation cases apart from train and test, {len(free)} are left", f"{wanted!r}")
    return sorted(chosen)


def _whole_patients(order: Sequence[str], wanted: int, patients: Mapping[str, str]) -> list[str]:
    """The cases of the first patients that together have `wanted` cases, or as many below it as can be."""
    groups: dict[str, list[str]] = {}
    for case in order:
        groups.setdefault(patients[case], []).append(case)
    sizes = [len(cases) for cases in groups.values()]
    reachable = [{0}]  # by number of patients left: how many cases they can add up to
    for size in reversed(sizes):
        reachable.append(reachable[-1] | {n + size for n in reachable[-1] if n + size <= wanted})
    left = max(reachable.pop())
    chosen: list[str] = []
    for cases in groups.values():
        if left - len(cases) in reachable.pop():
            chosen += cases
            left -= len(cases)
    return chosen


def _check_patients(
    split: Mapping[str, Sequence[str]], patients: Mapping[str, str], *, overlap: bool
) -> None:
    held: dict[str, dict[str, list[str]]] = {}
    for side in ("train", "validation", "test"):
        for case in split[side]:
            held.setdefault(patients[case], {}).setdefault(side, []).append(case)
    allowed = {"train", "test"} if overlap else set()
    for patient, sides in held.items():
        if len(sides) > 1 and set(sides) != allowed:
            cases = "; ".join(f"{side} {', '.join(own)}" for side, own in sides.items())
            raise _error("each patient on one side", f"patient {patient} on {len(sides)}: {cases}")


def _written(index: Mapping[str, Any], spec: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    train, test = spec.get("train"), spec.get("test")
    if not isinstance(train, list) or not isinstance(test, list):
        raise _error("lists of ids for both train and test, or counts for both", f"{train!r} and {test!r}")
    unknown = sorted({*train, *test} - set(index["cases"]))
    if unknown:
        raise _error(f"ids among {', '.join(index['cases'][:8])}, ...", f"unknown {', '.join(unknown)}")
    repeated = sorted({i for side in (train, test) for i in side if side.count(i) > 1})
    if repeated:
        raise _error("each case once on a side", f"repeated {', '.join(repeated)}")
    both = sorted(set(train) & set(test))
    if both and not spec.get("allow_overlap", False):
        raise _error("no case on both sides (unless allow_overlap is true)", f"both: {', '.join(both)}")
    bare = sorted(set(test) & set(index.get("without_labels", [])))
    if bare:
        raise _error("test cases that have labels", f"without labels: {', '.join(bare)}")
    return train, test


def _drawn(
    index: Mapping[str, Any], spec: Mapping[str, Any], order: Sequence[str], patients: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    bare = set(index.get("without_labels", []))
    labelled = [i for i in order if i not in bare]
    n_test = spec.get("test")
    if n_test is None:
        n_test = round(float(spec.get("test_fraction", 0.2)) * len(labelled))
    n_train = spec.get("train")
    test = _whole_patients(labelled, n_test, patients)
    aside = spec.get("validation", 0)
    elsewhere = {patients[i] for i in test}
    if not isinstance(aside, int):
        elsewhere |= {patients.get(i, i) for i in aside}
    rest = [i for i in (*labelled, *(i for i in order if i in bare)) if patients[i] not in elsewhere]
    if n_train is None:  # all that is not set aside
        n_train = len(rest) - (aside if isinstance(aside, int) else 0)
    if not test or n_train < 1 or n_test > len(labelled) or n_train > len(rest):
        raise _error(
            f"train + test of at most {len(order)} cases, test of at most {len(labelled)} with labels"
            + (", all cases of a patient on one side" if len(set(patients.values())) < len(patients) else ""),
            f"train {n_train}, test {n_test}",
        )
    return _whole_patients(rest, n_train, patients), test


def _error(expected: str, found: str) -> ConfigError:
    return ConfigError(
        "A split cannot be made",
        where="split",
        expected=expected,
        found=found,
        remedy="correct the split of this dataset in the configuration",
    )
