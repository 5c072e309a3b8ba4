"""Train, keep and apply one nnU-Net, in this process."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from parallax.case import Budget, Sample
from parallax.data.files import write_bytes
from parallax.learn.checkpoint import write_atomically
from parallax.learn.nnunet_environment import nnunet_environment
from parallax.learn.nnunet_workspace import (
    CONFIGURATION,
    NnunetCases,
    nnunet_spacing,
    plans_of,
    prepare_workspace,
)


@dataclass(frozen=True)
class TrainedNnunet:
    """What it takes to apply an nnU-Net again.

    Attributes:
        plans: nnU-Net's plans.
        dataset: nnU-Net's `dataset.json`.
        weights: state of the network.
        channels: indices of the modalities that are its input channels.
    """

    plans: Mapping[str, Any]
    dataset: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    channels: tuple[int, ...]

    def save(self, folder: Path) -> None:
        """Write plans, dataset description and weights into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        description = {"plans": self.plans, "dataset": self.dataset, "channels": self.channels}
        for name, value in description.items():
            write_bytes(folder / f"{name}.json", json.dumps(value, indent=2).encode())
        write_atomically(folder / "weights.pt", self.weights)

    @staticmethod
    def load(folder: Path) -> TrainedNnunet:
        """Read what `save` wrote."""
        names = ("plans", "dataset", "channels")
        plans, dataset, channels = (json.loads((folder / f"{n}.json").read_text("utf-8")) for n in names)
        weights = torch.load(folder / "weights.pt", map_location="cpu", weights_only=True)
        return TrainedNnunet(plans, dataset, weights, tuple(channels))


@dataclass(frozen=True)
class NnunetRun:
    """A trained nnU-Net, its number of parameters, and the seconds that planning and training took."""

    trained: TrainedNnunet
    parameters: int
    train_s: float


def train_nnunet(
    cases: NnunetCases,
    budget: Budget,
    workspace: Path,
    *,
    seed: int,
    learning_rate: float,
    short: bool = False,
    device: str,
    report: Callable[[int], None],
) -> NnunetRun:
    """Plan, preprocess and train one nnU-Net; go on from the checkpoint in `workspace` if there is one.

    Args:
        cases: what to learn from.
        budget: `nnunet_steps` (else `steps`), batch, largest patch, first width, augmentation, precision.
        workspace: scratch folder of this network.
        seed: of weights, sampling and augmentation.
        learning_rate: first rate of nnU-Net's polynomial schedule; where `short`, peak of one cycle.
        short: train with the suite's optimiser, see `TrainerSettings`.
        device: `cpu` or `cuda`.
        report: called with the step after each step.

    Raises:
        DataError: when there is no case.
        TrainingError: when the loss is not finite.
    """
    started = time.monotonic()
    digest = prepare_workspace(cases, budget, workspace)
    prepare_s = time.monotonic() - started
    plans, dataset = plans_of(workspace)
    with nnunet_environment(workspace, log=workspace / "nnunet.log"):
        from parallax.learn.nnunet_trainer import BudgetTrainer, TrainerSettings

        settings = TrainerSettings(
            steps=budget.nnunet_steps or budget.steps,
            seed=seed,
            learning_rate=learning_rate,
            short=short,
            augment=budget.augment,
            precision=budget.precision,
            checkpoints=workspace / "checkpoints",
            fingerprint=f"{digest} {seed} {learning_rate:g} {short} {device}",
            checkpoint_every_s=budget.checkpoint_every_s,
            report=report,
        )
        start = {**plans, "continue_training": False}
        trainer = BudgetTrainer(start, CONFIGURATION, "all", dataset, torch.device(device))
        trainer.use(settings)
        if not trainer.finished:
            trainer.run_training()
        trained = TrainedNnunet(plans, dataset, trainer.network.cpu().state_dict(), cases.channels)
        parameters = sum(p.numel() for p in trainer.network.parameters())
    return NnunetRun(trained, parameters, prepare_s + trainer.train_s)


class NnunetPredictor:
    """nnU-Net's preprocessor, sliding window and export around one trained network."""

    def __init__(self, trained: TrainedNnunet, device: str) -> None:
        self.trained = trained
        with _anywhere():
            from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

            self.plans = PlansManager(dict(trained.plans))
            self.configuration = self.plans.get_configuration(CONFIGURATION)
            self.dataset = dict(trained.dataset)
            self.labels = self.plans.get_label_manager(self.dataset)
            self.predictor = self._build(torch.device(device))

    def probabilities(self, sample: Sample, modalities: tuple[int, ...] | None = None) -> NDArray[np.float32]:
        """Class probabilities [C, X, Y, Z] of a case in its common frame; absent channels are given as zeros.

        `modalities` are put into the input channels; the ones that the network was trained on when None.
        """
        channels = list(modalities or self.trained.channels)
        image = np.asarray(sample.image[channels], dtype=np.float32).transpose(0, 3, 2, 1)
        absent = [i for i, k in enumerate(channels) if not sample.available[k]]
        with _anywhere():
            return self._probabilities(image, nnunet_spacing(sample.grid), absent)

    def _probabilities(
        self, image: NDArray[np.float32], spacing: Sequence[float], absent: Sequence[int]
    ) -> NDArray[np.float32]:
        from nnunetv2.inference.export_prediction import (
            convert_predicted_logits_to_segmentation_with_correct_shape as export,
        )

        properties: dict[str, Any] = {"spacing": list(spacing)}
        preprocessor = self.configuration.preprocessor_class(verbose=False)
        data, _, properties = preprocessor.run_case_npy(
            image, None, properties, self.plans, self.configuration, self.dataset
        )
        data[list(absent)] = 0.0  # after normalisation 0 is the mean, whatever the scheme
        logits = self.predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data))
        _, probabilities = export(
            logits,
            self.plans,
            self.configuration,
            self.labels,
            properties,
            return_probabilities=True,
            num_threads_torch=torch.get_num_threads(),
        )
        return np.ascontiguousarray(probabilities.transpose(0, 3, 2, 1), dtype=np.float32)

    def _build(self, device: torch.device) -> Any:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
        from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

        network = nnUNetTrainer.build_network_architecture(
            self.plans,
            self.configuration,
            len(self.trained.channels),
            self.labels.num_segmentation_heads,
            enable_deep_supervision=False,
        )
        weights = dict(self.trained.weights)
        predictor = nnUNetPredictor(use_mirroring=False, device=device, allow_tqdm=False)
        predictor.manual_initialization(
            network, self.plans, self.configuration, [weights], self.dataset, "nnUNetTrainer", None
        )
        return predictor


def _anywhere() -> Any:
    # Prediction reads and writes no folder; the variables only keep nnU-Net's look-ups from failing.
    return nnunet_environment(Path(tempfile.gettempdir()))
