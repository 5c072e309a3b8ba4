"""Crops made of two: a box of one item inside another (CutMix, copy-paste)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from parallax.case import IGNORE
from parallax.learn.batch import Batch


def box_mask(
    items: int,
    size: Sequence[int],
    side: float | Tensor,
    generator: torch.Generator,
    *,
    placed_within: Sequence[int] | None = None,
) -> Tensor:
    """Boxes at random places, one per item.

    Every place that keeps the box within `placed_within` is equally likely.

    Args:
        items: B, number of boxes.
        size: of the crop, in voxels.
        side: side of a box as a share of the crop's (rounded down to voxels), at most 1; also [B] (one for
            each item) or [B, 3] (one for each axis, too).
        generator: source of the places; its device is where the boxes are made.
        placed_within: size in voxels of the region in which places are drawn; `size` unless stated. What lies
            beyond the crop is cut off.

    Returns:
        Bool [B, X, Y, Z], True inside the box.
    """
    extents = torch.tensor(list(size), dtype=torch.float64)
    share = torch.as_tensor(side, dtype=torch.float64).cpu()
    share = share if share.ndim == 2 else share.reshape(-1, 1)
    # 2/3 of 48 is 32, whatever a float makes of it
    length = (share * extents + 1e-6).floor().expand(items, -1)
    region = torch.tensor(list(placed_within or size), dtype=torch.float64)
    drawn = torch.rand(length.shape, generator=generator, device=generator.device).cpu()
    start = (drawn * ((region - length).clamp(min=0) + 1)).floor()
    inside = torch.ones((items, *size), dtype=torch.bool)
    for axis, extent in enumerate(size):
        place = torch.arange(extent)[None]
        within = (place >= start[:, axis, None]) & (place < (start + length)[:, axis, None])
        inside &= within.view(items, *[extent if a == axis else 1 for a in range(len(extents))])
    return inside.to(generator.device)


def pasted(inside: Batch, outside: Batch, box: Tensor) -> Batch:
    """Items of `outside` that hold those of `inside` where `box` is True.

    A mixed item has a modality only where both have it; elsewhere its label is unknown.

    Args:
        inside: B items.
        outside: B items.
        box: bool [B, X, Y, Z], or [1, X, Y, Z] for one box in all items.

    Returns:
        B items; without labels where either has none.
    """
    available = inside.available & outside.available
    here = box[:, None]
    label = None
    if inside.label is not None and outside.label is not None:
        label = torch.where(here, inside.label, outside.label)
        label = label.where(available[:, :, None, None, None], IGNORE)
    return Batch(
        image=torch.where(here, inside.image, outside.image),
        label=label,
        available=available,
        cases=tuple("+".join(pair) for pair in zip(inside.cases, outside.cases, strict=True)),
    )


def chosen(batch: Batch, rows: Tensor) -> Batch:
    """The items of `batch` at `rows` (int64 [N]), in that order, as often as they are named."""
    return Batch(
        image=batch.image[rows],
        label=None if batch.label is None else batch.label[rows],
        available=batch.available[rows],
        cases=tuple(batch.cases[row] for row in rows.tolist()),
    )
