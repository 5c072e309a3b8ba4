"""Base class of the semi-supervised methods of the literature, which know one image, cast on K modalities."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from parallax.learn.batch import Batch
from parallax.learn.fusion import EarlyFusion
from parallax.learn.network_method import Clock, NetworkMethod
from parallax.learn.networks import initialised
from parallax.learn.schedule import gaussian_ramp


class SemiSupervised(NetworkMethod):
    """Learns from labelled and unlabelled images; subclass it and fill `learner`, `learn`, `answer`.

    A *learner* is all that the method trains for one image of m channels: its networks, teachers, projectors.
    The switch `input` says what that image is:

    - `fused`: the K modalities are the channels of one image (zeros where absent), answered by K heads.
      One learner, and each item has to come from one patient.
    - `per_modality`: K learners of one channel and one head, trained side by side, each as if it were alone
      (own batch of the items that have its modality, own clipping).

    Presets carry `input`, `lambda_max`, `ramp_fraction` and `ramp_stairs`, which `weight` reads, and a preset
    `supervised_only` ({"unlabelled": False}), which equals `lambda_max` = 0 bit for bit.
    """

    adapter = "heads"
    preset_adapters: ClassVar[Mapping[str, str]] = {"per_modality": "native"}
    without_pairs = ("per_modality",)
    needs_pairs = True
    uses_unlabelled = True
    passes_labelled: float = 1.0  # networks that a learner applies to the labelled crops of a step
    passes_unlabelled: float = 1.0  # networks that it applies to the unlabelled ones

    def set_up(self) -> None:
        """Which modalities each learner reads."""
        names = self.task.modality_names
        self.alone = self.switches["input"] == "per_modality"
        self.reads = tuple((name,) for name in names) if self.alone else (tuple(names),)
        learns = self.uses_unlabelled and self.switches["lambda_max"] != 0.0
        passes = self.passes_labelled + (self.passes_unlabelled if learns else 0.0)
        self.forward_passes_per_step = passes * len(self.reads)

    @abstractmethod
    def learner(self, modalities: tuple[str, ...]) -> nn.Module:
        """All that is trained for an image whose channels are these modalities; made of `student`s."""

    @abstractmethod
    def learn(
        self, learner: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """Named, weighted loss terms of one learner; `unlabelled` is None where no such term is wanted."""

    @abstractmethod
    def answer(self, learner: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """Logits [B, m, C, X, Y, Z] of image [B, m, X, Y, Z] and available [B, m], at test time."""

    def after_learning(self, learner: nn.Module, clock: Clock) -> None:  # noqa: ARG002 (a hook)
        """Called for each learner after each optimiser step (moving averages and the like)."""
        return

    def student(self, modalities: tuple[str, ...], key: str = "") -> EarlyFusion:
        """The suite's U-Net for such an image, a head per modality.

        With no `key` its initial weights are those of the supervised baseline at this seed: `early_fusion`
        for several modalities, `supervised` for one. Another network of a learner gets a key of its own.
        """
        with initialised(self.seed, self.initial(modalities, key)):
            return EarlyFusion(len(modalities), self.task.n_classes, self.budget.widths)

    def initial(self, modalities: tuple[str, ...], key: str = "") -> str:
        """Key for `initialised` of a part of a learner."""
        base = f"unet/{modalities[0]}" if len(modalities) == 1 else "early_fusion"
        return f"{base}/{key}" if key else base

    def weight(self, clock: Clock) -> float:
        """lambda(t): a Gaussian ramp over `ramp_fraction` of the budget, in `ramp_stairs` steps if not 0."""
        done, stairs = clock.fraction, self.switches["ramp_stairs"]
        done = math.floor(done * stairs) / stairs if stairs else done
        return float(self.switches["lambda_max"]) * gaussian_ramp(done, self.switches["ramp_fraction"])

    def build(self) -> nn.Module:
        """The learners."""
        return nn.ModuleList(self.learner(modalities) for modalities in self.reads)

    def loss(
        self, net: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """The terms of all learners; those of a learner of one modality carry its name."""
        if self.switches["lambda_max"] == 0.0:
            unlabelled = None
        if not self.alone:
            return self.learn(next(net.children()), labelled, unlabelled, clock)
        terms: dict[str, Tensor] = {}
        for k, (modalities, learner) in enumerate(zip(self.reads, net.children(), strict=True)):
            known, bare = _only(labelled, k), None if unlabelled is None else _only(unlabelled, k)
            if known is not None:
                own = self.learn(learner, known, bare, clock)
                terms |= {f"{name}/{modalities[0]}": term for name, term in own.items()}
        return terms

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """Each learner on what it reads."""
        if not self.alone:
            return self.answer(next(net.children()), image, available)
        streams = [
            self.answer(learner, image[:, k : k + 1], available[:, k : k + 1])
            for k, learner in enumerate(net.children())
        ]
        return torch.cat(streams, dim=1)

    def after_step(self, net: nn.Module, clock: Clock) -> None:
        """`after_learning` of each learner."""
        for learner in net.children():
            self.after_learning(learner, clock)

    def parameter_groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """The groups of each learner, so that none has a say in how another is clipped."""
        return [group for learner in net.children() for group in self.groups(learner)]

    def groups(self, learner: nn.Module) -> list[dict[str, Any]]:
        """Groups for AdamW of one learner; networks that shall not share a clip belong apart."""
        return [{"params": [p for p in learner.parameters() if p.requires_grad]}]


def _only(batch: Batch, modality: int) -> Batch | None:
    """This modality of the items that have it (and a mask of it, where the batch has masks)."""
    there = batch.available[:, modality]
    if batch.label is not None:
        there = there & batch.labelled[:, modality]
    rows = there.nonzero()[:, 0]
    if len(rows) == 0:
        return None
    one = slice(modality, modality + 1)
    return replace(
        batch,
        image=batch.image[rows, one],
        label=None if batch.label is None else batch.label[rows, one],
        available=batch.available[rows, one],
        cases=tuple(batch.cases[row] for row in rows.tolist()),
    )
