"""Masked pairs of volumes: one transformer for all, fusion through a memory, reconstruction, segmentation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from parallax.learn.nets.masking import Masks, normalised, patches_of, positions_3d, restored, take
from parallax.learn.nets.unetr import UnetrDecoder

DEPTH, ALIGNED = 6, 128  # transformer blocks; width of the vectors that are aligned (HKU-MedAI/MGCA@680fe4a)


def patch_size(crop: Sequence[int], levels: int) -> int:
    """Side of a patch in voxels: the largest power of two that cuts `crop` into 4 patches along each axis.

    From 2 to 16 and never above 2**levels, of which every volume is a multiple that a network is given.
    """
    wanted = int(math.log2(max(min(crop) / 4, 2)))
    return int(2 ** min(wanted, levels, 4))


def token_width(widths: Sequence[int]) -> int:
    """Width of a token: 3/2 of the widest level, rounded up to a multiple of 6 (192 for a level of 128)."""
    return 6 * -(-3 * widths[-1] // 12)


def heads_of(width: int) -> int:
    """Heads of attention: of 32 channels each, or a few more where that does not divide `width`."""
    return next(heads for heads in range(max(width // 32, 1), 0, -1) if width % heads == 0)


def transformer(width: int) -> nn.Module:
    """One pre-norm block without dropout: [N, n, width] to the same."""
    return nn.TransformerEncoderLayer(
        width, heads_of(width), 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )


class MemoryFusion(nn.Module):
    """Tokens read a memory that all modalities share, then attend to the tokens of their partners.

    Args:
        width: D.
        slots: rows of the memory, drawn from N(0, 1 / D) as in cuhksz-nlp/R2GenCMN@852512d.
        top: a token reads from its `top` best slots (all, where there are fewer).
    """

    def __init__(self, width: int, slots: int, top: int) -> None:
        super().__init__()
        self.memory = nn.Parameter(torch.randn(slots, width) / math.sqrt(width))
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.partner = nn.MultiheadAttention(width, heads_of(width), batch_first=True)
        self.norm_read, self.norm_own, self.norm_partner = (nn.LayerNorm(width) for _ in range(3))
        self.top = min(top, slots)

    def read(self, tokens: Tensor) -> Tensor:
        """What `tokens` [..., D] read: a softmax over the scores of the best slots weights their values."""
        scores = self.query(tokens) @ self.key(self.memory).T / math.sqrt(tokens.shape[-1])
        best = scores.topk(self.top, dim=-1)
        weights = best.values.softmax(dim=-1)
        # a dense product: gathering `top` rows for each token would hold that many copies of the tokens
        dense = weights.new_zeros(scores.shape).scatter(-1, best.indices, weights)
        read: Tensor = dense @ self.value(self.memory)
        return read

    def forward(self, tokens: Tensor, partners: Tensor, available: Tensor) -> Tensor:
        """Tokens [B, K, L, D] with the memory and the partners brought in.

        Args:
            tokens: of each modality [B, K, L, D].
            partners: what the other modalities show [B, K, n, D]; zeros where absent.
            available: bool [B, K]; a modality without available partner keeps what it read.
        """
        tokens = tokens + self.read(self.norm_read(tokens))
        partners = self.norm_partner(partners + self.read(self.norm_read(partners)))
        fused = [self._attend(tokens, partners, available, k) for k in range(tokens.shape[1])]
        return torch.stack(fused, dim=1)

    def _attend(self, tokens: Tensor, partners: Tensor, available: Tensor, k: int) -> Tensor:
        others = [j for j in range(tokens.shape[1]) if j != k]
        known = available[:, others]
        some = known.any(dim=1)
        # an item without partner attends to zeros and drops the answer: a softmax over nothing is NaN
        ignored = (~known & some[:, None]).repeat_interleave(partners.shape[2], dim=1)
        seen = partners[:, others].flatten(1, 2)
        answer, _ = self.partner(
            self.norm_own(tokens[:, k]), seen, seen, key_padding_mask=ignored, need_weights=False
        )
        fused: Tensor = tokens[:, k] + answer.where(some[:, None, None], 0.0)
        return fused


@dataclass(frozen=True)
class Pretraining:
    """What the pre-training of B items is judged by; L patches of V voxels, of which n are visible.

    Attributes:
        predicted: [N, L, V] of the N volumes that exist, in the order of `available.nonzero()`.
        target: [N, L, V], normalised patches of these volumes.
        whole: K tensors [B, A], the projected mean of the visible tokens; the same for all that are missing.
        parts: K tensors [B, n, A], the projected visible tokens; the same for all that are missing.
    """

    predicted: Tensor
    target: Tensor
    whole: tuple[Tensor, ...]
    parts: tuple[Tensor, ...]


class MaskedPairNet(nn.Module):
    """K volumes -> patches -> one transformer for all -> fusion -> reconstruction or segmentation.

    Args:
        modalities: K.
        classes: C, background counted.
        patch: side of a patch in voxels, a power of two.
        widths: channels of the decoder, fine to coarse.
        slots: rows of the memory.
        top: slots that a token reads.
        fuse: whether memory and partners take part in segmentation (they always do in pre-training).
    """

    def __init__(
        self,
        modalities: int,
        classes: int,
        *,
        patch: int,
        widths: Sequence[int],
        slots: int,
        top: int,
        fuse: bool = True,
    ) -> None:
        super().__init__()
        width = token_width(widths)
        self.patch, self.width, self.fuse = patch, width, fuse
        self.embed = nn.ModuleList(nn.Linear(patch**3, width) for _ in range(modalities))
        self.blocks = nn.ModuleList(transformer(width) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(width)
        self.fusion = MemoryFusion(width, slots, top)
        self.hole = nn.Parameter(torch.randn(width) * 0.02)
        self.rebuild = transformer(width)
        self.voxels = nn.ModuleList(nn.Linear(width, patch**3) for _ in range(modalities))
        self.project_whole, self.project_parts = _projection(width), _projection(width)
        self.decoder = UnetrDecoder(modalities, classes, width=width, patch=patch, widths=widths)
        taps = self.decoder.taps
        self.taps = [-(-DEPTH * (i + 1) // taps) for i in range(taps)]  # evenly spread, the last is DEPTH

    def transformer_parameters(self) -> list[nn.Parameter]:
        """All but those of the convolutional decoder."""
        return [p for name, p in self.named_parameters() if not name.startswith("decoder.")]

    def forward(self, image: Tensor, available: Tensor) -> Tensor:
        """Logits [B, K, C, X, Y, Z] of image [B, K, X, Y, Z]; absent modalities have no tokens."""
        features = self.encode(image, available)
        if self.fuse:
            features[-1] = self.fusion(features[-1], features[-1], available)
        grid = self._grid(image)
        volumes = [_mean(f, available).transpose(1, 2).unflatten(2, grid) for f in features]  # type: ignore[no-untyped-call]
        logits: Tensor = self.decoder(volumes, image, available)
        return logits

    def pretrain(self, image: Tensor, available: Tensor, masks: Masks) -> Pretraining:
        """Encode what `masks` leave visible of image [B, K, X, Y, Z], and rebuild the rest."""
        visible = self.encode(image, available, masks)[-1]
        places = positions_3d(self._grid(image), self.width, visible)
        full = restored(visible, masks, self.hole) + places.to(visible.dtype)
        fused = self.fusion(full, visible, available)
        there = available.nonzero()
        rebuilt = self.rebuild(fused[there[:, 0], there[:, 1]])
        predicted = _by_modality(self.voxels, there[:, 1], rebuilt)
        target = normalised(patches_of(image[there[:, 0], there[:, 1]], self.patch))
        return Pretraining(
            predicted,
            target,
            tuple(self.project_whole(visible.mean(dim=2)).unbind(1)),
            tuple(self.project_parts(visible).unbind(1)),
        )

    def encode(self, image: Tensor, available: Tensor, masks: Masks | None = None) -> list[Tensor]:
        """Tokens [B, K, n, D] at the depths `taps` (normalised after the last); zeros where absent."""
        there = available.nonzero()
        rows, columns = there[:, 0], there[:, 1]
        cut = patches_of(image[rows, columns], self.patch)
        places = positions_3d(self._grid(image), self.width, image).expand(len(cut), -1, -1)
        if masks is not None:
            visible = masks.visible[rows, columns]
            cut, places = take(cut, visible), take(places, visible)
        tokens = _by_modality(self.embed, columns, cut) + places
        features = []
        for depth, block in enumerate(self.blocks, start=1):
            tokens = block(tokens)
            if depth in self.taps:
                kept = self.norm(tokens) if depth == DEPTH else tokens
                empty = kept.new_zeros(*available.shape, *kept.shape[1:])
                features.append(empty.index_put((rows, columns), kept))
        return features

    def _grid(self, image: Tensor) -> tuple[int, int, int]:
        x, y, z = (n // self.patch for n in image.shape[2:])
        return (x, y, z)


def _by_modality(layers: nn.ModuleList, modalities: Tensor, x: Tensor) -> Tensor:
    """Each item of x [N, ...] through the layer of its modality [N]."""
    return torch.stack([layers[k](item) for k, item in zip(modalities.tolist(), x, strict=True)])


def _projection(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, ALIGNED))


def _mean(tokens: Tensor, available: Tensor) -> Tensor:
    """Mean [B, n, D] over the available modalities of tokens [B, K, n, D] (what is absent is left out)."""
    there = available[:, :, None, None]
    return tokens.where(there, 0.0).sum(dim=1) / there.sum(dim=1)
