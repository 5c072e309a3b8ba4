"""What the tests of methods with a CNN and a transformer share."""

from __future__ import annotations

from typing import Any

from toy import toy_batches, toy_task, toy_view

from parallax.case import Budget
from parallax.learn.batch import Batch
from parallax.plugin import method_card

BUDGET = Budget(steps=6, batch=2, patch=(16, 16, 16), widths=(4, 8), checkpoint_every_s=0.0)
BRANCHES = ("cnn", "transformer")


def make(kind: Any, preset: str = "paper", **changes: Any) -> Any:
    switches = {**method_card(kind.name).presets[preset], **changes}
    return kind(toy_task(), BUDGET, switches=switches, seed=5)


def batches() -> tuple[Batch, Batch]:
    """Two labelled and two unlabelled crops."""
    return toy_batches(toy_view(toy_task()))
