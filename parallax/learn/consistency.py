"""Consistency between the streams of two modalities: CSC on features, CAC on predictions (CMC)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from parallax.case import IGNORE
from parallax.errors import ConfigError
from parallax.learn.losses import softmax_ce
from parallax.learn.schedule import gaussian_ramp

Measure = Callable[[Tensor, Tensor], Tensor]


def channel_infonce(a: Tensor, b: Tensor, temperature: float = 0.5, value: str = "exact") -> Tensor:
    """Symmetric InfoNCE between the channels of two feature maps; the positive is the same channel.

    Per item the rows are the C channels, flattened over voxels; their C x C cosines are divided by
    `temperature`. Invariant to one permutation of the voxels of both maps, not to one of the channels of one.
    Our form of the "channel-wise semantic consistency" that the abstract of CMC names; mean of items.

    Args:
        a: features of one modality [B, C, X, Y, Z].
        b: features of the other, same shape.
        temperature: 0.5, that of the release.
        value: see `cosines`.
    """
    logits = cosines(a.flatten(2).float(), b.flatten(2).float(), value) / temperature
    items, channels = logits.shape[:2]
    same = torch.arange(channels, device=logits.device).expand(items, channels)
    return 0.5 * (softmax_ce(logits, same) + softmax_ce(logits.transpose(1, 2), same))


def memory_rows_ntxent(a: Tensor, b: Tensor, temperature: float = 0.5, value: str = "exact") -> Tensor:
    """NT-Xent over rows that are C consecutive numbers in memory, as the release computes CSC; mean of items.

    The map [C, X, Y, Z] of an item is reshaped to [XYZ, C] without a transpose, so that a row is neither a
    voxel nor a channel. Source: med-air/CMC@cb8dd11, main.py:128-143 (MONAI's ContrastiveLoss per item).
    Arguments as of `channel_infonce`.
    """
    items, channels = a.shape[:2]
    rows = torch.cat([x.float().reshape(items, -1, channels) for x in (a, b)], dim=1)
    logits = cosines(rows, rows, value) / temperature
    own = torch.eye(rows.shape[1], dtype=torch.bool, device=rows.device)
    logits = logits.masked_fill(own, -torch.inf)
    partner = torch.arange(rows.shape[1], device=rows.device).roll(rows.shape[1] // 2)
    return softmax_ce(logits, partner.expand(items, -1))


def cosines(a: Tensor, b: Tensor, value: str = "exact", limit_mib: float = 1024.0) -> Tensor:
    """Cosine of every row of `a` [B, M, D] with every row of `b` [B, N, D] -> [B, M, N].

    Args:
        a: rows.
        b: other rows.
        value: `exact` and `matmul`: one product of all rows, B * M * N numbers; `broadcast`: as MONAI does
            it, B * M * N * D numbers (128 GiB per item at the published sizes).
        limit_mib: memory above which `broadcast` is refused.

    Raises:
        ConfigError: if `broadcast` would need more than `limit_mib`.
    """
    if value != "broadcast":
        # Lengths divide the small product, not the rows: no normalised copy of the features is kept.
        lengths: Tensor = (
            torch.linalg.vector_norm(a, dim=2)[:, :, None] * torch.linalg.vector_norm(b, dim=2)[:, None]
        )
        return _product(a, b) / lengths.clamp_min(1e-8)
    need_mib = 4.0 * math.prod(a.shape) * b.shape[1] / 2**20
    if need_mib > limit_mib:
        raise ConfigError(
            "The pairwise cosine of CSC does not fit in memory",
            where="switch csc_value=broadcast of cmc",
            expected=f"at most {limit_mib:.0f} MiB",
            found=f"{need_mib:.0f} MiB",
            remedy="set csc_value to matmul, which gives the same number",
        )
    return F.cosine_similarity(a.unsqueeze(2), b.unsqueeze(1), dim=3)


def _product(a: Tensor, b: Tensor) -> Tensor:
    with torch.autocast(a.device.type, enabled=False):
        product: Tensor = a @ b.transpose(1, 2)
    return product


def soft_agreement(a: Tensor, b: Tensor, smooth: float) -> Tensor:
    """Mean over items and channels of (2 sum(ab) + smooth) / (sum(a^2) + sum(b^2) + smooth); 1 where a = b.

    Args:
        a: maps of one modality [B, C, X, Y, Z].
        b: maps of the other, same shape.
        smooth: in voxels; decides how much a structure counts that neither map shows.
    """
    a, b = a.flatten(2).float(), b.flatten(2).float()
    overlap, size = (a * b).sum(2), (a * a).sum(2) + (b * b).sum(2)
    return ((2.0 * overlap + smooth) / (size + smooth)).mean()


def prediction_agreement(a: Tensor, b: Tensor, *, form: str, on: str) -> Tensor:
    """CAC between the logits of two modalities; gradient flows into both.

    Args:
        a: logits of one modality [B, C, X, Y, Z], C counts background.
        b: logits of the other, same shape.
        form: `one_minus_soft_dice`: falls as agreement rises; `plus_similarity`: the similarity itself, which
            the release adds to the loss (med-air/CMC@cb8dd11, main.py:107-126). Smoothing is 1e-6 in both, as
            in the release: more would reward empty predictions.
        on: `softmax_foreground`: probabilities without background; `raw_logits_all`: logits with background.
    """
    if on == "softmax_foreground":
        a, b = a.float().softmax(1)[:, 1:], b.float().softmax(1)[:, 1:]
    similarity = soft_agreement(a, b, 1e-6)
    return 1.0 - similarity if form == "one_minus_soft_dice" else similarity


def over_pairs(streams: Sequence[Tensor], available: Tensor, measure: Measure) -> Tensor | None:
    """Mean of `measure` over the pairs of modalities, each on the items that have both; None without any.

    Args:
        streams: K tensors [B, ...].
        available: bool [B, K].
        measure: (one stream, other stream) -> scalar.
    """
    values = []
    for i, j in combinations(range(len(streams)), 2):
        both = available[:, i] & available[:, j]
        if bool(both.all()):
            values.append(measure(streams[i], streams[j]))
        elif bool(both.any()):
            values.append(measure(streams[i][both], streams[j][both]))
    return torch.stack(values).mean() if values else None


def unsupervised_weights(form: str, fraction: float) -> dict[str, float]:
    """Weights of `csc` and `cac` at `fraction` (0 to 1) of training.

    `ones_rampup100`, `ones_rampup40`: Gaussian ramp to 1 for both, over all steps or the first 40 %.
    `head_ramps_gate70`: 0 before 70 %, then
    exp(-5 (1-f)^2) for CSC and (1 + cos(pi f)) / 2 for CAC (med-air/CMC@cb8dd11, epoch 350 of 500).
    """
    if form != "head_ramps_gate70":
        ramp = gaussian_ramp(fraction, {"ones_rampup100": 1.0, "ones_rampup40": 0.4}[form])
        return {"csc": ramp, "cac": ramp}
    if fraction < 0.7:
        return {"csc": 0.0, "cac": 0.0}
    return {"csc": gaussian_ramp(fraction, 1.0), "cac": 0.5 * (1.0 + math.cos(math.pi * fraction))}


def squared_dice_ce(logits: Tensor, label: Tensor) -> Tensor:
    """Dice loss with squared denominators (background counted, 0 / 1e-6 smoothing) plus cross-entropy, 1:1.

    Source: med-air/CMC@cb8dd11, main.py:193-196. Mean over items and classes.

    Args:
        logits: [B, C, X, Y, Z].
        label: int64 [B, X, Y, Z]; voxels with `IGNORE` take no part.
    """
    logits, known = logits.float(), (label != IGNORE).unsqueeze(1)
    if not bool(known.any()):
        return logits.sum() * 0.0
    truth = F.one_hot(label.where(known[:, 0], 0), logits.shape[1]).movedim(-1, 1) * known
    guess = (logits.softmax(1) * known).flatten(2)
    truth = truth.to(guess.dtype).flatten(2)
    overlap, size = (guess * truth).sum(2), (guess * guess).sum(2) + (truth * truth).sum(2)
    return (1.0 - 2.0 * overlap / (size + 1e-6)).mean() + softmax_ce(logits, label, ignore=IGNORE)
