"""Base class of the methods that give each modality a network of its own."""

from __future__ import annotations

from typing import Any

from torch import nn

from parallax.learn.network_method import NetworkMethod
from parallax.learn.networks import UNet, one_per_modality


class PerModality(NetworkMethod):
    """One U-Net per modality, in the order of the task; `loss` and `logits` are up to the subclass."""

    def set_up(self) -> None:
        """One network per modality."""
        self.forward_passes_per_step = float(len(self.task.modalities))

    def build(self) -> nn.Module:
        """One network per modality."""
        classes, widths = self.task.n_classes, self.budget.widths
        return one_per_modality(self.task.modality_names, self.seed, lambda: UNet(1, classes, widths))

    def parameter_groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """One group per network, so that none has a say in how another is clipped."""
        return [{"params": list(part.parameters())} for part in net.children()]
