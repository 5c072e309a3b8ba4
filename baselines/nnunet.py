"""nnU-Net v2, the package itself, trained on the same few labels as every other method."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from parallax.case import Prediction, TestView, TrainView
from parallax.data.files import write_bytes
from parallax.learn.device import device_name, peak_memory_mib
from parallax.learn.method import Cost, Method
from parallax.learn.nnunet_driver import NnunetPredictor, NnunetRun, TrainedNnunet, train_nnunet
from parallax.learn.nnunet_workspace import NnunetCases, nnunet_cases

_PROGRESS_EVERY_S = 2.0
_LONG_STEPS = 10_000  # nnU-Net's own optimiser is meant for 250 000 steps
_SGD_RATE = 0.01  # nnU-Net's own


class NnUNet(Method):
    """One nnU-Net per modality (`per_modality`), or one with all modalities as its channels (`channels`)."""

    name = "nnunet"
    title = "nnU-Net"
    source = (
        "Isensee et al. 2021, Nature Methods 18:203-211, doi:10.1038/s41592-020-01008-z; "
        "the package nnunetv2 2.8.1 (MIC-DKFZ/nnUNet), driven in one process"
    )
    adapter = "native"
    presets = {
        "paper": {"inputs": "per_modality", "optimiser": "by_steps"},
        "channels": {"inputs": "channels", "optimiser": "by_steps"},
    }
    preset_adapters = {"channels": "broadcast"}
    choices = {"inputs": ("per_modality", "channels"), "optimiser": ("by_steps", "adamw", "sgd")}
    no_released = "the preset paper already runs the released package"

    def set_up(self) -> None:
        """No network yet: `fit` or `load` brings them."""
        self._networks: dict[int, TrainedNnunet] = {}
        self._predictors: dict[int, NnunetPredictor] = {}

    def fit(self, view: TrainView, scratch: Path) -> Cost:
        """Train one nnU-Net after the other; unlabelled cases are not used.

        Raises:
            DataError: when no labelled case holds what a network needs.
            TrainingError: when a loss is not finite.
        """
        chosen = self._cases(view)
        steps = self.budget.nnunet_steps or self.budget.steps
        progress = _Progress(scratch, steps * len(chosen))
        runs: dict[int, NnunetRun] = {}
        for index, (modality, cases) in enumerate(chosen.items()):
            runs[modality] = train_nnunet(
                cases,
                self.budget,
                scratch / f"network-{modality}",
                seed=self.seed,
                learning_rate=self.budget.learning_rate if self._short(steps) else _SGD_RATE,
                short=self._short(steps),
                device=self.device,
                report=lambda step, done=index * steps: progress.show(done + step),  # type: ignore[misc]
            )
        self._networks = {modality: run.trained for modality, run in runs.items()}
        self._predictors = {}
        return self._cost(list(runs.values()), steps)

    def save(self, folder: Path) -> None:
        """Write plans, dataset description and weights of each network."""
        for modality, network in self._networks.items():
            network.save(folder / f"network-{modality}")

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        folders = sorted(folder.glob("network-*"))
        self._networks = {int(f.name.split("-")[1]): TrainedNnunet.load(f) for f in folders}
        self._predictors = {}

    def predict(self, view: TestView) -> Prediction:
        """Segment one case on the native grid of each modality that it has.

        A modality that no label was given for is segmented by the network of another one, as it is.
        """
        from parallax.data.frame import native_label_maps

        shape = view.sample.grid.shape
        scores = np.zeros((len(self.task.modalities), self.task.n_classes, *shape), dtype=np.float32)
        if self.switches["inputs"] == "channels":
            scores[:] = self._predictor(0).probabilities(view.sample)
            return native_label_maps(scores, view)
        for modality, there in enumerate(view.sample.available):
            if there:
                scores[modality] = self._predictor(modality).probabilities(view.sample, (modality,))
        return native_label_maps(scores, view)

    def _cases(self, view: TrainView) -> dict[int, NnunetCases]:
        """The labelled cases of each network, by the modality whose masks it learns (`channels`: by 0)."""
        modalities = range(len(self.task.modalities))
        if self.switches["inputs"] == "channels":
            every = [nnunet_cases(view, tuple(modalities), reference) for reference in modalities]
            return {0: next((cases for cases in every if cases.samples), every[0])}
        alone = {k: nnunet_cases(view, (k,), k) for k in modalities}
        return {k: cases for k, cases in alone.items() if cases.samples} or {0: alone[0]}

    def _short(self, steps: int) -> bool:
        chosen = self.switches["optimiser"]
        return bool(steps < _LONG_STEPS if chosen == "by_steps" else chosen == "adamw")

    def _predictor(self, modality: int) -> NnunetPredictor:
        if not self._networks:
            raise RuntimeError("nnunet: neither fit nor load was called")
        owner = modality if modality in self._networks else min(self._networks)
        if owner not in self._predictors:
            self._predictors[owner] = NnunetPredictor(self._networks[owner], self.device)
        return self._predictors[owner]

    def _cost(self, runs: list[NnunetRun], steps: int) -> Cost:
        return Cost(
            parameters=sum(run.parameters for run in runs),
            steps=steps,
            samples_seen=steps * self.budget.batch * len(runs),
            forward_passes_per_step=float(len(runs)),
            train_s=sum(run.train_s for run in runs),
            peak_memory_mib=peak_memory_mib(self.device),
            device=device_name(self.device),
        )


class _Progress:
    def __init__(self, scratch: Path, steps: int) -> None:
        self.path, self.steps = scratch / "progress.json", steps
        self.started = self.shown = time.monotonic()

    def show(self, step: int) -> None:
        now = time.monotonic()
        if step < self.steps and now - self.shown < _PROGRESS_EVERY_S:
            return
        line = {"step": step, "steps": self.steps, "s": round(now - self.started, 1)}
        write_bytes(self.path, json.dumps(line).encode())
        self.shown = now
