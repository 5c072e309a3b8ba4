"""Segmentation losses in the exact forms of published codes: they look alike and are not.

All take logits [B, C, ...] and a label [B, ...] (int64, `IGNORE` where nothing is known), skip voxels that
are not known, and are 0 (with a graph) where none is.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from parallax.case import IGNORE

Form = Callable[[Tensor, Tensor], Tensor]

_LEAST_P = 0.005  # a voxel costs at most -ln 0.005 = 5.298; below it the gradient is 0


def soft_dice(
    logits: Tensor,
    label: Tensor,
    *,
    squared: bool,
    smooth_above: float,
    smooth_below: float,
    per_item: bool,
    background: bool = True,
) -> Tensor:
    """1 - mean over classes of (2 sum(p y) + smooth_above) / (sum(p^e) + sum(y) + smooth_below).

    Args:
        logits: [B, C, ...]; p is their softmax.
        label: [B, ...]; y is its one-hot map.
        squared: whether e is 2, else 1.
        smooth_above: added above the line, in voxels.
        smooth_below: added below the line, in voxels.
        per_item: whether sums go over one item (the mean is then over items, too), else over the batch.
        background: whether the background counts as a class.
    """
    known = (label != IGNORE).flatten(1)
    if not bool(known.any()):
        return logits.sum() * 0.0
    p = _single(logits).softmax(dim=1).flatten(2) * known.unsqueeze(1)
    target = label.flatten(1).masked_fill(~known, 0)
    true_p = p.gather(1, target.unsqueeze(1)).squeeze(1)
    empty = p.new_zeros(p.shape[:2])
    overlap = empty.scatter_add(1, target, true_p)
    truth = empty.scatter_add(1, target, known.to(p.dtype))
    guess = (p.square() if squared else p).sum(dim=2)
    if not per_item:
        overlap, truth, guess = (sums.sum(dim=0, keepdim=True) for sums in (overlap, truth, guess))
    dice = (2.0 * overlap + smooth_above) / (guess + truth + smooth_below)
    if per_item:
        dice = dice[known.any(dim=1)]
    return 1.0 - dice[:, 0 if background else 1 :].mean()


def dice_ssl4mis(logits: Tensor, label: Tensor) -> Tensor:
    """Squared guess, sums over the batch, smoothing 1e-5 above and below: a class that nobody shows costs 0.

    Source: HiLab-git/SSL4MIS@06df604, `losses.DiceLoss`; LiheYoung/UniMatch@0324f3d (medical).
    """
    return soft_dice(logits, label, squared=True, smooth_above=1e-5, smooth_below=1e-5, per_item=False)


def dice_robustseg(logits: Tensor, label: Tensor) -> Tensor:
    """Squared guess, sums over the batch, nothing added above: an absent class costs 1 / C at any guess.

    Source: cchen-cc/Robust-Mseg@fa35dda.
    """
    return soft_dice(logits, label, squared=True, smooth_above=0.0, smooth_below=1e-7, per_item=False)


def dice_rfnet(logits: Tensor, label: Tensor) -> Tensor:
    """As `dice_robustseg`, with the guess not squared. Source: dyh127/RFNet@1e475fa."""
    return soft_dice(logits, label, squared=False, smooth_above=0.0, smooth_below=1e-7, per_item=False)


def dice_cmdfl(logits: Tensor, label: Tensor) -> Tensor:
    """Squared guess, per item, structures alone (no background). Source: lixiaopang221/2m_re1@596772f."""
    return soft_dice(
        logits, label, squared=True, smooth_above=1e-5, smooth_below=1e-5, per_item=True, background=False
    )


def dice_mcnet(logits: Tensor, label: Tensor) -> Tensor:
    """Guess not squared, sums over the batch, structures alone, all but nothing added.

    Source: ycwu1997/MC-Net@fee453c, `Binary_dice_loss` (which knows one structure).
    """
    return soft_dice(
        logits, label, squared=False, smooth_above=1e-8, smooth_below=1e-8, per_item=False, background=False
    )


def wce(logits: Tensor, label: Tensor, *, per_item: bool = False) -> Tensor:
    """Cross-entropy of p, held at 0.005 or more, with weights 1 - N_i / N; mean over known voxels.

    Where all voxels are background it is exactly 0: their weight is.
    Source: cchen-cc/Robust-Mseg@fa35dda (over the batch), dyh127/RFNet@1e475fa (per item).

    Args:
        logits: [B, C, ...].
        label: [B, ...].
        per_item: whether the N_i voxels of class i are counted in each item, else in the batch.
    """
    known = (label != IGNORE).flatten(1)
    if not bool(known.any()):
        return logits.sum() * 0.0
    target = label.flatten(1).masked_fill(~known, 0)
    log_p = F.log_softmax(_single(logits), dim=1).flatten(2).clamp(min=math.log(_LEAST_P))
    counts = log_p.new_zeros(log_p.shape[:2]).scatter_add(1, target, known.to(log_p.dtype))
    if not per_item:
        counts = counts.sum(dim=0, keepdim=True).expand_as(counts)
    weights = 1.0 - counts / counts.sum(dim=1, keepdim=True).clamp(min=1.0)
    cost = -weights.gather(1, target) * log_p.gather(1, target.unsqueeze(1)).squeeze(1)
    return cost[known].mean()


def over_heads(form: Form, logits: Tensor, label: Tensor) -> Tensor:
    """Mean of `form` over the K heads that learn something here, each with its own sums.

    Args:
        form: loss of logits [B, C, ...] and label [B, ...].
        logits: [B, K, C, ...].
        label: [B, K, ...].
    """
    taught = [k for k in range(label.shape[1]) if bool((label[:, k] != IGNORE).any())]
    if not taught:
        return logits.sum() * 0.0
    return torch.stack([form(logits[:, k], label[:, k]) for k in taught]).mean()


def _single(logits: Tensor) -> Tensor:
    """Half precision is too coarse for sums over voxels."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
