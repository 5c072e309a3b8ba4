"""What a network says of unlabelled images, made into something to learn from. No gradient flows into it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from parallax.case import IGNORE
from parallax.data.components import beside_largest
from parallax.learn.losses import softmax_ce


def hard_labels(
    logits: Tensor,
    available: Tensor | None = None,
    *,
    threshold: float = 0.0,
    relative: bool = False,
    unsure: int = IGNORE,
) -> Tensor:
    """Label maps of the likeliest classes; `IGNORE` where the modality is absent.

    Args:
        logits: [B, K, C, X, Y, Z].
        available: bool [B, K], or None where all are there.
        threshold: least confidence, the probability of the likeliest class.
        relative: confidence is 1 - least probability / largest probability (HiLab-git/SSL4MIS@06df604).
        unsure: label where confidence is too low.

    Returns:
        int64 [B, K, X, Y, Z].
    """
    with torch.no_grad():
        p = logits.float().softmax(dim=2)
        confidence, label = p.max(dim=2)
        if relative:
            confidence = 1.0 - p.amin(dim=2) / confidence
        label = label.where(confidence >= threshold, unsure)
        if available is not None and not bool(available.all()):
            label = label.where(available[:, :, None, None, None], IGNORE)
    return label


def largest_components(label: Tensor, kept: Sequence[int]) -> Tensor:
    """The largest components of each structure of each map; what else it had becomes background.

    Runs on the CPU, as `count_components` does.

    Args:
        label: integer [..., X, Y, Z]; values that are no structure (`IGNORE`) stay.
        kept: [C], how many of each structure (the background's place means nothing).
    """
    result = label.cpu().numpy().copy()
    for structure, part in _structures(result, len(kept)):
        lost, count = beside_largest(part == structure, kept[structure])
        if count > kept[structure]:
            part[lost] = 0
    return torch.from_numpy(result).to(label.device)


def count_components(label: Tensor, classes: int) -> list[int]:
    """Number of components [C] of each structure.

    The map [..., X, Y, Z] that has most of it counts; never less than 1.
    """
    most = [1] * classes
    for structure, part in _structures(label.cpu().numpy(), classes):
        most[structure] = max(most[structure], beside_largest(part == structure)[1])
    return most


def _structures(label: NDArray[Any], classes: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Each structure of each map of [..., X, Y, Z] and the box around it, a view."""
    from scipy.ndimage import find_objects

    for volume in label.reshape(-1, *label.shape[-3:]):
        for structure, box in enumerate(find_objects(volume, max_label=classes - 1), start=1):
            if box is not None:
                yield structure, volume[box]


def sharpened(p: Tensor, temperature: float, *, dim: int, renormalise: bool = True) -> Tensor:
    """p^(1/T) / sum over classes of p^(1/T); a distribution again for any number of classes.

    Args:
        p: probabilities.
        temperature: T; below 1 it sharpens.
        dim: axis of the classes.
        renormalise: False takes p^(1/T) / (p^(1/T) + (1 - p)^(1/T)) of each class alone, which sums to 1 only
            for two classes (ycwu1997/MC-Net@fee453c).
    """
    if renormalise:
        return (p.clamp_min(1e-12).log() / temperature).softmax(dim=dim)
    sharp, rest = p ** (1.0 / temperature), (1.0 - p) ** (1.0 / temperature)
    return sharp / (sharp + rest)


def entropy(p: Tensor, *, dim: int, floor: float = 1e-6) -> Tensor:
    """-sum p log(p + floor) over the classes along `dim`; at most ln C."""
    return -(p * (p + floor).log()).sum(dim=dim)


def greatest_entropy(classes: int) -> float:
    """ln C, that of the even distribution."""
    return math.log(classes)


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Mean over known voxels; logits [B, K, C, ...], label [B, K, ...]; 0 where no voxel is known."""
    if not bool((label != IGNORE).any()):
        return logits.sum() * 0.0
    return softmax_ce(logits.flatten(0, 1).float(), label.flatten(0, 1), ignore=IGNORE)
