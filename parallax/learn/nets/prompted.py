"""A U-Net whose bottleneck is prompted: text meets image in an attention, a mask decoder spreads the result.

A mechanism built by us after the abstract of ICH-SCNet (see docs/methods/ichsc_mech.md); no code is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.learn.nets.tokens import GridPositions, to_map, to_tokens
from parallax.learn.networks import UNet

_HEADS = 3


def token_width(widths: Sequence[int]) -> int:
    """Numbers per token: 1.5 times the bottleneck of a U-Net with these widths (192 beside 128)."""
    return _HEADS * (widths[-1] // 2)


@dataclass(frozen=True)
class Answers:
    """What the network says of B items.

    Attributes:
        logits: [B, heads * C, X, Y, Z].
        outcome: logit of the simulated outcome [B].
        image: vector of the whole image [B, D], for the alignment with the text.
        text: vector of the sentence [B, D].
    """

    logits: Tensor
    outcome: Tensor
    image: Tensor
    text: Tensor


class PromptedUNet(nn.Module):
    """Early fusion U-Net with a prompt path beside its bottleneck, an outcome head and an alignment.

    Args:
        unet: reads K channels; its coarsest level is where the prompt enters.
        text: number of a sentence [B] to tokens and to where they end, with attribute `width`.
        channels: K.
        masks: low-resolution masks that the prompt path makes.
        widths: channels per level of `unet`.
        patch: voxels of a training crop; positions fit it.
    """

    def __init__(
        self,
        unet: UNet,
        text: nn.Module,
        *,
        channels: int,
        masks: int,
        widths: Sequence[int],
        patch: Sequence[int],
    ) -> None:
        super().__init__()
        coarse, width = widths[-1], token_width(widths)
        self.unet, self.text = unet, text
        said = text.width
        assert isinstance(said, int)
        self.attention = TextAttention(coarse, said, width)
        self.path = MaskPath(channels, masks, width, cell=2 ** len(widths), patch=patch)
        # The masks are concatenated to the bottleneck and a 1x1x1 convolution follows, whose part for the
        # image is the identity. The part for the masks starts at 0: at first the network is its U-Net.
        self.enter = nn.Conv3d(masks, coarse, 1, bias=False)
        nn.init.zeros_(self.enter.weight)
        self.outcome = nn.Sequential(nn.Linear(coarse + width, width), nn.GELU(), nn.Linear(width, 1))
        self.image_vector, self.text_vector = nn.Linear(coarse, width), nn.Linear(said, width)

    def forward(self, image: Tensor, sentence: Tensor, *, prompted: bool = True) -> Answers:
        """What it says of image [B, K, X, Y, Z] and the sentences with these numbers [B].

        Args:
            image: zeros where a modality is absent.
            sentence: int64 [B].
            prompted: without it the prompt path is not run: the logits are those of the U-Net alone.
        """
        *skips, coarse = self.unet.encode(image)
        tokens, hidden = self.text(sentence)
        prompt = self.attention(coarse.amax(dim=(2, 3, 4)), tokens, hidden)
        average = coarse.mean(dim=(2, 3, 4))
        if prompted:
            coarse = coarse + self.enter(self.path(image, prompt, coarse.shape[2:]))
        else:
            prompt = torch.zeros_like(prompt)
        logits: Tensor = self.unet.head(self.unet.decode([*skips, coarse]))
        outcome = self.outcome(torch.cat((average, prompt), dim=1))[:, 0]
        return Answers(logits, outcome, *self._vectors(average, tokens, hidden))

    def look(self, image: Tensor, sentence: Tensor) -> tuple[Tensor, Tensor]:
        """The two vectors [B, D] of the alignment alone, for items without a label."""
        return self._vectors(self.unet.encode(image)[-1].mean(dim=(2, 3, 4)), *self.text(sentence))

    def beside_the_unet(self) -> list[nn.Parameter]:
        """Parameters of text, attention, mask path, outcome and alignment."""
        parts = (self.text, self.attention, self.path, self.outcome, self.image_vector, self.text_vector)
        return [parameter for part in parts for parameter in part.parameters()]

    def _vectors(self, average: Tensor, tokens: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        said = (~hidden).unsqueeze(2).to(tokens.dtype)
        mean = (tokens * said).sum(dim=1) / said.sum(dim=1)
        return self.image_vector(average), self.text_vector(mean)


class TextAttention(nn.Module):
    """One query from the image, keys and values from the words: prompt = LayerNorm(Q + softmax(QK/sqrt d)V).

    Args:
        image_width: numbers of the pooled image features.
        text_width: numbers per text token.
        width: numbers of the prompt.
    """

    def __init__(self, image_width: int, text_width: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(image_width, width)
        self.key, self.value = nn.Linear(text_width, width), nn.Linear(text_width, width)
        self.norm = nn.LayerNorm(width)

    def read(self, query: Tensor, tokens: Tensor, hidden: Tensor) -> Tensor:
        """What a query [B, width] reads in tokens [B, T, D], of which `hidden` [B, T] do not exist."""
        read = F.scaled_dot_product_attention(
            query.unsqueeze(1), self.key(tokens), self.value(tokens), attn_mask=~hidden.unsqueeze(1)
        )
        return read.squeeze(1)

    def forward(self, pooled: Tensor, tokens: Tensor, hidden: Tensor) -> Tensor:
        """The prompt [B, width] for pooled image features [B, image_width]."""
        query = self.query(pooled)
        prompt: Tensor = self.norm(query + self.read(query, tokens, hidden))
        return prompt


class MaskPath(nn.Module):
    """Image tokens, mask tokens and the prompt look at each other; the result is a low-resolution mask each.

    A transformer of four layers over patches of the image, then two two-way layers in the manner of SAM.

    Args:
        channels: K channels of the image.
        masks: number of masks.
        width: numbers per token.
        cell: voxels of a patch along each axis.
        patch: voxels of a training crop along each axis.
    """

    def __init__(self, channels: int, masks: int, width: int, *, cell: int, patch: Sequence[int]) -> None:
        super().__init__()
        self.embed = nn.Conv3d(channels, width, cell, stride=cell)
        self.positions = GridPositions(width, [n // cell for n in patch])
        layer = nn.TransformerEncoderLayer(
            width, _HEADS, 4 * width, 0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 4, nn.LayerNorm(width), enable_nested_tensor=False)
        self.mask_tokens = nn.Parameter(torch.empty(1, masks, width))
        nn.init.normal_(self.mask_tokens, std=0.02)
        self.two_way = nn.ModuleList(TwoWayLayer(width) for _ in range(2))

    def forward(self, image: Tensor, prompt: Tensor, grid: Sequence[int]) -> Tensor:
        """Masks [B, M, *grid] of image [B, K, X, Y, Z] under the prompt [B, width]."""
        cells = self.embed(image)
        seen = self.encoder(to_tokens(cells) + self.positions(cells.shape[2:]))
        asking = torch.cat((self.mask_tokens.expand(len(image), -1, -1), prompt.unsqueeze(1)), dim=1)
        for layer in self.two_way:
            asking, seen = layer(asking, seen)
        masks = to_map(seen @ asking[:, :-1].transpose(1, 2) / math.sqrt(asking.shape[2]), cells.shape[2:])
        if masks.shape[2:] == tuple(grid):
            return masks
        return F.interpolate(masks, size=tuple(grid), mode="trilinear", align_corners=False)


class TwoWayLayer(nn.Module):
    """Tokens attend to themselves and to the image and pass an MLP; then the image attends to the tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tokens = nn.TransformerDecoderLayer(
            width, _HEADS, 4 * width, 0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.back = nn.MultiheadAttention(width, _HEADS, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, asking: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Both after the layer: tokens [B, M + 1, width] and image tokens [B, N, width]."""
        asking = self.tokens(asking, seen)
        answer, _ = self.back(seen, asking, asking, need_weights=False)
        return asking, self.norm(seen + answer)
