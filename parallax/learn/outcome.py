"""A simulated clinical outcome: a known function of a case's label map and an invented age, plus chance.

It is no prognosis. It only serves as a second task where data sets have none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parallax.case import IGNORE, Sample
from parallax.learn.networks import stable_seed


@dataclass(frozen=True)
class OutcomeModel:
    """o ~ Bernoulli(sigmoid(b0 + b1 log(1 + V / V0) + b2 midline + b3 (age - 65) / 12)).

    With these values a case of volume V0, in the middle, of age 65, has the probability 1/2.

    Attributes:
        intercept: b0.
        volume: b1, V being the volume of all structures together and V0 its median over the training cases.
        midline: b2, for the distance of their centre from the middle plane over half the width (0 to 1).
        age: b3, for an age drawn from N(65, 12) years.
    """

    intercept: float = -math.log(2.0)
    volume: float = 1.0
    midline: float = 1.0
    age: float = 0.5

    def probability(self, volume_ratio: float, midline: float, age_years: float) -> float:
        """Probability of outcome 1 for V / V0, midline and age."""
        score = self.intercept + self.volume * math.log1p(volume_ratio)
        score += self.midline * midline + self.age * (age_years - 65.0) / 12.0
        return 1.0 / (1.0 + math.exp(-score))


def simulated_outcomes(labelled: Sequence[Sample], model: OutcomeModel) -> dict[str, int]:
    """Outcome 0 or 1 of each labelled case by id; cases whose known voxels show no structure have none.

    Age and chance are drawn from the id of the case, so that they are the same in every run: only V0 depends
    on which other cases are labelled.
    """
    shapes = {s.case: found for s in labelled if (found := volume_and_side(s)) is not None}
    if not shapes:
        return {}
    median_ml = float(np.median([volume_ml for volume_ml, _ in shapes.values()]))
    outcomes = {}
    for case, (volume_ml, side) in shapes.items():
        rng = np.random.default_rng(stable_seed("outcome", case))
        age_years, chance = rng.normal(65.0, 12.0), rng.random()
        outcomes[case] = int(chance < model.probability(volume_ml / median_ml, abs(side), age_years))
    return outcomes


def volume_and_side(sample: Sample) -> tuple[float, float] | None:
    """Volume (ml) of all structures, and -1 (left border) to 1 (right border) for their centre.

    From the first modality that carries a label; None without one or where it shows no structure.
    """
    if sample.label is None:
        return None
    known = [label for label in sample.label if bool((label != IGNORE).any())]
    inside = _structures(known[0]) if known else np.zeros((1, 1, 1), bool)
    if not bool(inside.any()):
        return None
    voxel_ml = math.prod(sample.grid.spacing_mm) / 1000.0
    # The common frame is RAS: the first axis goes from left to right.
    half = (inside.shape[0] - 1) / 2.0
    side = float(np.nonzero(inside)[0].mean() - half) / max(half, 1.0)
    return float(inside.sum()) * voxel_ml, side


def _structures(label: NDArray[np.uint8]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (label != 0) & (label != IGNORE)
    return inside
