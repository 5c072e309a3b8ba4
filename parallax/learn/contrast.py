"""Contrast between vectors of known class, each class with the same say however many vectors it has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from parallax.case import IGNORE


def balanced_contrast(vectors: Tensor, label: Tensor, temperature: float) -> Tensor:
    """Mean over vectors i of -(1/|P|) sum over p in P of log(e(i, p) / sum over classes of mean e(i, j)).

    e(i, j) = exp(z_i z_j / T); P holds the other vectors of the class of i, and the mean over a class goes
    over its vectors without i. A vector alone in its class counts as 0. Background is a class like others.
    Source: kathyliu579/MCSC@0fe180e.

    Args:
        vectors: [N, D], of length 1; in reduced precision they are taken as float32.
        label: int64 [N]; vectors with `IGNORE` take no part.
        temperature: T.

    Returns:
        A scalar; 0 (with a graph) where no class has two vectors.
    """
    known = label != IGNORE
    if not bool(known.any()):
        return vectors.sum() * 0.0
    z, label = vectors[known], label[known]
    with torch.autocast(z.device.type, enabled=False):
        z = z.float() if z.dtype in (torch.float16, torch.bfloat16) else z
        members = F.one_hot(label).to(z.dtype)
        others = members.sum(dim=0) - members  # [N, C], of each class without the vector itself
        mates = others.gather(1, label[:, None])[:, 0]
        some = mates > 0
        if not bool(some.any()):
            return vectors.sum() * 0.0
        # The greatest possible similarity is taken off, so that no power overflows.
        powers = ((z @ z.T - 1.0) / temperature).fill_diagonal_(-torch.inf).exp()
        spread = (powers @ members / others.clamp(min=1.0)).sum(dim=1)[some].log()
        alike = ((members.T @ z)[label] - z)[some] / mates[some, None]
        closeness = ((alike * z[some]).sum(dim=1) - 1.0) / temperature
        return (spread - closeness).sum() / len(z)


def tile_starts(size: int, side: int, *, cover: bool) -> list[int]:
    """Where the blocks of `side` (at most `size`) voxels begin along an axis of `size` voxels.

    Args:
        size: extent of the axis.
        side: extent of a block.
        cover: as few blocks as cover the axis, evenly spread (they may overlap); else size // side - 1 blocks
            that touch, at least one, which leaves the end of the axis out (kathyliu579/MCSC@0fe180e).
    """
    side = min(size, side)
    if not cover:
        return [side * i for i in range(max(size // side - 1, 1))]
    last = -(-size // side) - 1
    return [round(i * (size - side) / last) for i in range(last + 1)] if last else [0]


def shuffled_blocks(
    features: Tensor,
    label: Tensor,
    *,
    side: int,
    cover: bool,
    at_most: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Blocks of each map, in an order that is drawn for each map on its own.

    Args:
        features: [M, F, ...], two or three axes.
        label: int64 [M, ...], of any extent: the nearest voxels are taken.
        side: extent of a block along each axis.
        cover: see `tile_starts`.
        at_most: how many blocks of each map are kept.
        generator: on the CPU.

    Returns:
        Vectors [M, n, V, F] and their labels [M, n, V]: n blocks of V voxels.
    """
    extent, device = tuple(features.shape[2:]), features.device
    for axis, n in enumerate(extent, start=1):
        nearest = torch.arange(n, device=device) * label.shape[axis] // n
        label = label.index_select(axis, nearest)
    voxel = torch.arange(math.prod(extent)).view(extent)
    corners = product(*(tile_starts(n, side, cover=cover) for n in extent))
    blocks = torch.stack([voxel[_window(corner, side, extent)].flatten() for corner in corners])
    orders = [torch.randperm(len(blocks), generator=generator)[:at_most] for _ in features]
    chosen = torch.stack([blocks[order] for order in orders]).to(device)  # [M, n, V]
    rows = torch.arange(len(features), device=device)[:, None, None]
    return features.flatten(2).transpose(1, 2)[rows, chosen], label.flatten(1)[rows, chosen]


def contrast_of_blocks(vectors: Tensor, label: Tensor, temperature: float) -> Tensor:
    """Mean contrast of n sets; set k has the k-th blocks of all maps. Sets of background alone are left out.

    Args:
        vectors: [M, n, V, D], of length 1.
        label: int64 [M, n, V].
        temperature: see `balanced_contrast`.

    Returns:
        A scalar; 0 (with a graph) where no set is left.
    """
    losses = [
        balanced_contrast(z.flatten(0, 1), y.flatten(), temperature)
        for z, y in zip(vectors.unbind(1), label.unbind(1), strict=True)
        if bool(((y != 0) & (y != IGNORE)).any())
    ]
    return torch.stack(losses).mean() if losses else vectors.sum() * 0.0


def _window(corner: Sequence[int], side: int, extent: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(at, at + min(side, n)) for at, n in zip(corner, extent, strict=True))
