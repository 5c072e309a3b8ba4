"""RFNet: region-aware fusion, guided by coarse maps, with an auxiliary decoder that all modalities share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parallax.learn.availability import any_subset
from parallax.learn.fusion import reference_label, taught_alone
from parallax.learn.loss_forms import dice_rfnet, over_heads, wce
from parallax.learn.losses import dice_ce
from parallax.learn.nets.rfnet import PUBLISHED, PUBLISHED_WIDTHS, SUITE, Fused, PublishedEncoder, RFNet
from parallax.learn.network_method import Batch, Clock, NetworkMethod
from parallax.learn.networks import UNet, initialised, one_per_modality


class RFNetMethod(NetworkMethod):
    """Region-aware Fusion Network for incomplete multi-modal segmentation (ICCV 2021)."""

    name = "rfnet"
    title = "RFNet (re-implementation from released code)"
    source = "Ding, Yu, Yang, ICCV 2021, pages 3975-3984; dyh127/RFNet@1e475fa"
    adapter = "heads"
    presets = {
        "paper": {
            "network": "suite",
            "segmentation_loss": "published",
            "modality_dropout": True,
            "fusion_from": 0.0667,  # 20 of 300 epochs, the script of the release
            "answer": "heads",
            "output": "fused",
        },
        "own": {"output": "own"},
        "broadcast": {"answer": "one_map"},
    }
    preset_adapters = {"own": "native", "broadcast": "broadcast"}
    choices = {
        "network": ("suite", "published"),
        "segmentation_loss": ("published", "suite"),
        "modality_dropout": (True, False),
        "answer": ("heads", "one_map"),
        "output": ("fused", "own"),
    }
    at_prediction = ("output",)
    min_modalities = 2
    needs_pairs = True
    no_released = "no difference between the released code and the intent of the paper is known"

    def set_up(self) -> None:
        """Networks per step."""
        # K encoders with the shared decoder, and the fusing decoder
        self.forward_passes_per_step = float(len(self.task.modalities) + 1)

    def build(self) -> nn.Module:
        """Encoders with the initial weights of those of `supervised` (suite), and both decoders."""
        names, classes = self.task.modality_names, self.task.n_classes
        published = self.switches["network"] == "published"
        widths = PUBLISHED_WIDTHS if published else self.budget.widths
        heads = len(names) if self.switches["answer"] == "heads" else 1
        encoders = one_per_modality(
            names, self.seed, lambda: PublishedEncoder() if published else UNet(1, classes, widths).encoder
        )
        with initialised(self.seed, "rfnet/decoders"):
            return RFNet(encoders, widths, classes, heads, PUBLISHED if published else SUITE)

    def loss(
        self,
        net: nn.Module,
        labelled: Batch,
        unlabelled: Batch | None,
        clock: Clock,
    ) -> dict[str, Tensor]:
        """L_fuse (from `fusion_from` on) + sum of L_sep over modalities + sum of L_prm over scales."""
        assert isinstance(net, RFNet)
        seen = labelled.available
        if self.switches["modality_dropout"]:
            seen = any_subset(seen, clock.generator("modality_dropout"))
        pyramid = net.encode(labelled.image, labelled.available)
        fused, alone = net.fuse(pyramid, seen), net.alone(pyramid)
        own, reference = taught_alone(labelled), reference_label(labelled)
        separate = [self._segmentation(alone[:, k], own[:, k]) for k in range(own.shape[1])]
        coarse = [self._segmentation(log_p, reference) for log_p in fused.maps]
        terms = {"sep": torch.stack(separate).sum(), "prm": torch.stack(coarse).sum()}
        if clock.fraction >= self.switches["fusion_from"]:
            terms["fuse"] = self._fusion(fused, labelled, reference)
        return terms

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """The fused answer, or that of the shared decoder (the fused one where a modality is absent)."""
        assert isinstance(net, RFNet)
        pyramid, k = net.encode(image, available), image.shape[1]
        if self.switches["output"] == "own" and bool(available.all()):
            return net.alone(pyramid)
        fused = net.fuse(pyramid, available).logits.expand(-1, k, -1, -1, -1, -1)
        if self.switches["output"] == "fused":
            return fused
        return net.alone(pyramid).where(available[:, :, None, None, None, None], fused)

    def _fusion(self, fused: Fused, batch: Batch, reference: Tensor) -> Tensor:
        """Mean over the heads, or the one map on the mask of the reference."""
        if self.switches["answer"] == "one_map":
            return self._segmentation(fused.logits[:, 0], reference)
        assert batch.label is not None
        return over_heads(self._segmentation, fused.logits, batch.label)

    def _segmentation(self, logits: Tensor, label: Tensor) -> Tensor:
        """Loss of one map: logits [B, C, X, Y, Z], label [B, X, Y, Z]."""
        if self.switches["segmentation_loss"] == "suite":
            return 0.5 * dice_ce(logits, label)
        return wce(logits, label, per_item=True) + dice_rfnet(logits, label)
