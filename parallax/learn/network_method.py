"""Base class of the methods that train a network: subclass it, fill three hooks, get the rest."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from parallax.case import Budget, Pairing, Prediction, Task, TestView, TrainView
from parallax.learn.batch import Batch
from parallax.learn.checkpoint import write_atomically
from parallax.learn.inference import class_scores
from parallax.learn.loop import Clock, TrainingError, train
from parallax.learn.method import Cost, Method

__all__ = ["Batch", "Clock", "NetworkMethod", "TrainingError"]

_WEIGHTS = "weights.pt"


class NetworkMethod(Method):
    """A method whose model is one `nn.Module` (which may hold several networks).

    The engine gives every such method the same optimiser (AdamW, one-cycle rate, clipping per parameter
    group), crops, checkpoints and inference: methods differ in what their hooks say and in nothing else.

    Attributes:
        forward_passes_per_step: networks applied to `budget.batch` crops in a step, for the tables.
        paired_crops: whether all modalities of an item come from one case. False on unpaired tasks, whose
            cases are single scans: crops of other cases fill every modality, for all methods alike. `set_up`
            may say otherwise.
        class_weights: [C], square root of the inverse class frequency over the labelled cases, mean 1; ones
            until `fit` sets it (before `build`).
        net: what `build` returned, trained by `fit` or filled by `load`.
    """

    forward_passes_per_step: float = 1.0

    def __init__(
        self, task: Task, budget: Budget, *, switches: Mapping[str, Any], seed: int, device: str = "cpu"
    ) -> None:
        self.class_weights: Tensor = torch.ones(task.n_classes, device=device)
        self.net: nn.Module | None = None
        self.paired_crops = task.pairing is not Pairing.UNPAIRED
        super().__init__(task, budget, switches=switches, seed=seed, device=device)

    @abstractmethod
    def build(self) -> nn.Module:
        """The untrained network, on the CPU. Build each part inside `initialised(self.seed, key)`."""

    @abstractmethod
    def loss(
        self, net: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """Named, weighted loss terms (scalars) of one step; the engine adds them and backpropagates once.

        `unlabelled` is None unless the method declares `uses_unlabelled`.
        """

    @abstractmethod
    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """Logits [B, K, C, X, Y, Z] of image [B, K, X, Y, Z] and available [B, K], at test time."""

    def parameter_groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """Groups for AdamW, clipped apart; a group may carry `lr_scale`, `betas` and `weight_decay`."""
        return [{"params": [p for p in net.parameters() if p.requires_grad]}]

    def after_step(self, net: nn.Module, clock: Clock) -> None:  # noqa: ARG002 (a hook)
        """Called after each optimiser step (moving averages and the like)."""
        return

    def fit(self, view: TrainView, scratch: Path) -> Cost:
        """Train; resumes from `scratch`, on a CPU to the same bits as an uninterrupted run.

        Raises:
            TrainingError: if nothing is labelled or a loss term is not finite.
        """
        self.net, cost = train(self, view, scratch)
        return cost

    def save(self, folder: Path) -> None:
        """Write the weights into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / _WEIGHTS, self._network().state_dict())

    def load(self, folder: Path) -> None:
        """Read the weights that `save` wrote."""
        net = self.build()
        net.load_state_dict(torch.load(folder / _WEIGHTS, map_location="cpu", weights_only=True))
        self.net = net.to(self.device)

    def predict(self, view: TestView) -> Prediction:
        """Segment one case on the native grid of each modality that it has."""
        from parallax.data.frame import native_label_maps

        net = self._network().eval()
        scores = class_scores(lambda x, a: self.logits(net, x, a), view.sample, self.budget, self.device)
        return native_label_maps(scores, view)

    def _network(self) -> nn.Module:
        if self.net is None:
            raise RuntimeError(f"{self.name}: neither fit nor load was called")
        return self.net
