"""Alignment of two modalities: of whole cases (global) and of the tokens of one case (local)."""

from __future__ import annotations

import torch
from torch import Tensor

from parallax.learn.consistency import cosines
from parallax.learn.losses import softmax_ce


def global_alignment(a: Tensor, b: Tensor, temperature: float = 0.07) -> Tensor:
    """Symmetric InfoNCE of N cases: vector i of one modality belongs to vector i of the other.

    Mean of both directions; ln N where all vectors are equal, 0 where N is 1.

    Args:
        a: one modality [N, D].
        b: the other [N, D].
        temperature: 0.07 as in HKU-MedAI/MGCA@680fe4a.
    """
    return _both_ways(cosines(a.float()[None], b.float()[None]) / temperature)


def local_alignment(a: Tensor, b: Tensor, temperature: float = 0.1) -> Tensor:
    """Each token shall be found, among the tokens of its case, by what it attends to in the other modality.

    A token of one modality attends to the tokens of the other (softmax of cosines over temperature) and has
    to match its own read-out against those of all other tokens. Mean over cases, tokens, both directions of
    the match and both modalities; ln n where all tokens are equal.

    Args:
        a: tokens of one modality [N, n, D].
        b: tokens of the other [N, m, D].
        temperature: 0.1 as in HKU-MedAI/MGCA@680fe4a.
    """
    a, b = a.float(), b.float()
    similar = cosines(a, b) / temperature
    with torch.autocast(a.device.type, enabled=False):
        a_reads, b_reads = similar.softmax(dim=2) @ b, similar.transpose(1, 2).softmax(dim=2) @ a
    found = [_both_ways(cosines(x, read) / temperature) for x, read in ((a, a_reads), (b, b_reads))]
    return 0.5 * (found[0] + found[1])


def _both_ways(logits: Tensor) -> Tensor:
    """Cross-entropy of logits [N, n, n] whose diagonal is right, by rows and by columns."""
    own = torch.arange(logits.shape[1], device=logits.device).expand(len(logits), -1)
    return 0.5 * (softmax_ce(logits, own) + softmax_ce(logits.transpose(1, 2), own))
