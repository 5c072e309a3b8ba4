"""Sentences about how a case was acquired, and two encoders that turn them into tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from parallax.case import Task

UNKNOWN = "lesion volume unknown, side unknown"
VOLUMES_ML = (1, 3, 10, 30, 100, 300, 1000, 3000)  # half decades: a closed list of sentences
SIDES = ("left", "middle", "right")


@dataclass(frozen=True)
class Sentences:
    """Every sentence that can be said of a case of one task: a closed list, fixed before training.

    A sentence names the kinds of image, the nominal spacing of the task and the modalities that are present.
    Nothing in it comes from a label, unless `about_label` adds the phrases of the ablation.

    Attributes:
        texts: one sentence per subset of modalities (the empty one first) and phrase.
        phrases: phrases per subset: 1, or one per volume and side with "unknown" first.
    """

    texts: tuple[str, ...]
    phrases: int

    @staticmethod
    def of(task: Task, *, about_label: bool = False) -> Sentences:
        """The sentences of `task`; `about_label` adds volume and side to each."""
        phrases = [""]
        if about_label:
            known = [f"lesion volume {ml} ml, {side}" for ml in VOLUMES_ML for side in SIDES]
            phrases = [f", {phrase}" for phrase in (UNKNOWN, *known)]
        subsets = range(2 ** len(task.modalities))
        return Sentences(tuple(_facts(task, s) + phrase for s in subsets for phrase in phrases), len(phrases))

    def number(self, available: Tensor, phrase: Tensor | None = None) -> Tensor:
        """Which sentence is said of each item: int64 [B].

        Args:
            available: bool [B, K].
            phrase: int64 [B], 0 for "unknown"; all unknown by default.
        """
        bits = 2 ** torch.arange(available.shape[1], device=available.device)
        subset = (available * bits).sum(dim=1)
        return subset * self.phrases + (0 if phrase is None else phrase)


def phrase_number(volume_ml: float, side: float) -> int:
    """Number of the phrase that is nearest: 1 for the smallest volume on the left.

    Args:
        volume_ml: above 0.
        side: -1 (left border) to 1 (right border); within a tenth of the middle plane it is "middle".
    """
    nearest = min(range(len(VOLUMES_ML)), key=lambda i: abs(math.log(volume_ml / VOLUMES_ML[i])))
    place = 1 if abs(side) < 0.1 else 0 if side < 0 else 2
    return 1 + nearest * len(SIDES) + place


class TokenEncoder(nn.Module):
    """Two transformer layers over the words of a closed vocabulary, trained from random weights.

    There are no positions: what is said counts, not in which order.

    Args:
        texts: all sentences; their words are the vocabulary.
        width: numbers per token.
    """

    def __init__(self, texts: Sequence[str], width: int) -> None:
        super().__init__()
        self.width = width
        split = [words(text) for text in texts]
        vocabulary = sorted({word for sentence in split for word in sentence})
        ids = {word: i for i, word in enumerate(vocabulary, start=1)}  # 0 fills short sentences
        longest = max(len(sentence) for sentence in split)
        rows = [[ids[w] for w in sentence] + [0] * (longest - len(sentence)) for sentence in split]
        self.register_buffer("ids", torch.tensor(rows))
        self.embed = nn.Embedding(len(vocabulary) + 1, width, padding_idx=0)
        layer = nn.TransformerEncoderLayer(
            width, 3, 4 * width, 0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, number: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B, T, width] of sentences `number` [B], and bool [B, T], True where there is no word."""
        assert isinstance(self.ids, Tensor)
        ids = self.ids[number]
        hidden = ids == 0
        return self.layers(self.embed(ids), src_key_padding_mask=hidden), hidden


class FrozenTokens(nn.Module):
    """Tokens that another encoder made of every sentence, once, and that training does not change.

    Args:
        tokens: [S, T, D], one row per sentence.
        hidden: bool [S, T], True where a sentence has ended.
    """

    def __init__(self, tokens: Tensor, hidden: Tensor) -> None:
        super().__init__()
        self.width = tokens.shape[2]
        self.register_buffer("tokens", tokens)
        self.register_buffer("hidden", hidden)

    def forward(self, number: Tensor) -> tuple[Tensor, Tensor]:
        """As `TokenEncoder`."""
        assert isinstance(self.tokens, Tensor)
        assert isinstance(self.hidden, Tensor)
        return self.tokens[number], self.hidden[number]


def words(text: str) -> list[str]:
    """Words, numbers and marks of a sentence, lower case."""
    return re.findall(r"[\w.]+|[^\w\s]", text.lower())


def _facts(task: Task, subset: int) -> str:
    present = [m for k, m in enumerate(task.modalities) if subset >> k & 1]
    kinds = " and ".join(sorted({m.kind.upper() for m in present})) or "no image"
    x, y, z = task.spacing_mm
    names = ", ".join(m.name for m in present) or "none"
    return f"{kinds}, slice {z:g} mm, in plane {x:g} by {y:g} mm, modalities: {names}"
