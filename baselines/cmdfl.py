"""Cross-modality deep feature learning (CMDFL): translate between groups of modalities, then fuse them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from parallax.learn.fusion import half_dice_ce, reference_label
from parallax.learn.loss_forms import dice_cmdfl
from parallax.learn.nets.cmdfl import CmdflNet, modality_groups
from parallax.learn.network_method import Batch, Clock, NetworkMethod


class Cmdfl(NetworkMethod):
    """Stage 1: a CycleGAN between two groups. Stage 2: its generators go on as segmentors, fused by masks."""

    name = "cmdfl"
    title = "CMDFL (re-implementation from released code)"
    source = (
        "Zhang et al., Pattern Recognition 110:107562, 2021, arXiv 2201.02356; lixiaopang221/2m_re1@596772f"
    )
    adapter = "heads"
    presets = {
        "paper": {
            "network": "suite",
            "unlabelled": False,
            "answer": "heads",
            "segmentation_loss": "published",
            "stage_1_fraction": 0.25,
            "lambda_cycle": 10.0,
            "generator_learning_rate": 2e-2,
            "critic_learning_rate": 2e-4,
            "pool_index_max": 9,
            "copy_head_if_shape_matches": False,
            "output": "fused",
            "impute": False,
        },
        "with_unlabelled": {"unlabelled": True},
        "released": {"pool_index_max": 8, "copy_head_if_shape_matches": True},
        "own": {"output": "own"},
        "impute": {"impute": True},
        "broadcast": {"answer": "one_map"},
    }
    preset_adapters = {"own": "native", "broadcast": "broadcast"}
    choices = {
        "network": ("suite", "published"),
        "answer": ("heads", "one_map"),
        "segmentation_loss": ("suite", "published"),
        "output": ("fused", "own"),
    }
    at_prediction = ("output", "impute")
    min_modalities = 2
    needs_pairs = True

    def set_up(self) -> None:
        """Groups of modalities, and the networks that both stages apply."""
        self.groups = modality_groups([modality.kind for modality in self.task.modalities])
        # Stage 1: four generators and six critics, twice with unlabelled crops; stage 2: two segmentors.
        translating = self.border(self.budget.steps)
        passes = translating * (20 if self.uses_unlabelled else 10) + (self.budget.steps - translating) * 2
        self.forward_passes_per_step = passes / max(self.budget.steps, 1)

    def border(self, steps: int) -> int:
        """The first step of stage 2."""
        return round(float(self.switches["stage_1_fraction"]) * steps)

    def build(self) -> CmdflNet:
        """The networks of both stages."""
        return CmdflNet(
            self.groups,
            self.task.n_classes,
            one_map=self.switches["answer"] == "one_map",
            widths=self.budget.widths if self.switches["network"] == "suite" else None,
            patch=self.budget.patch,
            pool_index_max=int(self.switches["pool_index_max"]),
            seed=self.seed,
        )

    def parameter_groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """Generators, critics, each segmentor and the fusion are clipped apart."""
        assert isinstance(net, CmdflNet)
        peak = self.budget.learning_rate
        generators = {"lr_scale": self.switches["generator_learning_rate"] / peak}
        critics = {"lr_scale": self.switches["critic_learning_rate"] / peak}
        return [
            {"params": net.gan.generator_parameters(), **generators},
            {"params": net.gan.critic_parameters(), **critics, "betas": (0.5, 0.999), "weight_decay": 0.0},
            *({"params": list(part.parameters())} for part in (*net.segmentors, net.fusion)),
        ]

    def loss(
        self, net: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """Stage 1: adversarial, critic and cycle terms. Stage 2: both segmentors and their fusion."""
        assert isinstance(net, CmdflNet)
        if clock.step < self.border(clock.steps):
            return self._translation(net, labelled, unlabelled, clock)
        answers = net(*self._images(labelled.image, labelled.available))
        return {
            "first": self._supervised(answers.own[0], labelled, self.groups[0]) / 3.0,
            "second": self._supervised(answers.own[1], labelled, self.groups[1]) / 3.0,
            "fused": self._supervised(answers.fused, labelled, list(range(len(self.task.modalities)))) / 3.0,
        }

    def after_step(self, net: nn.Module, clock: Clock) -> None:
        """Between the stages segmentors take over the weights of the generators."""
        assert isinstance(net, CmdflNet)
        if clock.step + 1 == self.border(clock.steps):
            net.transfer(head=bool(self.switches["copy_head_if_shape_matches"]))
            for pool in net.pools:
                pool.clear()

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """Of the fusion, or of the segmentor of each modality's group."""
        assert isinstance(net, CmdflNet)
        images = self._images(image, available)
        if self.switches["impute"]:
            images = self._imputed(net, images, available)
        answers = net(*images)
        if self.switches["output"] == "fused":
            return answers.fused.expand(-1, image.shape[1], -1, -1, -1, -1)
        own = [
            z.expand(-1, len(group), -1, -1, -1, -1)
            for z, group in zip(answers.own, self.groups, strict=True)
        ]
        order = torch.tensor([*self.groups[0], *self.groups[1]], device=image.device).argsort()
        return torch.cat(own, dim=1)[:, order]

    def _images(self, image: Tensor, available: Tensor) -> tuple[Tensor, Tensor]:
        """The images of both groups, zeros for what is absent."""
        known = torch.where(available[:, :, None, None, None], image, 0.0)
        return known[:, self.groups[0]], known[:, self.groups[1]]

    def _imputed(
        self, net: CmdflNet, images: tuple[Tensor, Tensor], available: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same images, but a group of which an item has nothing is made of its other group."""
        made = list(images)
        for g, generator in enumerate(net.translations()):
            rows = ~available[:, self.groups[g]].any(dim=1)
            if bool(rows.any()):
                imputed = generator(images[1 - g][rows]).to(images[g].dtype)
                made[g] = images[g].index_put((rows.nonzero()[:, 0],), imputed)
        return made[0], made[1]

    def _translation(
        self, net: CmdflNet, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        # Images of a group are real where all of it exists; the groups need not come from one patient.
        batches = [labelled] if unlabelled is None else [labelled, unlabelled]
        image = torch.cat([batch.image for batch in batches])
        available = torch.cat([batch.available for batch in batches])
        first, second = (image[available[:, group].all(dim=1)][:, group] for group in self.groups)
        if not (len(first) and len(second)):
            return {}
        remember = tuple(
            partial(pool.exchange, generator=clock.generator(f"history_pool/{g}"))
            for g, pool in enumerate(net.pools)
        )
        losses = net.gan(first, second, remember=remember).losses
        losses["cycle"] = self.switches["lambda_cycle"] * losses["cycle"]
        return losses

    def _supervised(self, logits: Tensor, batch: Batch, modalities: list[int]) -> Tensor:
        """Of logits [B, heads, C, ...]: one head per modality, or one that learns from the reference."""
        assert batch.label is not None
        one = self.switches["answer"] == "one_map"
        label = reference_label(batch)[:, None] if one else batch.label[:, modalities]
        if self.switches["segmentation_loss"] == "suite":
            return half_dice_ce(logits, replace(batch, label=label))
        return dice_cmdfl(logits.flatten(0, 1), label.flatten(0, 1))
