"""URPC: a U-Net that answers at several scales of its decoder."""

from __future__ import annotations

from torch import Tensor, nn

from parallax.learn.fusion import EarlyFusion, without_absent
from parallax.learn.networks import TrilinearUpsample, favour_background, he_initialise

# From fine to coarse; HiLab-git/SSL4MIS@06df604, code/networks/unet_3D_dv_semi.py.
PUBLISHED_DROPOUT = (0.1, 0.2, 0.3, 0.5)


class ScoresOfScales(nn.Module):
    """Early fusion with class scores at the finest levels of the decoder, all enlarged to full resolution.

    Where the U-Net has fewer decoder stages than `scales`, its bottleneck is one more level. Build it inside
    `initialised`: the heads of the coarser scales are new, everything else is `fusion`.

    Args:
        fusion: the network; its head is that of the finest scale.
        modalities: K.
        classes: C, background counted.
        scales: number of levels with a head, at most the number of stages.
        dropout: rates for whole channels of these levels, from fine to coarse.
    """

    def __init__(
        self, fusion: EarlyFusion, modalities: int, classes: int, *, scales: int, dropout: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.unet, self._heads = fusion.unet, (modalities, classes)
        widths = self.unet.encoder.output_channels  # the decoder has the same
        self.coarser = nn.ModuleList(
            _head(width, self._heads, doublings=level + 1)
            for level, width in enumerate(widths[:scales])
            if level > 0
        )
        self.unet.drop_channels(dropout)

    def forward(self, image: Tensor, available: Tensor) -> list[Tensor]:
        """Logits [B, K, C, X, Y, Z] per scale, fine to coarse, of image [B, K, X, Y, Z], available [B, K]."""
        skips = self.unet.encode(without_absent(image, available))
        heads = (self.unet.head, *self.coarser)
        features = reversed(self.unet.levels(skips))  # the coarsest have no head where there are more
        scores = (head(level) for head, level in zip(heads, features, strict=False))
        return [score.unflatten(1, self._heads) for score in scores]


def _head(width: int, heads: tuple[int, int], *, doublings: int) -> nn.Sequential:
    scores = nn.Conv3d(width, heads[0] * heads[1], 1)
    he_initialise(scores)
    favour_background(scores, heads[0])
    return nn.Sequential(scores, *(TrilinearUpsample() for _ in range(doublings)))
