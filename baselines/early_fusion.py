"""One U-Net that sees all modalities as channels and has one head per modality."""

from __future__ import annotations

from torch import Tensor, nn

from parallax.learn.availability import drop_modalities
from parallax.learn.fusion import EarlyFusion, half_dice_ce
from parallax.learn.network_method import Batch, Clock, NetworkMethod
from parallax.learn.networks import initialised


class EarlyFusionMethod(NetworkMethod):
    """The plainest way to join modalities; needs them to share a grid, and shows what misalignment costs."""

    name = "early_fusion"
    title = "Early fusion (K heads)"
    source = "baseline of this suite"
    adapter = "heads"
    presets = {
        "paper": {"modality_dropout": False},
        "dropout": {"modality_dropout": True},
    }
    min_modalities = 2
    needs_pairs = True
    no_released = "a baseline of this suite, without publication"

    def build(self) -> nn.Module:
        """K channels in, K heads out."""
        with initialised(self.seed, "early_fusion"):
            return EarlyFusion(len(self.task.modalities), self.task.n_classes, self.budget.widths)

    def loss(
        self,
        net: nn.Module,
        labelled: Batch,
        unlabelled: Batch | None,
        clock: Clock,
    ) -> dict[str, Tensor]:
        """(CE + Dice) / 2; each head is taught by the mask of its modality, seen or dropped."""
        seen = labelled.available
        if self.switches["modality_dropout"]:
            seen = drop_modalities(seen, clock.generator("modality_dropout"))
        return {"supervised": half_dice_ce(net(labelled.image, seen), labelled)}

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """Absent modalities are zeros, as in training."""
        logits: Tensor = net(image, available)
        return logits
