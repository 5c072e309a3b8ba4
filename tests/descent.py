"""A few steps of plain gradient descent, to see that a loss can be lowered."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def descend(net: nn.Module, loss: Callable[[int], dict[str, Tensor]], steps: int) -> list[dict[str, float]]:
    """Values of the terms of `loss(step)` over AdamW steps at the rate of the suite."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-2)
    values = []
    for step in range(steps):
        terms = loss(step)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        values.append({name: term.item() for name, term in terms.items()})
    return values
