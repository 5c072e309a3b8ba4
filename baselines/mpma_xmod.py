"""Paired masking with alignment and memory: pre-training on pairs of volumes, then segmentation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from parallax.errors import ConfigError
from parallax.learn.alignment import global_alignment, local_alignment
from parallax.learn.batch import Batch
from parallax.learn.consistency import over_pairs
from parallax.learn.fusion import half_dice_ce
from parallax.learn.nets.masked_pairs import MaskedPairNet, patch_size
from parallax.learn.nets.masking import draw_masks, hidden_error
from parallax.learn.network_method import Clock, NetworkMethod
from parallax.learn.networks import initialised


class PairedMasking(NetworkMethod):
    """The mechanism of Zhang et al. (IEEE TMM 2023) with two volumes in the place of image and report."""

    name = "mpma_xmod"
    title = "Paired masking, alignment and memory across modalities (mechanism only)"
    source = (
        "mechanism after Zhang et al., IEEE TMM 2023, doi 10.1109/TMM.2023.3325965, arXiv 2305.07920v3; "
        "values of RL4M/MRM-pytorch@3730ba4, HKU-MedAI/MGCA@680fe4a, cuhksz-nlp/R2GenCMN@852512d"
    )
    no_released = "no official code was found"
    adapter = "heads"
    presets = {
        "paper": {
            "mask_ratio": 0.75,
            "complementary": False,
            "global_weight": 1.0,
            "local_weight": 0.7,
            "memory_slots": 512,
            "memory_top": 32,
            "segment_with": "memory",
            "pretraining_fraction": 0.3,
            "unlabelled": True,
            "transformer_learning_rate": 1e-3,
        },
        "complementary": {"complementary": True, "mask_ratio": 0.5},
        "labelled_only": {"unlabelled": False},
        "no_pretraining": {"pretraining_fraction": 0.0, "unlabelled": False},
    }
    choices = {
        "complementary": (False, True),
        "segment_with": ("memory", "encoder"),
        "unlabelled": (True, False),
    }
    min_modalities = 2
    needs_pairs = True
    uses_unlabelled = True

    def set_up(self) -> None:
        """Checks the masks; networks per step over both stages."""
        self._check_masks()
        streams = 2 if self.uses_unlabelled else 1
        first = float(self.switches["pretraining_fraction"])
        self.forward_passes_per_step = len(self.task.modalities) * (first * streams + 1.0 - first)

    def build(self) -> nn.Module:
        """The network of both stages."""
        with initialised(self.seed, "mpma_xmod"):
            return MaskedPairNet(
                len(self.task.modalities),
                self.task.n_classes,
                patch=patch_size(self.budget.patch, len(self.budget.widths)),
                widths=self.budget.widths,
                slots=int(self.switches["memory_slots"]),
                top=int(self.switches["memory_top"]),
                fuse=self.switches["segment_with"] == "memory",
            )

    def parameter_groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """The transformer at a rate of its own: the peak of the suite is made for convolutions."""
        assert isinstance(net, MaskedPairNet)
        scale = self.switches["transformer_learning_rate"] / self.budget.learning_rate
        return [
            {"params": net.transformer_parameters(), "lr_scale": scale},
            {"params": list(net.decoder.parameters())},
        ]

    def loss(
        self, net: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """Stage 1: reconstruction and alignment of all cases; stage 2: (CE + Dice) / 2 of labelled ones."""
        assert isinstance(net, MaskedPairNet)
        if clock.fraction < self.switches["pretraining_fraction"]:
            return self._pretraining(net, [labelled] if unlabelled is None else [labelled, unlabelled], clock)
        return {"supervised": half_dice_ce(net(labelled.image, labelled.available), labelled)}

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """Head k answers for modality k, from all that is available."""
        logits: Tensor = net(image, available)
        return logits

    def _pretraining(self, net: MaskedPairNet, batches: list[Batch], clock: Clock) -> dict[str, Tensor]:
        image = torch.cat([batch.image for batch in batches])
        available = torch.cat([batch.available for batch in batches])
        masks = draw_masks(
            clock.generator("masks"),
            available,
            image[0, 0].numel() // net.patch**3,
            self.switches["mask_ratio"],
            complementary=self.switches["complementary"],
        )
        made = net.pretrain(image, available, masks)
        there = available.nonzero()
        hidden, volume = masks.hidden[there[:, 0], there[:, 1]], there[:, 1]
        terms = {
            f"rebuild/{name}": hidden_error(made.predicted[of], made.target[of], hidden[of])
            for k, name in enumerate(self.task.modality_names)
            if bool((of := volume == k).any())
        }
        aligned = {
            "global": (over_pairs(made.whole, available, global_alignment), self.switches["global_weight"]),
            "local": (over_pairs(made.parts, available, local_alignment), self.switches["local_weight"]),
        }
        return terms | {key: weight * value for key, (value, weight) in aligned.items() if value is not None}

    def _check_masks(self) -> None:
        if self.switches["complementary"] and self.switches["mask_ratio"] > 0.5:
            raise ConfigError(
                "Masks of a pair cannot be complementary when each hides more than half",
                where="switches of method mpma_xmod",
                expected="mask_ratio of at most 0.5 with complementary=True",
                found=f"mask_ratio = {self.switches['mask_ratio']}",
                remedy="use preset complementary, or lower mask_ratio",
            )
