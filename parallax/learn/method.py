"""The contract of a method: what a file under methods/ or baselines/ declares and does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from parallax.cards import check_switches
from parallax.case import Budget, Prediction, Task, TestView, TrainView


@dataclass(frozen=True)
class Cost:
    """What a training run cost. Printed in every table; `forward_passes` counts networks applied per step."""

    parameters: int
    steps: int
    samples_seen: int
    forward_passes_per_step: float
    train_s: float
    peak_memory_mib: float
    device: str


class Method(ABC):
    """A segmentation method. Subclass it (or `NetworkMethod`) in one file; the file is found by its presence.

    Class attributes are read from the source **without running it**, so each must be a literal, here or in
    a base class in `parallax`:

    Attributes:
        name: id of the method, equal to the name of its file.
        title: how tables call it.
        source: paper and repository@commit that it was checked against.
        adapter: `broadcast`, `heads` or `native` (see `parallax.case.Adapter`).
        presets: preset name to switches; `paper` comes first and is the default, the others say only what
            differs from it, or from the preset that they name as `based_on`.
        preset_packages: preset to the optional Python package that it imports; where that is not installed,
            the preset is skipped with this reason.
        pretrained: preset to the external weights that it starts from: `weights`, their name, and `saw`, the
            data that they were trained on, named as under datasets/ where it is one of those.
        choices: switch to the values that it may have; a switch that is not listed may have any.
        at_prediction: switches that matter only when a case is segmented. Presets that differ in nothing else
            are trained once and share the weights.
        min_modalities: least number of modalities in the task.
        needs_pairs: True where the modalities of a case must come from one patient.
        without_pairs: presets that do not, where the others do.
        uses_unlabelled: True where unlabelled cases take part in training; a switch `unlabelled` of a preset
            says otherwise for that preset.
        control: True for reference points that are no methods (oracle, empty, mean shape, shuffled).
        needs_truth: True for controls that are given the truth of test cases (oracle, shuffled).
        needs_every_label: True where each modality needs label maps of its own in training.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    adapter: ClassVar[str] = "native"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}}
    pretrained: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    choices: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    at_prediction: ClassVar[tuple[str, ...]] = ()
    min_modalities: ClassVar[int] = 1
    needs_pairs: ClassVar[bool] = False
    without_pairs: ClassVar[tuple[str, ...]] = ()
    uses_unlabelled: bool = False
    control: ClassVar[bool] = False
    needs_truth: ClassVar[bool] = False
    needs_every_label: ClassVar[bool] = False

    def __init__(
        self, task: Task, budget: Budget, *, switches: Mapping[str, Any], seed: int, device: str = "cpu"
    ) -> None:
        self.task, self.budget, self.seed, self.device = task, budget, seed, device
        self.switches = {**next(iter(self.presets.values())), **switches}
        check_switches(self.name, self.switches, self.presets, self.choices)
        self.uses_unlabelled = bool(self.switches.get("unlabelled", self.uses_unlabelled))
        self.set_up()

    def set_up(self) -> None:
        """Called once, when task, budget and switches are known: derive what follows from them (a hook)."""
        return

    @abstractmethod
    def fit(self, view: TrainView, scratch: Path) -> Cost:
        """Train on `view` within the budget; checkpoints in `scratch` survive a kill and are resumed."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write all that `load` needs into `folder` (weights that `torch.load(weights_only=True)` reads)."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""

    @abstractmethod
    def predict(self, view: TestView) -> Prediction:
        """Segment one test case on the native grid of each modality that it has."""
