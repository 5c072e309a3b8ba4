"""A decoder of the UNETR type for K volumes: tokens from several depths, the images themselves at the top."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.blocks.unetr_block import UnetrPrUpBlock, UnetrUpBlock
from torch import Tensor, nn

from parallax.learn.networks import BACKGROUND_LOGIT, TrilinearUpsample


class UnetrDecoder(nn.Module):
    """Tokens at 1/patch of the resolution, doubled until half of it; each level adds tokens of a lower depth.

    As every network of the suite it ends at half resolution, where the images enter through one residual
    block per modality (mean over those available), and interpolates the logits.

    Args:
        modalities: K, which is also the number of heads.
        classes: C.
        width: channels of the tokens.
        patch: side of a patch in voxels, a power of two.
        widths: channels per level, fine (half resolution) to coarse.
    """

    def __init__(
        self, modalities: int, classes: int, *, width: int, patch: int, widths: Sequence[int]
    ) -> None:
        super().__init__()
        self.taps = patch.bit_length() - 1  # one per level: patch / 2 halvings and the tokens themselves
        channels = [widths[min(level, len(widths) - 1)] for level in range(self.taps)]
        self.stems = nn.ModuleList(
            UnetResBlock(3, 1, channels[0], kernel_size=3, stride=2, norm_name="instance")
            for _ in range(modalities)
        )
        self.bottom = nn.Conv3d(width, channels[-1], 1)
        self.skips, self.ups = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(self.taps - 1)):
            out = channels[level]
            halvings = self.taps - 1 - level
            self.skips.append(
                UnetrPrUpBlock(
                    3, width, out, halvings - 1, 3, 1, 2, "instance", conv_block=True, res_block=True
                )
            )
            self.ups.append(UnetrUpBlock(3, channels[level + 1], out, 3, 2, "instance", res_block=True))
        scores = nn.Conv3d(channels[0], modalities * classes, 1)
        with torch.no_grad():
            scores.bias.view(modalities, -1)[:, 0] = BACKGROUND_LOGIT  # type: ignore[union-attr]
        self.head = nn.Sequential(scores, TrilinearUpsample(), nn.Unflatten(1, (modalities, classes)))

    def forward(self, volumes: Sequence[Tensor], image: Tensor, available: Tensor) -> Tensor:
        """Logits [B, K, C, X, Y, Z].

        Args:
            volumes: tokens as volumes [B, width, X/patch, Y/patch, Z/patch], from shallow to deep.
            image: [B, K, X, Y, Z].
            available: bool [B, K]; images of absent modalities are not read.
        """
        x = self.bottom(volumes[-1])
        fine = self._images(image, available)
        for i, (skip, up) in enumerate(zip(self.skips, self.ups, strict=True)):
            side = skip(volumes[-2 - i])
            x = up(x, side + fine if i == len(self.ups) - 1 else side)
        logits: Tensor = self.head(x if self.ups else x + fine)
        return logits

    def _images(self, image: Tensor, available: Tensor) -> Tensor:
        """Mean over the available modalities of what the stems make of their images."""
        total: Tensor | None = None
        for k, stem in enumerate(self.stems):
            rows = available[:, k].nonzero()[:, 0]
            if len(rows):
                made = stem(image[rows, k : k + 1])
                empty = made.new_zeros(len(image), *made.shape[1:])
                total = empty.index_put((rows,), made) + (0.0 if total is None else total)
        assert total is not None
        return total / available.sum(dim=1)[:, None, None, None, None]
