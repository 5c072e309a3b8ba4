"""Unpaired image translation: small 3D generators, patch critics, LSGAN and cycle losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from parallax.learn.networks import initialised

Remember = Callable[[Tensor], Tensor]


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(channels, channels, 3, padding=1),
            nn.InstanceNorm3d(channels, affine=True),
            nn.LeakyReLU(0.2),
            nn.Conv3d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)  # type: ignore[no-any-return]


class Generator(nn.Module):
    """Translate one modality into another: `y = x + gain(x) * x + offset(x)`, geometry unchanged.

    Gain and offset come from features at half and quarter resolution, so the network is cheap, while every
    voxel of `x` takes part at full resolution (an offset alone could not invert a contrast without blur).
    The last layer starts at zero: an untrained generator is the identity, bit for bit. No squashing at the
    end, because images are z-scored. The stem has no norm, so that absolute intensities survive it.

    Args:
        width: channels at half resolution; twice as many at quarter resolution.
    """

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv3d(8, width, 1)
        self.down = nn.Conv3d(width, 2 * width, 3, stride=2, padding=1)
        self.deep = _Residual(2 * width)
        self.up = nn.Conv3d(2 * width, 8 * width, 1)
        self.head = nn.Conv3d(width, 8 * 2, 1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, X, Y, Z] to [B, 1, X, Y, Z]; sizes are even and at least 6 voxels."""
        half = F.leaky_relu(self.stem(blocks_to_channels(x)), 0.2)
        deep = channels_to_blocks(self.up(self.deep(F.leaky_relu(self.down(half), 0.2))))
        deep = deep[:, :, : half.shape[2], : half.shape[3], : half.shape[4]]
        gain, offset = channels_to_blocks(self.head(F.leaky_relu(half + deep, 0.2))).chunk(2, dim=1)
        return torch.addcmul(x + offset, gain, x)


