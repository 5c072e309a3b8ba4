"""MCSC: cross teaching, and features of both branches in which a class is alike and differs from others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from parallax.learn.contrast import contrast_of_blocks, shuffled_blocks
from parallax.learn.fusion import half_dice_ce, reference_label
from parallax.learn.nets.branches import Branch, Seen
from parallax.learn.nets.projectors import PairProjector
from parallax.learn.network_method import Batch, Clock
from parallax.learn.networks import initialised
from parallax.learn.norms import replace_instance_norms
from parallax.learn.pseudo import hard_labels
from parallax.learn.slices import to_slices
from parallax.learn.two_branches import TwoBranches

_FIRST_VALIDATION = 0.03  # of the training: iteration 1,200 of 40,000
_BRANCHES = 2


class Mcsc(TwoBranches):
    """Liu, Gu, Henderson, Deligianni: Multi-Scale Cross Supervised Contrastive Learning."""

    name = "mcsc"
    title = "MCSC (re-implementation from released code)"
    source = "Liu et al., BMVC 2023, arXiv 2306.14293; kathyliu579/MCSC@0fe180e"
    presets = {
        "paper": {
            "input": "fused",
            "unlabelled": True,
            "lambda_max": 0.1,
            "ramp_fraction": 0.75,
            "ramp_stairs": 0,
            "dimensions": "3d",
            "plane": "axial",
            "norm": "instance",
            "transformer_rate": 0.05,
            "contrast_weight": 0.001,
            "temperature": 0.1,
            "labelled_only_fraction": 0.075,
            "tile": "cover",
            "block_side": 4,
            "middle_block_side": 7,
            "blocks_at_most": 24,
            "eval_bug": False,
            "predict_with": "cnn",
        },
        "released": {"ramp_stairs": 266.667, "norm": "batch", "tile": "release", "eval_bug": True},
        "slices": {"dimensions": "2d", "block_side": 10, "middle_block_side": 14},
        "mean_of_both": {"predict_with": "mean"},
        "per_modality": {"input": "per_modality"},
        "supervised_only": {"unlabelled": False},
    }
    choices = {
        "input": ("fused", "per_modality"),
        "dimensions": ("3d", "2d"),
        "plane": ("axial", "coronal", "sagittal"),
        "norm": ("instance", "batch"),
        "tile": ("cover", "release"),
        "predict_with": ("cnn", "transformer", "mean"),
    }
    at_prediction = ("predict_with",)

    def learner(self, modalities: tuple[str, ...]) -> nn.Module:
        """The two networks, and a projector for each of two scales."""
        widths, fine = self.budget.widths, self.budget.widths[0]
        middle = min(2, len(widths) - 1)  # level of `Seen.middle`
        with initialised(self.seed, self.initial(modalities, "projectors")):
            projectors = {
                "fine": PairProjector((fine, fine), norm=False),
                "middle": PairProjector((widths[middle], fine * 2**middle), norm=True),
            }
        return nn.ModuleDict(
            {
                "cnn": self.cnn(modalities),
                "transformer": self.transformer(modalities),
                "projectors": nn.ModuleDict(projectors),
            }
        )

    def cnn(self, modalities: tuple[str, ...]) -> Branch:
        """The suite's U-Net, or the same with batch norms."""
        branch = super().cnn(modalities)
        if self.switches["norm"] == "batch":
            replace_instance_norms(branch, nn.BatchNorm2d if self.sliced else nn.BatchNorm3d)
        return branch

    def learn(
        self, learner: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """Supervision of both branches, lambda(t) times cross teaching, contrast at two scales."""
        if self.switches["eval_bug"]:
            learner.get_submodule("cnn").train(clock.fraction < _FIRST_VALIDATION)
        cnn, transformer = self.see(learner, labelled.image, labelled.available)
        terms = {
            "supervised/cnn": half_dice_ce(cnn.logits, labelled),
            "supervised/transformer": half_dice_ce(transformer.logits, labelled),
        }
        truth = reference_label(labelled)
        maps, labels = [(cnn, transformer)], [(truth, truth)]
        if unlabelled is not None:
            cnn, transformer = self.see(learner, unlabelled.image, unlabelled.available)
            terms |= self.taught_by_each_other(cnn.logits, transformer.logits, unlabelled.available, clock)
            if clock.fraction >= self.switches["labelled_only_fraction"]:
                maps.append((cnn, transformer))
                labels.append((_said_by(transformer, unlabelled), _said_by(cnn, unlabelled)))
        if self.switches["contrast_weight"]:
            # Each branch carries the term once in the release, so that it counts twice.
            weight = _BRANCHES * self.switches["contrast_weight"]
            terms |= {
                f"contrast/{scale}": weight * self.contrast(learner, maps, labels, scale, clock)
                for scale in ("fine", "middle")
            }
        return terms

    def contrast(
        self,
        learner: nn.Module,
        maps: list[tuple[Seen, Seen]],
        labels: list[tuple[Tensor, Tensor]],
        scale: str,
        clock: Clock,
    ) -> Tensor:
        """Class-balanced contrast of shuffled blocks of all maps of both branches at a scale.

        Args:
            learner: holds the projectors.
            maps: what cnn and transformer make of batches.
            labels: for each of them label maps [B, X, Y, Z], of the cnn's and of the transformer's features.
            scale: `fine` or `middle`.
            clock: source of the order of blocks, and of the slices where the networks work on slices.
        """
        features = [torch.cat([getattr(seen[b], scale) for seen in maps]) for b in range(_BRANCHES)]
        classes = [torch.cat([label[b] for label in labels]) for b in range(_BRANCHES)]
        if self.sliced:
            rows, classes = self._slices(classes, clock)
            features = [maps_of_branch[rows] for maps_of_branch in features]
        generator = clock.generator(f"blocks/{scale}")
        blocks = [
            shuffled_blocks(
                feature,
                label,
                side=self.switches["block_side" if scale == "fine" else "middle_block_side"],
                cover=self.switches["tile"] == "cover",
                at_most=self.switches["blocks_at_most"],
                generator=generator,
            )
            for feature, label in zip(features, classes, strict=True)
        ]
        vectors = learner.get_submodule(f"projectors.{scale}")(*(v for v, _ in blocks))
        return contrast_of_blocks(vectors, torch.cat([y for _, y in blocks]), self.switches["temperature"])

    def groups(self, learner: nn.Module) -> list[dict[str, Any]]:
        """Those of the branches, and the projectors, which have an optimiser of their own as well."""
        return [*super().groups(learner), {"params": list(learner.get_submodule("projectors").parameters())}]

    def _slices(self, labels: list[Tensor], clock: Clock) -> tuple[Tensor, list[Tensor]]:
        """One slice of each item, drawn at random: its row among all slices, and its label maps."""
        stacks = [to_slices(label.unsqueeze(1), self.switches["plane"]).squeeze(1) for label in labels]
        items = len(labels[0])
        count = len(stacks[0]) // items
        drawn = torch.randint(count, (items,), generator=clock.generator("slices"))
        rows = (torch.arange(items) * count + drawn).to(stacks[0].device)
        return rows, [stack[rows] for stack in stacks]


def _said_by(seen: Seen, batch: Batch) -> Tensor:
    """Label maps [B, X, Y, Z] of the likeliest classes, of the first modality that an item has."""
    return reference_label(replace(batch, label=hard_labels(seen.logits, batch.available)))
