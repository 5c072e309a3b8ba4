"""How Dice changes along a condition: a linear mixed model with crossed random effects of case and run."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

#: A spread of less than this share of the whole is none: the estimate lies on the edge of what is possible.
_NONE = 1e-4


@dataclass(frozen=True)
class Trend:
    """Slope of a linear trend with its 95 % interval, in units of y per unit of x.

    `state` is `ok`; `boundary` where a random effect was estimated as none (the slope stands, the model is
    smaller than it was meant to be); `failed` where there is no number. `reason` says why it is not `ok`.
    """

    slope: float
    low: float
    high: float
    state: str
    reason: str
    cases: int
    runs: int
    levels: int


def fit_trend(values: pd.DataFrame) -> Trend:
    """Trend of `y` with `x` in values with the columns case, run, level, x, y (one row each).

    The model is y = a + b x + case + case x + run + rest, by restricted maximum likelihood (statsmodels
    MixedLM): each case has its own height and its own slope (Barr et al. 2013), each run its own height.
    The interval uses a t distribution with cases - 1 degrees of freedom, as slopes vary by case.
    Give paired differences as `y`, and the slope is the interaction of method and x.
    """
    own = values.dropna()
    counts = {name: own[column].nunique() for name, column in _COUNTED}
    nothing = Trend(math.nan, math.nan, math.nan, "failed", "", **counts)
    if counts["levels"] < 2 or own["x"].nunique() < 2:
        return replace(nothing, reason="needs two levels")
    if counts["cases"] < 3:
        return replace(nothing, reason=f"needs three cases, has {counts['cases']}")
    x, y = (own[name] - own[name].mean() for name in ("x", "y"))
    width, height = float(x.std()), float(y.std())
    if height <= 1e-12:
        return replace(nothing, slope=0.0, low=0.0, high=0.0, state="boundary", reason="all values are equal")
    scaled = own.assign(x=x / width, y=y / height)
    found = _fit(scaled, [name for name in _EFFECTS if name != "run" or counts["runs"] > 1])
    if found is None:
        return replace(nothing, reason="the fit did not converge")
    slope, error = found.params["x"] * height / width, found.bse["x"] * height / width
    if not (math.isfinite(slope) and math.isfinite(error)):
        return replace(nothing, reason="the standard error is not finite")
    half = _t_quantile(counts["cases"] - 1) * error
    absent = _absent(found, counts["runs"] > 1)
    return replace(
        nothing,
        slope=float(slope),
        low=float(slope - half),
        high=float(slope + half),
        state="boundary" if absent else "ok",
        reason=f"no spread found of: {', '.join(absent)}" if absent else "",
    )


_COUNTED = (("cases", "case"), ("runs", "run"), ("levels", "level"))
#: The random effects: what they are called, and their formula.
_EFFECTS = {
    "case": ("case", "0 + C(case)"),
    "case_slope": ("slope by case", "0 + C(case):x"),
    "run": ("run", "0 + C(run)"),
}


def _fit(values: pd.DataFrame, effects: Sequence[str]) -> Any:
    """The fitted model, or None. Values are standardised, which the search needs.

    Where an effect has no spread at all, the search may meet a singular matrix. Then the likeliest of the
    models with one effect less is taken, and so on; `_absent` tells which were left out.
    """
    for size in range(len(effects), -1, -1):
        fits = [_fit_with(values, chosen) for chosen in combinations(effects, size)]
        found = [fit for fit in fits if fit is not None]
        if found:
            return max(found, key=lambda fit: fit.llf)
    return None


def _fit_with(values: pd.DataFrame, effects: Sequence[str]) -> Any:
    from statsmodels.formula.api import mixedlm, ols
    from statsmodels.tools.sm_exceptions import ModelWarning

    if not effects:
        return ols("y ~ x", values).fit()
    formulas = {name: _EFFECTS[name][1] for name in effects}
    model = mixedlm("y ~ x", values, groups=np.ones(len(values)), vc_formula=formulas)
    with warnings.catch_warnings():
        # what they say is read off the result: `converged`, and the spreads that are none
        warnings.simplefilter("ignore", ModelWarning)
        try:
            # without derivatives: those fail where a spread is none, which is common with few cases
            found = model.fit(reml=True, method=["powell"])
        except np.linalg.LinAlgError:
            return None
    return found if found.converged else None


def _absent(found: Any, several_runs: bool) -> list[str]:
    """What the effects are called that were left out or that have no spread."""
    names = found.model.exog_vc.names if hasattr(found, "vcomp") else []
    parts = dict(zip(names, found.vcomp, strict=True)) if names else {}
    least = _NONE * (sum(parts.values()) + float(found.scale))
    asked = [name for name in _EFFECTS if name != "run" or several_runs]
    return [_EFFECTS[name][0] for name in asked if parts.get(name, 0.0) < least]


def _t_quantile(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))