class PatchCritic(nn.Module):
    """Tell real from translated crops, patch by patch: [B, C, X, Y, Z] to [B, 1, X/8, Y/8, Z/8], no sigmoid.

    Args:
        width: channels at half resolution (then 2 and 4 times as many); sizes are even, at least 6 voxels.
        channels: C, of the images.
    """

    def __init__(self, width: int = 8, channels: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(8 * channels, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv3d(width, 2 * width, 3, stride=2, padding=1),
            nn.InstanceNorm3d(2 * width, affine=True),
            nn.LeakyReLU(0.2),
            nn.Conv3d(2 * width, 4 * width, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv3d(4 * width, 1, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Patch scores; 1 means real. Always float32.

        In bfloat16 about one training in a hundred met NaN here, on a processor with AVX512-BF16 and without
        AMX (PyTorch 2.13).
        """
        with torch.autocast(x.device.type, enabled=False):
            scores: Tensor = self.body(blocks_to_channels(x.float()))
        return scores


def blocks_to_channels(x: Tensor) -> Tensor:
    """[B, C, X, Y, Z] (even sizes) to [B, 8 C, X/2, Y/2, Z/2]: each 2x2x2 block becomes channels.

    Followed by a 1x1x1 convolution it is a convolution of kernel and stride 2, three times faster on a CPU.
    """
    b, c, *size = x.shape
    i, j, k = (n // 2 for n in size)
    return x.reshape(b, c, i, 2, j, 2, k, 2).permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, 8 * c, i, j, k)


def channels_to_blocks(x: Tensor) -> Tensor:
    """Inverse of `blocks_to_channels`; after a 1x1x1 convolution, a transposed one of kernel and stride 2."""
    b, c, i, j, k = x.shape
    x = x.reshape(b, c // 8, 2, 2, 2, i, j, k).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(b, c // 8, 2 * i, 2 * j, 2 * k)


def adversarial_loss(critic: nn.Module, fake: Tensor) -> Tensor:
    """What a generator pays: mean (D(fake) - 1)^2 (LSGAN). `critic` gets no gradient from it, `fake` does."""
    frozen = {name: parameter.detach() for name, parameter in critic.named_parameters()}
    score: Tensor = functional_call(critic, frozen, (fake,))
    return ((score - 1.0) ** 2).mean()


def critic_loss(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """What a critic pays: half of mean (D(real) - 1)^2 + mean D(fake)^2 (LSGAN); images get no gradient."""
    scores: Tensor = critic(torch.cat([real.detach(), fake.detach()]))
    of_real, of_fake = scores[: len(real)], scores[len(real) :]
    return 0.5 * (F.mse_loss(of_real, torch.ones_like(of_real)) + of_fake.square().mean())


def cycle_loss(back: Tensor, original: Tensor) -> Tensor:
    """Mean absolute difference between an image and itself after both translations."""
    return F.l1_loss(back, original)


@dataclass(frozen=True)
class Translated:
    """Both translations [B, C, ...] of one step and the losses that come with them (unweighted)."""

    first_to_second: Tensor
    second_to_first: Tensor
    losses: dict[str, Tensor]


class CycleGan(nn.Module):
    """Two generators and two critics between a first and a second domain.

    Args:
        to_second: generator, images [B, C, ...] of the first domain to the second.
        to_first: the reverse.
        critic_first: patch scores of images of the first domain.
        critic_second: of the second.
    """

    def __init__(
        self, to_second: nn.Module, to_first: nn.Module, critic_first: nn.Module, critic_second: nn.Module
    ) -> None:
        super().__init__()
        self.to_second, self.to_first = to_second, to_first
        self.critic_first, self.critic_second = critic_first, critic_second

    def forward(
        self,
        first: Tensor,
        second: Tensor,
        *,
        adversarial: bool = True,
        cycle: bool = True,
        remember: tuple[Remember, Remember] | None = None,
    ) -> Translated:
        """Translate `first` and `second` ([B, C, ...], any B each); a loss that is off is not computed.

        Keys of the losses: `adversarial` (both generators; critics frozen), `critic` (both critics; images
        detached), `cycle` (both directions). They touch disjoint parameters or add up as in the joint
        objective, so one sum and one optimiser step is the exact simultaneous update.

        Args:
            first: images of the first domain.
            second: images of the second domain.
            adversarial: whether the losses of generators and critics are computed.
            cycle: whether the cycle loss is.
            remember: what the critics of the first and second domain are shown for new translations; the
                translations themselves by default.
        """
        fake_second, fake_first = self.to_second(first), self.to_first(second)
        losses: dict[str, Tensor] = {}
        if adversarial:
            losses["adversarial"] = adversarial_loss(self.critic_second, fake_second) + adversarial_loss(
                self.critic_first, fake_first
            )
            shown_first, shown_second = fake_first, fake_second
            if remember is not None:
                shown_first, shown_second = remember[0](fake_first), remember[1](fake_second)
            losses["critic"] = critic_loss(self.critic_second, second, shown_second) + critic_loss(
                self.critic_first, first, shown_first
            )
        if cycle:
            losses["cycle"] = cycle_loss(self.to_first(fake_second), first) + cycle_loss(
                self.to_second(fake_first), second
            )
        return Translated(fake_second, fake_first, losses)

    def generator_parameters(self) -> list[nn.Parameter]:
        """Parameters of the two generators."""
        return [*self.to_first.parameters(), *self.to_second.parameters()]

    def critic_parameters(self) -> list[nn.Parameter]:
        """Parameters of the two critics."""
        return [*self.critic_first.parameters(), *self.critic_second.parameters()]


class Alignment(CycleGan):
    """The small generators and critics of this file between two modalities.

    Args:
        seed: seed of the run.
        key: name of the pair; initial weights depend on (seed, key) only.
        width: channels of all four networks.
    """

    def __init__(self, seed: int, key: str, *, width: int = 8) -> None:
        with initialised(seed, f"alignment/{key}"):
            super().__init__(Generator(width), Generator(width), PatchCritic(width), PatchCritic(width))
