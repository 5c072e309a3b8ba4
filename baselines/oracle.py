"""Upper control: hands back the true label maps. Anything below a perfect score is a fault of the suite."""

from __future__ import annotations

from pathlib import Path

from parallax.case import Prediction, TestView, TrainView
from parallax.learn.method import Cost, Method


class Oracle(Method):
    """The truth, read from the test view."""

    name = "oracle"
    title = "Oracle (control)"
    source = "control of this suite"
    adapter = "native"
    presets = {"paper": {}}  # noqa: RUF012 (read as a literal)
    control = True
    needs_truth = True
    no_released = "a control has no publication"

    def fit(self, view: TrainView, scratch: Path) -> Cost:  # noqa: ARG002
        """Nothing to learn."""
        return Cost(0, 0, 0, 0.0, 0.0, 0.0, "none")

    def save(self, folder: Path) -> None:
        """Nothing to keep: an empty folder."""
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, folder: Path) -> None:
        """Nothing to read."""

    def predict(self, view: TestView) -> Prediction:
        """The native label maps of the case."""
        if view.truth is None:
            raise ValueError(f"the oracle was given no truth for case {view.sample.case}")
        return Prediction({name: volume.array.astype("uint8") for name, volume in view.truth.items()})
