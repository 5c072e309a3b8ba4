"""Small tidy tables with made-up values, for the tests of scores and of the report."""

import math
from dataclasses import replace

from parallax.score.table import Row

BASE = Row(
    dataset="toy", case="a", modality="CT", structure="large", pairing="registered", misalignment="aligned",
    shift_mm=0.0, rotation_deg=0.0, label_fraction=1.0, label_draw=0, annotation="full", available="CT+MR",
    pretraining="none", method="nnunet", preset="paper", adapter="native", seed=0, checkpoint_rule="last",
    metric="dice", value=0.8, status="ok", reason="",
)  # fmt: skip


def row(**changes):
    """One row; a status without a value takes the value away."""
    made = replace(BASE, **changes)
    return made if made.status in ("ok", "missed", "false_positive") else replace(made, value=math.nan)


def method_rows(method, dice, hd95=3.0, cases=4, **changes):
    """Dice and HD95 of one run in two modalities; case number i is 0.01 * i above `dice`."""
    return [
        row(method=method, case=f"case{i}", modality=modality, metric=metric, value=value, **changes)
        for i in range(cases)
        for modality in ("CT", "MR")
        for metric, value in (("dice", dice + 0.01 * i), ("hd95_mm", hd95))
    ]


def skipped_row(method, reason, **changes):
    """A row of a method that was not run."""
    empty = {"case": "", "modality": "", "structure": "", "metric": "", "adapter": ""}
    return row(method=method, status="skipped", reason=reason, **(empty | changes))


def toy_rows(cases=4):
    """Two conditions: three methods of which one fails and one is skipped, and a control."""
    shifted = {"misalignment": "shifted", "shift_mm": 7.0}
    failed = {"status": "failed", "reason": "the loss is not finite"}
    return [
        *method_rows("nnunet", 0.70, cases=cases),
        *method_rows("zeta", 0.90, cases=cases),
        *method_rows("alpha", 0.80, cases=cases),
        *method_rows("oracle", 0.95, 0.0, cases=cases),
        *method_rows("nnunet", 0.60, cases=cases, **shifted),
        *method_rows("zeta", 0.50, cases=cases, **shifted, **failed),
        *method_rows("oracle", 0.95, 0.0, cases=cases, **shifted),
        skipped_row("alpha", "needs pairs & more", **shifted),
    ]
