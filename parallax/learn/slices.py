"""Volumes as stacks of slices, for networks that work in two dimensions."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Plane = Literal["sagittal", "coronal", "axial"]
AXES: dict[Plane, int] = {"sagittal": 0, "coronal": 1, "axial": 2}  # across the slices, in the RAS frame


def to_slices(volume: Tensor, plane: Plane) -> Tensor:
    """Slices [B * n, F, P, Q] of a volume [B, F, X, Y, Z]; those of one item follow each other.

    n is the extent across the plane; P and Q are those within it, in the order of the volume.
    """
    return volume.movedim(2 + AXES[plane], 1).flatten(0, 1)


def from_slices(slices: Tensor, plane: Plane, items: int) -> Tensor:
    """Volume [B, F, X, Y, Z] of B = `items` from its slices; undoes `to_slices`."""
    stacks = slices.reshape(items, -1, *slices.shape[1:])
    return stacks.movedim(1, 2 + AXES[plane])


def with_neighbours(volume: Tensor, plane: Plane) -> Tensor:
    """Each slice of [B, 1, X, Y, Z] between the one before and the one after it: [B, 3, X, Y, Z].

    At the two ends of the stack the slice stands for the neighbour that it lacks.
    """
    axis, last = 2 + AXES[plane], volume.shape[2 + AXES[plane]] - 1
    place = torch.arange(last + 1, device=volume.device)
    before, after = (place - 1).clamp(min=0), (place + 1).clamp(max=last)
    return torch.cat([volume.index_select(axis, before), volume, volume.index_select(axis, after)], dim=1)


class SliceWise(nn.Module):
    """A network of slices that is given volumes: every slice as one item, with its neighbours as channels.

    Args:
        network: takes [n, 3, P, Q], gives [n, C, P, Q].
        plane: plane of the slices.
    """

    def __init__(self, network: nn.Module, plane: Plane) -> None:
        super().__init__()
        self.network, self.plane = network, plane

    def forward(self, volume: Tensor) -> Tensor:
        """[B, C, X, Y, Z] of a volume [B, 1, X, Y, Z]."""
        slices = to_slices(with_neighbours(volume, self.plane), self.plane)
        return from_slices(self.network(slices), self.plane, len(volume))
