"""Encoders with transformers, one transformer across modalities, fusion at every level (MICCAI 2022)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from parallax.learn.availability import any_subset
from parallax.learn.fusion import reference_label, taught_alone, without_absent
from parallax.learn.loss_forms import dice_rfnet, over_heads, wce
from parallax.learn.losses import dice_ce
from parallax.learn.nets.mmformer import MmFormer, Tokens, published_mmformer, suite_mmformer
from parallax.learn.nets.tokens import two_rates
from parallax.learn.network_method import Batch, Clock, NetworkMethod
from parallax.learn.networks import initialised


class MmFormerMethod(NetworkMethod):
    """Zhang et al.: mmFormer: Multimodal Medical Transformer for Incomplete Multimodal Learning."""

    name = "mmformer"
    title = "mmFormer (re-implementation from released code)"
    source = "Zhang et al., MICCAI 2022, arXiv 2206.02425; YaoZhang93/mmFormer@b18663a"
    adapter = "heads"
    presets = {
        "paper": {
            "network": "suite",
            "token_reshape": "correct",
            "key_mask": False,
            "modality_dropout": True,
            "dropout": 0.1,
            "segmentation_loss": "published",
            "answer": "heads",
            "output": "fused",
        },
        "released": {"token_reshape": "released"},
        "own": {"output": "own"},
        "broadcast": {"answer": "one_map"},
    }
    preset_adapters = {"own": "native", "broadcast": "broadcast"}
    choices = {
        "network": ("suite", "published"),
        "token_reshape": ("correct", "released"),
        "key_mask": (False, True),
        "modality_dropout": (True, False),
        "segmentation_loss": ("suite", "published"),
        "answer": ("heads", "one_map"),
        "output": ("fused", "own"),
    }
    at_prediction = ("output",)
    min_modalities = 2
    needs_pairs = True

    def set_up(self) -> None:
        """Networks per step."""
        # K encoders, K passes of the auxiliary decoder, one fused decoder.
        self.forward_passes_per_step = len(self.task.modalities) + 1.0

    def build(self) -> MmFormer:
        """The network. Positions fit the patch; other sizes interpolate them."""
        modalities, classes = len(self.task.modalities), self.task.n_classes
        maps = modalities if self.switches["answer"] == "heads" else 1
        with initialised(self.seed, "mmformer"):
            if self.switches["network"] == "published":
                return published_mmformer(modalities, classes, self._tokens(512, 16), maps)
            widths = self.budget.widths
            tokens = self._tokens(widths[-1], 2 ** len(widths))
            return suite_mmformer(modalities, classes, widths, tokens, maps)

    def parameter_groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """Convolutions at the suite's rate, transformers at a fraction of it."""
        assert isinstance(net, MmFormer)
        return two_rates(net, net.transformers())

    def loss(
        self,
        net: nn.Module,
        labelled: Batch,
        unlabelled: Batch | None,  # fully supervised
        clock: Clock,
    ) -> dict[str, Tensor]:
        """Fused map of a random subset, its coarser maps, and the map of each modality alone; weights 1."""
        assert isinstance(net, MmFormer)
        assert labelled.label is not None
        seen = labelled.available
        if self.switches["modality_dropout"]:
            seen = any_subset(seen, clock.generator("modality_dropout"))
        pyramids = net.encode(labelled.image, labelled.available)
        *coarse, fused = net.fused(pyramids, seen, all_levels=True)
        target = labelled.label
        if self.switches["answer"] == "one_map":
            target = reference_label(labelled).unsqueeze(1)
        return {
            "fused": self._segmentation(fused, target),
            "coarse": torch.stack([self._segmentation(logits, target) for logits in coarse]).sum(),
            "auxiliary": self._each(net.own(pyramids), taught_alone(labelled)),
        }

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """The fused map of all that is available, or each modality's own (zeros where it is absent)."""
        assert isinstance(net, MmFormer)
        pyramids = net.encode(image, available)
        if self.switches["output"] == "own":
            return without_absent(net.own(pyramids), available)
        fused = net.fused(pyramids, available, all_levels=False)[-1]
        return fused.expand(-1, image.shape[1], -1, -1, -1, -1)

    def _segmentation(self, logits: Tensor, label: Tensor) -> Tensor:
        if self.switches["segmentation_loss"] == "suite":
            return 0.5 * dice_ce(logits.flatten(0, 1), label.flatten(0, 1))
        return over_heads(lambda z, y: wce(z, y, per_item=True) + dice_rfnet(z, y), logits, label)

    def _each(self, logits: Tensor, label: Tensor) -> Tensor:
        pairs = [(logits[:, k : k + 1], label[:, k : k + 1]) for k in range(label.shape[1])]
        return torch.stack([self._segmentation(z, y) for z, y in pairs]).sum()

    def _tokens(self, width: int, cell: int) -> Tokens:
        return Tokens(
            width=width,
            heads=math.gcd(8, width),
            mlp_width=8 * width,
            grid=tuple(n // cell for n in self.budget.patch),
            dropout=float(self.switches["dropout"]),
            mixed=self.switches["token_reshape"] == "released",
            key_mask=bool(self.switches["key_mask"]),
        )
