"""Modalities that are absent: networks that never read them, and which ones a training step does without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor


def drop_modalities(available: Tensor, generator: torch.Generator) -> Tensor:
    """Keep each available modality [B, K] with probability 1/2; where none is left, one at random.

    Source: cchen-cc/Robust-Mseg@fa35dda. Every subset of K modalities has probability 2^-K, a single one
    2^-K (1 + 1/K).
    """
    shape = tuple(available.shape)
    kept = available & (torch.rand(shape, generator=generator) < 0.5).to(available.device)
    return torch.where(kept.any(dim=1, keepdim=True), kept, _one(available, generator))


def any_subset(available: Tensor, generator: torch.Generator) -> Tensor:
    """Of each item one of the subsets of its available modalities [B, K], all equally likely.

    Source: dyh127/RFNet@1e475fa, YaoZhang93/mmFormer@b18663a.
    """
    table = torch.tensor(subsets(available.shape[1]), device=available.device)
    possible = ((table[None] & ~available[:, None]).any(dim=2) == 0).float()
    drawn = torch.multinomial(possible.cpu(), 1, generator=generator)[:, 0].to(available.device)
    return table[drawn]


def any_size(available: Tensor, generator: torch.Generator) -> Tensor:
    """How many of the available modalities [B, K] are kept is uniform, from one to all; then which.

    Source: ReubenDo/U-HVED@1d293a8.
    """
    shape = tuple(available.shape)
    count = available.sum(dim=1, keepdim=True)
    size = 1 + (torch.rand((shape[0], 1), generator=generator).to(available.device) * count).long()
    priority = torch.rand(shape, generator=generator).to(available.device).masked_fill(~available, -1.0)
    rank = priority.argsort(dim=1, descending=True).argsort(dim=1)
    return available & (rank < size)


def subsets(modalities: int) -> list[list[bool]]:
    """The 2^K - 1 non-empty subsets of K modalities, small ones first."""
    chosen = [c for size in range(1, modalities + 1) for c in combinations(range(modalities), size)]
    return [[k in some for k in range(modalities)] for some in chosen]


def where_available(
    inputs: Sequence[Any], available: Tensor, apply: Callable[[int, Sequence[Tensor]], list[Tensor]]
) -> list[list[Tensor]]:
    """`apply(k, inputs[k])` on the items that have modality k; zeros for the others, which are never read.

    Args:
        inputs: per modality one tensor [B, ...] or several of them.
        available: bool [B, K].
        apply: makes some tensors [N, ...] of (k, the rows [N, ...] of `inputs[k]`).
    """
    outputs: list[list[Tensor] | None] = []
    for k, entry in enumerate(inputs):
        tensors, rows = ([entry] if isinstance(entry, Tensor) else entry), available[:, k]
        if bool(rows.all()):
            outputs.append(apply(k, tensors))
        elif bool(rows.any()):
            outputs.append([_scatter(y, rows) for y in apply(k, [x[rows] for x in tensors])])
        else:
            outputs.append(None)
    shapes = next(found for found in outputs if found is not None)
    return [[torch.zeros_like(y) for y in shapes] if found is None else found for found in outputs]


def _scatter(values: Tensor, rows: Tensor) -> Tensor:
    full = values.new_zeros(len(rows), *values.shape[1:])
    return full.index_put((rows.nonzero()[:, 0],), values)


def _one(available: Tensor, generator: torch.Generator) -> Tensor:
    priority = torch.rand(tuple(available.shape), generator=generator).to(available.device) * available
    one = torch.zeros_like(available).scatter_(1, priority.argmax(dim=1, keepdim=True), True)
    return one & available
