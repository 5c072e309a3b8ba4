"""A convolutional network and a transformer that label unlabelled images for each other."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.learn.loss_forms import dice_ssl4mis, over_heads
from parallax.learn.nets.branches import Branch, Seen
from parallax.learn.network_method import Clock
from parallax.learn.networks import UNet, initialised
from parallax.learn.pseudo import hard_labels
from parallax.learn.semi_supervised import SemiSupervised


class TwoBranches(SemiSupervised):
    """A learner is {cnn, transformer, and what else a subclass adds}: subclass it and fill `learn`.

    The cnn is the suite's U-Net, on volumes with the initial weights of the supervised baseline. Presets
    carry `dimensions` (`3d`, or `2d`: both work on the slices of `plane`), `transformer_rate` (share of the
    suite's learning rate that tokens get) and `predict_with`: whose answer is scored, `cnn`, `transformer` or
    the `mean` of their probabilities.
    """

    passes_labelled = 2.0
    passes_unlabelled = 2.0

    def learner(self, modalities: tuple[str, ...]) -> nn.Module:
        """The two networks."""
        return nn.ModuleDict({"cnn": self.cnn(modalities), "transformer": self.transformer(modalities)})

    def cnn(self, modalities: tuple[str, ...]) -> Branch:
        """The suite's U-Net."""
        if not self.sliced:
            return self._branch(self.student(modalities).unet, modalities)
        with initialised(self.seed, self.initial(modalities)):
            unet = UNet(*self._channels(modalities), self.budget.widths, heads=len(modalities), axes=2)
        return self._branch(unet, modalities)

    def transformer(self, modalities: tuple[str, ...]) -> Branch:
        """A small network of the Swin-UNETR type, random initial weights."""
        from parallax.learn.nets.swin import SwinUNet  # imports a good part of MONAI

        axes = 2 if self.sliced else 3
        with initialised(self.seed, self.initial(modalities, "transformer")):
            unet = SwinUNet(*self._channels(modalities), self.budget.widths, heads=len(modalities), axes=axes)
        return self._branch(unet, modalities)

    @property
    def sliced(self) -> bool:
        """Whether the networks work on slices."""
        return bool(self.switches["dimensions"] == "2d")

    def see(self, learner: nn.Module, image: Tensor, available: Tensor) -> tuple[Seen, Seen]:
        """What cnn and transformer make of an image [B, m, X, Y, Z]."""
        cnn, transformer = (_branch(learner, name).see(image, available) for name in ("cnn", "transformer"))
        return cnn, transformer

    def taught_by_each_other(
        self, cnn: Tensor, transformer: Tensor, available: Tensor, clock: Clock
    ) -> dict[str, Tensor]:
        """lambda(t) times the Dice loss of each branch against the likeliest classes of the other.

        Args:
            cnn: logits [B, m, C, X, Y, Z].
            transformer: logits of the same shape.
            available: bool [B, m]; heads of absent modalities take no part.
            clock: says how far the ramp has come.
        """
        weight = self.weight(clock)
        return {
            f"pseudo/{name}": weight * over_heads(dice_ssl4mis, mine, hard_labels(other, available))
            for name, mine, other in (("cnn", cnn, transformer), ("transformer", transformer, cnn))
        }

    def answer(self, learner: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """Of the branch that the preset names, or the logarithm of the mean of both."""
        wanted = self.switches["predict_with"]
        if wanted != "mean":
            return _branch(learner, wanted).see(image, available).logits
        log_p = [F.log_softmax(seen.logits.float(), dim=2) for seen in self.see(learner, image, available)]
        return torch.stack(log_p).logsumexp(dim=0)

    def groups(self, learner: nn.Module) -> list[dict[str, Any]]:
        """Branches are clipped apart, as each has an optimiser; so are tokens, which have their own rate."""
        from parallax.learn.nets.swin import SwinUNet

        unet = _branch(learner, "transformer").unet
        assert isinstance(unet, SwinUNet)
        tokens = unet.tokens()
        known = {id(parameter) for parameter in tokens}
        others = [parameter for parameter in unet.parameters() if id(parameter) not in known]
        return [
            {"params": list(_branch(learner, "cnn").parameters())},
            {"params": others},
            {"params": tokens, "lr_scale": self.switches["transformer_rate"]},
        ]

    def _branch(self, unet: UNet, modalities: tuple[str, ...]) -> Branch:
        plane = self.switches["plane"] if self.sliced else None
        return Branch(unet, len(modalities), self.task.n_classes, plane)

    def _channels(self, modalities: tuple[str, ...]) -> tuple[int, int]:
        return len(modalities), len(modalities) * self.task.n_classes


def _branch(learner: nn.Module, name: str) -> Branch:
    branch = learner.get_submodule(name)
    assert isinstance(branch, Branch)
    return branch
