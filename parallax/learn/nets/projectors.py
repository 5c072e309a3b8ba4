"""From features of two branches into one space in which they are compared."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN, WIDTH = 256, 128


class PairProjector(nn.Module):
    """Linear layer, ReLU, linear layer, length 1; the last layer serves both branches.

    Source: kathyliu579/MCSC@0fe180e, whose convolutions of size 1 these layers are.

    Args:
        widths: features of the cnn and of the transformer.
        norm: whether the features of the transformer go through a layer norm first.
    """

    def __init__(self, widths: Sequence[int], *, norm: bool) -> None:
        super().__init__()
        cnn, transformer = widths
        self.cnn = nn.Linear(cnn, HIDDEN)
        self.transformer = nn.Sequential(
            *([nn.LayerNorm(transformer)] if norm else []), nn.Linear(transformer, HIDDEN)
        )
        self.shared = nn.Linear(HIDDEN, WIDTH)

    def forward(self, cnn: Tensor, transformer: Tensor) -> Tensor:
        """[M, ..., F] and [M, ..., G] to [2M, ..., 128], those of the cnn first."""
        hidden = torch.cat([self.cnn(cnn), self.transformer(transformer)])
        return F.normalize(self.shared(F.relu(hidden)).float(), dim=-1)
