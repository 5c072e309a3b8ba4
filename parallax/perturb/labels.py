"""Label scarcity: nested subsets of the labelled training cases, drawn several times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from parallax.data.splits import make_split, patients_of, split_rng
from parallax.errors import ConfigError
from parallax.perturb.annotation import FULL


def draw_order(
    rng: np.random.Generator, ids: Sequence[str], strata: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """A random order of `ids` (sorted first, so that the order given does not matter).

    With `strata` (id -> stratum) every prefix holds each stratum in about its share of the whole, so that a
    few labelled cases of an unpaired dataset do not all come from one modality.
    """
    names = sorted(ids)
    shuffled = [names[i] for i in rng.permutation(len(names))]
    if not strata:
        return tuple(shuffled)
    members: dict[str, list[str]] = {}
    for name in shuffled:
        members.setdefault(strata.get(name, ""), []).append(name)
    rank = {n: (i + 0.5) / len(group) for group in members.values() for i, n in enumerate(group)}
    return tuple(sorted(shuffled, key=lambda n: rank[n]))


def n_labelled(fraction: float, n: int) -> int:
    """Number of labelled cases at a fraction of `n`, halves rounded up."""
    # 0.15 * 10 is 1.5 on paper and must round like it, whatever the last bit of the product is
    return math.floor(fraction * n + 0.5 + 1e-9)


def subset(order: Sequence[str], fraction: float) -> tuple[str, ...]:
    """The labelled cases at a fraction: a prefix of `order`, so subsets of one draw are nested.

    Raises:
        ConfigError: the fraction is not in (0, 1], or it leaves no labelled case.
    """
    count = n_labelled(fraction, len(order)) if 0 < fraction <= 1 else 0
    if count < 1:
        raise ConfigError(
            "A label fraction leaves no labelled case",
            where=f"label fraction {fraction:g} of {len(order)} cases",
            expected="a fraction in (0, 1] that rounds to one case or more",
            found=f"{count} cases",
            remedy="use a larger fraction, or more training cases with labels",
        )
    return tuple(order[:count])


def labels_name(fraction: float, draw: int, annotation: str = FULL) -> str:
    """`f010-d0` for 10 %, draw 0; tenths of a percent are written out (`f002p5-d0`).

    `f010-d0-ct_only` where not all of it is annotated.
    """
    percent = f"{fraction * 100:05.1f}".replace(".0", "").replace(".", "p")
    name = f"f{percent.zfill(3)}-d{draw}"
    return name if annotation == FULL else f"{name}-{annotation}"


def label_subsets(
    index: Mapping[str, Any], spec: Mapping[str, Any], fractions: Sequence[float], draws: int
) -> tuple[dict[str, Any], dict[tuple[float, int], dict[str, list[str]]]]:
    """The split of a dataset, and by (fraction, draw) its `labelled` and `unlabelled` training cases.

    Labels are drawn by patient: where one has several cases, all that can be labelled are, or none.

    Raises:
        ConfigError: the split cannot be made, or a fraction leaves no labelled case.
    """
    seed, strata = spec.get("seed", 0), index.get("strata", {})
    split = make_split(index, spec, draw_order(split_rng(seed), index["cases"], strata))
    bare = set(index.get("without_labels", []))
    patients, candidates = patients_of(index, spec), [case for case in split["train"] if case not in bare]
    cases_of: dict[str, list[str]] = {}
    for case in candidates:
        cases_of.setdefault(patients[case], []).append(case)
    by_patient = {p: "+".join(sorted({strata.get(c, "") for c in cases})) for p, cases in cases_of.items()}
    subsets = {}
    for draw in range(draws):
        order = draw_order(split_rng(seed, draw), list(cases_of), by_patient if strata else None)
        for fraction in fractions:
            labelled = sorted(case for patient in subset(order, fraction) for case in cases_of[patient])
            rest = [case for case in split["train"] if case not in set(labelled)]
            subsets[fraction, draw] = {"labelled": labelled, "unlabelled": rest}
    return split, subsets
