"""Between voxel maps and tokens, for the methods with a transformer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The peak rate of 2e-2 is far above what is usual for transformers; a twentieth, 1e-3, is in that range.
# The full rate was not compared.
TRANSFORMER_RATE = 0.05


def two_rates(net: nn.Module, transformers: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
    """Groups for AdamW: `transformers` at `TRANSFORMER_RATE` of the suite's rate, all else at that rate."""
    slow = list(transformers)
    known = {id(parameter) for parameter in slow}
    fast = [parameter for parameter in net.parameters() if id(parameter) not in known]
    return [{"params": fast}, {"params": slow, "lr_scale": TRANSFORMER_RATE}]


def to_tokens(x: Tensor) -> Tensor:
    """[B, C, X, Y, Z] to [B, X*Y*Z, C]."""
    return x.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, grid: Sequence[int]) -> Tensor:
    """[B, X*Y*Z, C] to [B, C, X, Y, Z]; inverse of `to_tokens`."""
    return tokens.transpose(1, 2).unflatten(2, tuple(grid))  # type: ignore[no-untyped-call,no-any-return]


class GridPositions(nn.Module):
    """A learned vector per cell of a grid, zero at first.

    Maps of another size (windows and whole volumes at test) take the vectors by trilinear interpolation, so
    that a cell keeps its place relative to the borders.

    Args:
        width: numbers per vector.
        grid: cells along each axis in training.
    """

    def __init__(self, width: int, grid: Sequence[int]) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(1, width, *grid))

    def forward(self, grid: Sequence[int]) -> Tensor:
        """Vectors [1, X*Y*Z, width] of a map of `grid` cells."""
        table: Tensor = self.table
        if tuple(grid) != tuple(table.shape[2:]):
            table = F.interpolate(table, size=tuple(grid), mode="trilinear", align_corners=False)
        return to_tokens(table)
