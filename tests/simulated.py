"""Tidy tables of simulated scores with a planted truth, for the tests of statistics and claims."""

import numpy as np
import pandas as pd
from tidy import BASE

from parallax.score.table import COLUMNS, typed


def scores(truth, cases=12, seeds=(0, 1, 2), draws=(0,), sd_case=0.03, sd_run=0.003, sd_rest=0.01, seed=0):
    """Dice of methods whose expected value is given; each case has its height, each run of a method its own.

    Args:
        truth: (method or `METHOD:PRESET`, misalignment, shift in mm, label fraction) to expected Dice, or to
            a mapping from modality to it.
    """
    rng = np.random.default_rng(seed)
    heights = rng.normal(0, sd_case, cases)
    rows = []
    for (method, level, shift_mm, fraction), expected in truth.items():
        name, _, preset = method.partition(":")
        for draw in draws:
            for s in seeds:
                run = rng.normal(0, sd_run)
                for case, height in enumerate(heights):
                    for modality in ("CT", "MR"):
                        mean = expected[modality] if isinstance(expected, dict) else expected
                        value = min(1.0, mean + height + run + rng.normal(0, sd_rest))
                        rows.append(
                            vars(BASE)
                            | {
                                "method": name, "preset": preset or "paper", "misalignment": level,
                                "shift_mm": shift_mm * (1 + 0.02 * case / cases), "label_fraction": fraction,
                                "label_draw": draw, "seed": s, "case": f"case{case:02d}",
                                "modality": modality, "value": value,
                            }
                        )  # fmt: skip
    return typed(pd.DataFrame(rows, columns=list(COLUMNS)))
