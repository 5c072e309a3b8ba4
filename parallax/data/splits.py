"""Which cases are trained on and which are tested on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from parallax.errors import ConfigError


def case_index(dataset: Any) -> dict[str, Any]:
    """What the split needs to know of a dataset (`parallax.data.dataset.Dataset`): `cases/<dataset>.json`."""
    return {
        "task": dataset.task.to_json(),
        "cases": dataset.case_ids(),
        "strata": dict(dataset.strata()),
        "without_labels": list(dataset.unlabelled_ids()),
    }


def make_split(index: Mapping[str, Any], spec: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """Part the cases into train and test.

    Args:
        index: as `case_index` gives it. Cases without labels are never test cases.
        spec: `test` and optionally `train` as counts, or both as lists of ids; `test_fraction` instead of a
            count; `validation` (a count or a list, default none); `seed` (kept for the record);
            `allow_overlap` (lists only).
        order: random order of the cases; the first labelled ones are tested on, the next ones trained on,
            the next ones set aside for validation.

    Returns:
        `train`, `validation`, `test` (sorted), `seed`, `hash` (over train and test).

    Raises:
        ConfigError: an unknown case, a case on both sides, an empty side, or more cases than there are.
    """
    if isinstance(spec.get("train"), list) or isinstance(spec.get("test"), list):
        train, test = _written(index, spec)
    else:
        train, test = _drawn(index, spec, order)
    if not train or not test:
        raise _error("at least one case on each side", f"train {len(train)}, test {len(test)}")
    split = {"train": sorted(train), "test": sorted(test)}
    validation = _validation(spec.get("validation", 0), order, taken={*train, *test})
    return {**split, "validation": validation, "seed": spec.get("seed", 0), "hash": split_hash(split)}


def split_hash(split: Mapping[str, Any]) -> str:
    """SHA-256 over the sorted ids of both sides: equal for equal splits, wherever they were made."""
    sides = {side: sorted(split[side]) for side in ("train", "test")}
    return hashlib.sha256(json.dumps(sides, sort_keys=True).encode()).hexdigest()


def split_rng(seed: int, *purpose: int) -> np.random.Generator:
    """The generator of a split (no purpose) or of one draw of labels (the number of the draw)."""
    return np.random.default_rng([seed, 1 + len(purpose), *purpose])


def _validation(wanted: int | list[str], order: Sequence[str], taken: set[str]) -> list[str]:
    free = [i for i in order if i not in taken]
    chosen = free[:wanted] if isinstance(wanted, int) else [i for i in wanted if i in free]
    if len(chosen) != (wanted if isinstance(wanted, int) else len(wanted)):
        raise _error(f"validation cases apart from train and test, {len(free)} are left", f"{wanted!r}")
    return sorted(chosen)


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
    index: Mapping[str, Any], spec: Mapping[str, Any], order: Sequence[str]
) -> tuple[list[str], list[str]]:
    bare = set(index.get("without_labels", []))
    labelled = [i for i in order if i not in bare]
    n_test = spec.get("test")
    if n_test is None:
        n_test = round(float(spec.get("test_fraction", 0.2)) * len(labelled))
    n_train = spec.get("train")
    rest = labelled[n_test:] + [i for i in order if i in bare]
    aside = spec.get("validation", 0)
    if not isinstance(aside, int):
        rest = [i for i in rest if i not in aside]
    if n_train is None:  # all that is not set aside
        n_train = len(rest) - (aside if isinstance(aside, int) else 0)
    if n_test < 1 or n_train < 1 or n_test > len(labelled) or n_train > len(rest):
        raise _error(
            f"train + test of at most {len(order)} cases, test of at most {len(labelled)} with labels",
            f"train {n_train}, test {n_test}",
        )
    return rest[:n_train], labelled[:n_test]


def _error(expected: str, found: str) -> ConfigError:
    return ConfigError(
        "A split cannot be made",
        where="split",
        expected=expected,
        found=found,
        remedy="correct the split of this dataset in the configuration",
    )
