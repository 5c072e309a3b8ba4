"""Does a dataset tell methods apart at all? The spread between methods against the spread of one method."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def separation(dice: pd.DataFrame, keys: Sequence[str], run: Sequence[str] = ("seed",)) -> pd.DataFrame:
    """SD between methods over SD within a method, in Dice points, by the columns `keys`.

    Within: over the runs (columns `run`) of a method, pooled over methods; between: over the methods' means.
    Both are of means over all cases. `least_stable` is the method with the largest SD of its own (`its_sd`).
    Near or below 1 the dataset does not separate these methods. NaN where no method has two runs.

    Args:
        dice: rows with `keys`, `run`, `method` and `value`, all with a value.
    """
    means = dice.groupby([*keys, "method", *run])["value"].mean() * 100
    own = means.groupby([*keys, "method"]).std(ddof=1)
    within = (own**2).groupby(list(keys)).mean() ** 0.5
    between = means.groupby([*keys, "method"]).mean().groupby(list(keys)).std(ddof=1)
    known = own.dropna().groupby(list(keys))
    frame = pd.DataFrame(
        {
            "between": between,
            "within": within,
            "ratio": between / within,
            "least_stable": known.idxmax().map(lambda place: place[-1]),
            "its_sd": known.max(),
        }
    )
    return frame.reset_index()
