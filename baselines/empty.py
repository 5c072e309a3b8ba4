"""Lower control: everything is background. Shows what a metric gives for free."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from parallax.case import Prediction, TestView, TrainView
from parallax.learn.method import Cost, Method


class Empty(Method):
    """Background everywhere."""

    name = "empty"
    title = "Empty (control)"
    source = "control of this suite"
    adapter = "native"
    presets = {"paper": {}}
    control = True
    no_released = "a control has no publication"
    bands = {"paper": {"dice": (0.0, 0.0), "nsd": (0.0, 0.0), "status": ("missed", "both_empty")}}

    def fit(self, view: TrainView, scratch: Path) -> Cost:
        """Nothing to learn."""
        return Cost(0, 0, 0, 0.0, 0.0, 0.0, "none")

    def save(self, folder: Path) -> None:
        """Nothing to keep: an empty folder."""
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, folder: Path) -> None:
        """Nothing to read."""

    def predict(self, view: TestView) -> Prediction:
        """A map of zeros per modality that the case has."""
        has = zip(view.task.modality_names, view.sample.available, strict=True)
        names = [name for name, available in has if available]
        return Prediction({name: np.zeros(view.native[name].shape, dtype=np.uint8) for name in names})
