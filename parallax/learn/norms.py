"""Normalisation layers that differ between modalities while everything around them is shared."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class ModalityNorm(nn.Module):
    """K norms of one kind, of which one is in use: parameters and statistics are those of one modality.

    Args:
        make: gives a new norm.
        modalities: K.
    """

    def __init__(self, make: Callable[[], nn.Module], modalities: int) -> None:
        super().__init__()
        self.each = nn.ModuleList(make() for _ in range(modalities))
        self.modality = 0

    def forward(self, x: Tensor) -> Tensor:
        """The norm of the modality that `of_modality` chose."""
        normalised: Tensor = self.each[self.modality](x)
        return normalised


def of_modality(network: Network, modality: int) -> Network:
    """`network` itself, with each of its `ModalityNorm` set to `modality` (until it is set again)."""
    for module in network.modules():
        if isinstance(module, ModalityNorm):
            module.modality = modality
    return network


def replace_instance_norms(network: Network, make: Callable[[int], nn.Module]) -> Network:
    """`network` with every instance norm replaced in place by `make(channels)`; other weights stay."""
    _replace(network, make, {})
    return network


def group_norm(channels: int, groups: int = 8) -> nn.GroupNorm:
    """Group norm with at most `groups` groups: the largest number that divides `channels` too."""
    return nn.GroupNorm(math.gcd(groups, channels), channels)


def _replace(
    module: nn.Module, make: Callable[[int], nn.Module], replaced: dict[nn.Module, nn.Module]
) -> None:
    # Blocks of the backbone refer to one layer twice (by name and in a sequence); both must get one new one.
    for name, child in module._modules.items():
        if isinstance(child, (nn.InstanceNorm2d, nn.InstanceNorm3d)):
            if child not in replaced:
                replaced[child] = make(child.num_features)
            module._modules[name] = replaced[child]
        elif child is not None:
            _replace(child, make, replaced)
