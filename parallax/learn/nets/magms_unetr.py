"""The UNETR of MAG-MS in two: an encoder per modality (transformer and its side paths), and a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch.nn.functional as F
from monai.networks.blocks.dynunet_block import UnetOutBlock
from monai.networks.blocks.unetr_block import UnetrUpBlock
from monai.networks.nets.unetr import UNETR
from torch import Tensor, nn

from parallax.learn.nets.magms import WithFusionConvolutions

_HIDDEN, _PATCH = 768, 16
#: Channels of the five maps that are fused: enc1 to enc4 and the last output of the transformer.
WIDTHS = (16, 32, 64, 128, _HIDDEN)


def unetr_encoder(crop: Sequence[int]) -> WithFusionConvolutions:
    """The published encoder for one modality and crops of `crop` voxels, each side a multiple of 16."""
    whole = UNETR(1, 1, tuple(crop), feature_size=WIDTHS[0], hidden_size=_HIDDEN, proj_type="perceptron")
    return WithFusionConvolutions(UnetrEncoder(whole), WIDTHS)


class UnetrEncoder(nn.Module):
    """All of `whole` that lies before its decoder.

    Args:
        whole: MONAI's network for one input channel; its parts are used, not copied.
    """

    def __init__(self, whole: UNETR) -> None:
        super().__init__()
        self.vit = whole.vit
        for block in self.vit.blocks:  # norms of a cross-attention that MONAI builds and UNETR never calls
            del block.norm_cross_attn
        self.sides = nn.ModuleList((whole.encoder1, whole.encoder2, whole.encoder3, whole.encoder4))
        self.grid = tuple(whole.feat_size)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Five maps of an image [B, 1, X, Y, Z], fine to coarse (full size to 1/16)."""
        grid = tuple(n // _PATCH for n in image.shape[2:])
        tokens, maps = self._embed(image, grid), []
        for block in self.vit.blocks:
            tokens = block(tokens)
            maps.append(_as_map(tokens, grid))
        last = _as_map(self.vit.norm(tokens), grid)
        inputs = (image, maps[3], maps[6], maps[9])
        return [*(side(x) for side, x in zip(self.sides, inputs, strict=True)), last]

    def _embed(self, image: Tensor, grid: tuple[int, ...]) -> Tensor:
        layer = cast(nn.Module, self.vit.patch_embedding)
        positions = cast(Tensor, layer.position_embeddings)
        if grid != self.grid:  # a whole volume at test time may be larger than a training crop
            resampled = F.interpolate(_as_map(positions, self.grid), size=grid, mode="trilinear")
            positions = resampled.flatten(2).transpose(1, 2)
        return cast(nn.Module, layer.patch_embeddings)(image) + positions  # type: ignore[no-any-return]


class UnetrDecoder(nn.Module):
    """Decoder and head of UNETR.

    Args:
        out_channels: O.
        widths: channels of the five maps.
    """

    def __init__(self, out_channels: int, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        coarse_to_fine = list(widths)[::-1]
        self.steps = nn.ModuleList(
            UnetrUpBlock(3, i, o, kernel_size=3, upsample_kernel_size=2, norm_name="instance", res_block=True)
            for i, o in pairwise(coarse_to_fine)
        )
        self.head = UnetOutBlock(3, widths[0], out_channels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Logits [B, O, X, Y, Z] of five maps, fine to coarse."""
        x = features[-1]
        for step, skip in zip(self.steps, features[-2::-1], strict=True):
            x = step(x, skip)
        logits: Tensor = self.head(x)
        return logits


def _as_map(tokens: Tensor, grid: Sequence[int]) -> Tensor:
    return tokens.transpose(1, 2).unflatten(2, tuple(grid))  # type: ignore[no-untyped-call,no-any-return]
