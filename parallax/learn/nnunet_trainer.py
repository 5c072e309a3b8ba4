"""nnU-Net's trainer with a step budget, seeds and an exact resume. Imports nnU-Net: import it late."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from parallax.learn.checkpoint import read_checkpoint, write_checkpoint
from parallax.learn.loop import TrainingError
from parallax.learn.networks import BACKGROUND_LOGIT, stable_seed
from parallax.learn.nnunet_cases import PlainDataset
from parallax.learn.optimiser import adamw
from parallax.learn.schedule import one_cycle_lr

_EPOCHS = 20  # steps of the polynomial learning-rate schedule, which nnU-Net moves once per epoch
_LONGEST_EPOCH = 250  # iterations; nnU-Net's default


@dataclass(frozen=True)
class TrainerSettings:
    """What the budget says to the trainer.

    `checkpoints` is a folder, `fingerprint` ties its content to this run, and `report(step)` is called after
    each optimiser step. `short` trains with the suite's AdamW and one-cycle rate (peak `learning_rate`) and
    starts from a head that says background, as every network of the suite does: SGD with momentum 0.99
    looks back over 100 steps, and after 100 steps in all it has found no structure of the abdomen phantom.
    """

    steps: int
    seed: int
    learning_rate: float
    short: bool
    augment: bool
    precision: str
    checkpoints: Path
    fingerprint: str
    checkpoint_every_s: float
    report: Callable[[int], None]

    @property
    def epoch_length(self) -> int:
        """Iterations per epoch: a twentieth of the budget, at most nnU-Net's 250."""
        return min(max(self.steps // _EPOCHS, 1), _LONGEST_EPOCH)


class BudgetTrainer(nnUNetTrainer):  # type: ignore[misc]  # nnU-Net has no types
    """`nnUNetTrainer` of nnU-Net 2.8.1: its network, loss, optimiser, schedule, sampling and augmentation.

    Changed: length of training, no mirroring (as in nnU-Net's own `nnUNetTrainerNoMirroring`: left and right
    structures), seeds, checkpoints that `weights_only=True` reads, no validation, no plots.
    """

    settings: TrainerSettings
    spent_s: float = 0.0

    def use(self, settings: TrainerSettings) -> None:
        """Take the budget, seed, build the network and go to the last checkpoint if there is one."""
        self.settings = settings
        self.initial_lr = settings.learning_rate
        self.num_epochs = -(-settings.steps // settings.epoch_length)
        self.num_val_iterations_per_epoch = 0
        self._seed("weights")
        self.initialize()
        self.dataset_class = PlainDataset
        if settings.short:
            self._expect_background()
        self._restore()
        self._started_s = self._saved_s = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether every epoch was trained."""
        return bool(self.current_epoch >= self.num_epochs)

    def on_epoch_start(self) -> None:
        """Seed from (seed, epoch), so that an epoch does not depend on what ran before in this process."""
        super().on_epoch_start()
        self._first_step = self.current_epoch * self.settings.epoch_length
        left = self.settings.steps - self._first_step
        self.num_iterations_per_epoch = min(self.settings.epoch_length, left)
        self._step = self._first_step
        self._seed(self.current_epoch)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's step, then count it. Raises `TrainingError` when the loss is not finite."""
        if self.settings.short:
            rate = one_cycle_lr(self._step, self.settings.steps, self.settings.learning_rate)
            self.optimizer.param_groups[0]["lr"] = rate
        with self._precision():
            result: dict[str, Any] = super().train_step(batch)
        if not np.isfinite(result["loss"]):
            raise _not_finite(self._step, float(result["loss"]))
        self._step += 1
        self.settings.report(self._step)
        return result

    def configure_optimizers(self) -> tuple[Any, Any]:
        """nnU-Net's SGD and polynomial rate, or the suite's AdamW where training is short."""
        if not self.settings.short:
            optimiser, schedule = super().configure_optimizers()
            return optimiser, schedule
        return adamw(self.network.parameters(), learning_rate=self.initial_lr), _NoSchedule()

    def on_epoch_end(self) -> None:
        """Count the epoch and write a checkpoint when one is due; no plots, no choice of a best epoch."""
        self.print_to_log_file("train loss", self.logger.get_value("train_losses", step=-1))
        self.current_epoch += 1
        if self.finished or time.monotonic() - self._saved_s >= self.settings.checkpoint_every_s:
            self._save()

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(self) -> Any:  # noqa: N802  (nnU-Net's)
        """nnU-Net's rotations and patch, without mirroring; without any margin when nothing is augmented."""
        rotation, dummy_2d, patch, _ = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        self.inference_allowed_mirroring_axes = None
        if not self.settings.augment:
            patch = self.configuration_manager.patch_size
        return rotation, dummy_2d, patch, None

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> Any:
        """nnU-Net's augmentation; its blur picks an algorithm by stopwatch, which would change the bits."""
        if not self.settings.augment:
            return self.get_validation_transforms(args[2], ignore_label=kwargs["ignore_label"])
        transforms = super().get_training_transforms(*args, **kwargs)
        for transform in transforms.transforms:
            inner = getattr(transform, "transform", None)
            if isinstance(inner, GaussianBlurTransform):
                inner.benchmark = False
        return transforms

    def on_validation_epoch_start(self) -> None:
        """Nothing: no case is held out, so there is nothing to validate on."""

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """Nothing, for the same reason."""

    def on_train_end(self) -> None:
        """Nothing: the last epoch has written its checkpoint."""

    def plot_network_architecture(self) -> None:
        """Nothing."""

    def print_to_log_file(self, *args: Any, **_: Any) -> None:
        """Print: standard output goes to the log of the workspace."""
        print(*args)  # noqa: T201

    def _save_debug_information(self) -> None:
        return None

    def _do_i_compile(self) -> bool:
        return False  # compiling takes longer than a short training

    def _expect_background(self) -> None:
        with torch.no_grad():
            for layer in self.network.decoder.seg_layers:
                layer.bias[0] = BACKGROUND_LOGIT

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self.settings.precision != "bfloat16":
            return contextlib.nullcontext()
        if self.device.type == "cpu":
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return autocast_in(self.device.type, torch.bfloat16)

    def _seed(self, stream: object) -> None:
        seed = stable_seed(self.settings.seed, "nnunet", stream)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002  (nnU-Net's loaders draw from the global generator)
        torch.manual_seed(seed)

    def _save(self) -> None:
        now_s = time.monotonic()
        state = {
            "epoch": self.current_epoch,
            "spent_s": self.spent_s + now_s - self._started_s,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "grad_scaler": self.grad_scaler.state_dict() if self.grad_scaler is not None else None,
        }
        write_checkpoint(self.settings.checkpoints, self.settings.fingerprint, state)
        self._saved_s = now_s

    def _restore(self) -> None:
        state = read_checkpoint(self.settings.checkpoints, self.settings.fingerprint)
        if state is None:
            return
        self.current_epoch, self.spent_s = state["epoch"], state["spent_s"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.grad_scaler is not None:
            self.grad_scaler.load_state_dict(state["grad_scaler"])

    @property
    def train_s(self) -> float:
        """Seconds spent in training, over all interrupted attempts up to their last checkpoint."""
        return self.spent_s + time.monotonic() - self._started_s


@contextlib.contextmanager
def autocast_in(device: str, precision: torch.dtype) -> Iterator[None]:
    """Inside, an autocast for this kind of device that names no precision takes this one.

    On a GPU nnU-Net autocasts by itself, to PyTorch's default there, which is float16.
    """
    before = torch.get_autocast_dtype(device)
    torch.set_autocast_dtype(device, precision)
    try:
        yield
    finally:
        torch.set_autocast_dtype(device, before)


class _NoSchedule:
    """Stands where nnU-Net steps its schedule once per epoch; the one-cycle rate is set at every step."""

    def step(self, epoch: int) -> None:
        """Nothing."""


def _not_finite(step: int, loss: float) -> TrainingError:
    return TrainingError(
        "the loss is not finite",
        where=f"method nnunet, step {step}, Dice + cross-entropy over all scales",
        expected="a finite loss",
        found=f"{loss:g}",
        remedy="lower the switch learning_rate or use precision float32",
    )
