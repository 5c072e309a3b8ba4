"""Masked patches of paired volumes: cutting, hiding, restoring, and the loss of what was hidden."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Masks:
    """Which of L patches are visible.

    Attributes:
        order: int64 [B, K, L], a permutation of the patches of each volume; the visible ones come first.
        kept: number of visible patches of each volume.
    """

    order: Tensor
    kept: int

    @property
    def visible(self) -> Tensor:
        """Positions [B, K, kept] of the visible patches."""
        return self.order[..., : self.kept]

    @property
    def hidden(self) -> Tensor:
        """Bool [B, K, L], True where a patch is masked."""
        return torch.ones_like(self.order, dtype=torch.bool).scatter(-1, self.visible, False)


def draw_masks(
    generator: torch.Generator, available: Tensor, patches: int, ratio: float, *, complementary: bool = False
) -> Masks:
    """Mask `ratio` of the `patches` of each volume; int(patches * (1 - ratio)) stay visible.

    Args:
        generator: on the CPU.
        available: bool [B, K].
        patches: L.
        ratio: share of masked patches.
        complementary: the volumes of an item do not draw independently: what one hides, its partner shows.
            Of more than two available volumes every second one hides the same patches. Possible up to a
            ratio of 1/2; at least half of the patches stay visible.
    """
    items, modalities = available.shape
    kept = int(patches * (1.0 - ratio))
    if not complementary:
        order = torch.rand((items, modalities, patches), generator=generator).argsort(dim=2)
        return Masks(order.to(available.device), kept)
    order = torch.rand((items, 1, patches), generator=generator).argsort(dim=2).to(available.device)
    odd = (available.cumsum(dim=1) % 2 == 1)[:, :, None]
    return Masks(torch.where(odd, order, order.flip(2)), max(kept, patches - patches // 2))


def take(tokens: Tensor, positions: Tensor) -> Tensor:
    """Tokens [..., n, D] at `positions` [..., n] of `tokens` [..., L, D]."""
    return tokens.gather(-2, positions[..., None].expand(*positions.shape, tokens.shape[-1]))


def restored(visible: Tensor, masks: Masks, fill: Tensor) -> Tensor:
    """Tokens [B, K, L, D] in their places: the `visible` ones [B, K, kept, D], and `fill` [D] elsewhere."""
    rest = fill.to(visible.dtype).expand(*masks.order.shape[:2], masks.order.shape[2] - masks.kept, -1)
    return take(torch.cat([visible, rest], dim=2), masks.order.argsort(dim=2))


def patches_of(volumes: Tensor, size: int) -> Tensor:
    """Patches [N, L, size**3] of volumes [N, X, Y, Z], whose sides are multiples of `size`."""
    n, x, y, z = (extent // size if i else extent for i, extent in enumerate(volumes.shape))
    cut = volumes.reshape(n, x, size, y, size, z, size).permute(0, 1, 3, 5, 2, 4, 6)
    return cut.reshape(n, x * y * z, size**3)


def normalised(patches: Tensor) -> Tensor:
    """Each patch [..., V] with mean 0 and unbiased variance 1 (plus 1e-6, so that a flat one becomes 0)."""
    patches = patches.float()
    mean, variance = patches.mean(dim=-1, keepdim=True), patches.var(dim=-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


def hidden_error(predicted: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error per voxel of the masked patches; visible ones do not count.

    Args:
        predicted: [N, L, V].
        target: [N, L, V].
        hidden: bool [N, L], True where a patch is masked.
    """
    error = (predicted.float() - target).square().mean(dim=-1)
    return error[hidden].mean()


def positions_3d(grid: tuple[int, int, int], width: int, like: Tensor) -> Tensor:
    """Fixed sine-cosine code [L, width] of the places of a grid; a third of it for each axis.

    Args:
        grid: patches along each axis; L is their product.
        width: a multiple of 6.
        like: tells device.
    """
    rates = 1e4 ** (-torch.arange(width // 6, device=like.device) / (width // 6))
    axes = [torch.arange(n, device=like.device, dtype=torch.float32) for n in grid]
    places = torch.cartesian_prod(*axes)[:, :, None] * rates
    return torch.cat([places.sin(), places.cos()], dim=2).flatten(1)
