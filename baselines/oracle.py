"""Upper control: hands back the true label maps. Anything below a perfect score is a fault of the suite."""

from __future__ import annotations

from pathlib import Path

from parallax.case import Prediction, TestView, TrainView
from parallax.data.frame import resample_labels
from parallax.learn.method import Cost, Method


class Oracle(Method):
    """The truth, read from the test view; as `broadcast`, that of the first modality, copied to all."""

    name = "oracle"
    title = "Oracle (control)"
    source = "control of this suite"
    adapter = "native"
    presets = {"paper": {"copied": False}, "broadcast": {"copied": True}}
    preset_adapters = {"broadcast": "broadcast"}
    control = True
    needs_truth = True
    no_released = "a control has no publication"
    bands = {
        "paper": {
            "dice": (1.0, 1.0),
            "nsd": (1.0, 1.0),
            "hd95_mm": (0.0, 0.0),
            "assd_mm": (0.0, 0.0),
            "status": ("ok", "both_empty"),
        },
        # a copied perfect map loses exactly what the printed ceiling says
        "broadcast": {"dice": "dice_ceiling"},
    }

    def fit(self, view: TrainView, scratch: Path) -> Cost:
        """Nothing to learn."""
        return Cost(0, 0, 0, 0.0, 0.0, 0.0, "none")

    def save(self, folder: Path) -> None:
        """Nothing to keep: an empty folder."""
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, folder: Path) -> None:
        """Nothing to read."""

    def predict(self, view: TestView) -> Prediction:
        """The native label maps of the case, or its reference modality's on every grid."""
        if view.truth is None:
            raise ValueError(f"the oracle was given no truth for case {view.sample.case}")
        if not self.switches["copied"]:
            return Prediction({name: volume.array.astype("uint8") for name, volume in view.truth.items()})
        reference = next(name for name in view.task.modality_names if name in view.truth)
        whole = view.truth[reference]
        return Prediction({name: resample_labels(whole, own.grid) for name, own in view.truth.items()})
