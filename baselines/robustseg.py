"""Feature disentanglement, gated fusion (RobustSeg): contents of modalities joined by voxel-wise gates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.learn.availability import drop_modalities
from parallax.learn.fusion import half_dice_ce, reference_label
from parallax.learn.loss_forms import dice_robustseg, over_heads, wce
from parallax.learn.nets.robustseg import Painted, RobustSegNet
from parallax.learn.network_method import Batch, Clock, NetworkMethod


class RobustSeg(NetworkMethod):
    """Content encoders, gated fusion, one decoder; images are painted back from content and appearance."""

    name = "robustseg"
    title = "RobustSeg (re-implementation from released code)"
    source = "Chen et al., MICCAI 2019, arXiv 2002.09708; cchen-cc/Robust-Mseg@fa35dda"
    adapter = "heads"
    presets = {
        "paper": {
            "network": "suite",
            "unlabelled": False,
            "answer": "heads",
            "segmentation_loss": "published",
            "reconstruction_weight": 0.1,
            "kl_weight": 0.1,
            "kl_on": "code",
            "log_sigma_clamp": 50.0,
            "share_image_head": False,
            "gate_norm": "instance",
        },
        "with_unlabelled": {"unlabelled": True},
        "released": {"kl_on": "adain", "log_sigma_clamp": 0.0, "share_image_head": True},
        "broadcast": {"answer": "one_map"},
    }
    preset_adapters = {"broadcast": "broadcast"}
    choices = {
        "network": ("suite", "published"),
        "answer": ("heads", "one_map"),
        "segmentation_loss": ("suite", "published"),
        "kl_on": ("code", "adain"),
        "gate_norm": ("instance", "none"),
    }
    min_modalities = 2
    needs_pairs = True

    def set_up(self) -> None:
        """Networks per step."""
        # K content encoders with one decoder count as K networks, K appearance encoders with decoders as K.
        self.forward_passes_per_step = 2.0 * len(self.task.modalities) * (2 if self.uses_unlabelled else 1)

    def build(self) -> RobustSegNet:
        """The network, with a head per modality or a single one."""
        names = self.task.modality_names
        return RobustSegNet(
            names,
            self.task.n_classes,
            len(names) if self.switches["answer"] == "heads" else 1,
            widths=self.budget.widths if self.switches["network"] == "suite" else None,
            gate_norm=self.switches["gate_norm"],
            share_image_head=bool(self.switches["share_image_head"]),
            seed=self.seed,
        )

    def parameter_groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """What paints images is clipped apart from what segments."""
        assert isinstance(net, RobustSegNet)
        appearance = net.appearance_parameters()
        apart = {id(p) for p in appearance}
        return [{"params": [p for p in net.parameters() if id(p) not in apart]}, {"params": appearance}]

    def loss(
        self, net: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """Segmentation of labelled crops from a random subset of their modalities; L1 and KL on all crops."""
        assert isinstance(net, RobustSegNet)
        image, available = labelled.image, labelled.available
        if unlabelled is not None:
            image = torch.cat([image, unlabelled.image])
            available = torch.cat([available, unlabelled.available])
        seen = drop_modalities(available, clock.generator("modality_dropout"))
        fused = net.fuse(image, seen)
        logits = net.segment([scale[: len(labelled.image)] for scale in fused])
        return {
            "supervised": self._supervised(logits, labelled),
            **self._painting(net, image, available, fused[-1]),
        }

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """One map per modality, or the single one for each."""
        logits: Tensor = net(image, available)
        return logits.expand(-1, image.shape[1], -1, -1, -1, -1)

    def _supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        assert batch.label is not None
        label = batch.label if self.switches["answer"] == "heads" else reference_label(batch)[:, None]
        if self.switches["segmentation_loss"] == "suite":
            return half_dice_ce(logits, replace(batch, label=label))
        return over_heads(lambda z, y: wce(z, y) + dice_robustseg(z, y), logits, label)

    def _painting(
        self, net: RobustSegNet, image: Tensor, available: Tensor, content: Tensor
    ) -> dict[str, Tensor]:
        # Every modality that exists is painted, also one whose content was left out: it has to come from the
        # content of the others, which is what makes content common to the modalities.
        difference, divergence = [], []
        for k in range(image.shape[1]):
            rows = available[:, k]
            if bool(rows.any()):
                own = image[rows, k : k + 1]
                painted = net.paint(k, own, content[rows])
                difference.append(F.l1_loss(painted.image.float(), own))
                divergence.append(self._divergence(painted))
        return {
            "reconstruction": self.switches["reconstruction_weight"] * torch.stack(difference).sum(),
            "kl": self.switches["kl_weight"] * torch.stack(divergence).sum(),
        }

    def _divergence(self, painted: Painted) -> Tensor:
        if self.switches["kl_on"] == "code":
            return kl_of_code(painted.code)
        return kl_of_adain(painted.scale, painted.shift, float(self.switches["log_sigma_clamp"]))


def kl_of_code(code: Tensor) -> Tensor:
    """KL(N(code, 1) || N(0, 1)) of appearance codes [B, N], mean over B."""
    return 0.5 * code.float().square().sum(dim=1).mean()


def kl_of_adain(scale: Tensor, shift: Tensor, clamp: float) -> Tensor:
    """KL(N(scale, shift^2) || N(0, 1)) summed over channels [B, C], mean over B, as the release has it.

    It is least at scale 0, where the content is erased.

    Args:
        scale: what the release calls the mean.
        shift: what the release calls the standard deviation.
        clamp: the logarithm of the variance is kept within this, 0: it is not (infinite at a shift of 0).
    """
    variance = shift.float().square()
    log_variance = variance.log()
    if clamp:
        log_variance = log_variance.clamp(-clamp, clamp)
    return 0.5 * (scale.float().square() + variance - 1.0 - log_variance).sum(dim=1).mean()
