"""The optimiser of every network that the suite trains."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from parallax.learn.schedule import ADAM_BETAS


class EagerAdamW(torch.optim.AdamW):
    """AdamW without PyTorch's compiler, whose import is 0.9 of the 3 s in which a training starts.

    PyTorch (2.13) wraps these methods so that its compiler may leave them out, and imports it the first time
    that one is called. Here are the methods inside; nothing is compiled.
    """

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)


def adamw(
    groups: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
    *,
    learning_rate: float,
    weight_decay: float = 0.01,
) -> EagerAdamW:
    """AdamW with the suite's betas; parameters or groups of them."""
    return EagerAdamW(groups, lr=learning_rate, betas=ADAM_BETAS, weight_decay=weight_decay, fused=True)
