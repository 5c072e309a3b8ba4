"""What one training step is given."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from parallax.case import IGNORE


@dataclass(frozen=True)
class Batch:
    """B crops of K modalities.

    Attributes:
        image: float32 [B, K, X, Y, Z]; zeros where a modality is absent.
        label: int64 [B, K, X, Y, Z], `IGNORE` where nothing is known; None for unlabelled cases.
        available: bool [B, K], True where the modality exists.
        cases: id of each item (`a+b` where the modalities of an item come from cases a and b).
    """

    image: Tensor
    label: Tensor | None
    available: Tensor
    cases: tuple[str, ...]

    @property
    def labelled(self) -> Tensor:
        """Bool [B, K], True where a modality of an item carries at least one known voxel."""
        if self.label is None:
            return torch.zeros_like(self.available)
        return (self.label != IGNORE).flatten(2).any(dim=2)

    def to(self, device: str) -> Batch:
        """The same batch on another device."""
        label = None if self.label is None else self.label.to(device)
        return replace(self, image=self.image.to(device), label=label, available=self.available.to(device))
