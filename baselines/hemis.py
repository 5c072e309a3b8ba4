"""U-HeMIS: features of the modalities that are there are joined by their mean and variance."""

from __future__ import annotations

from torch import Tensor, nn

from parallax.learn.availability import any_size
from parallax.learn.fusion import half_dice_ce, reference_label
from parallax.learn.losses import dice_ce
from parallax.learn.nets.hemis import HemisNet, PublishedDecoder, PublishedEncoder, SuiteDecoder
from parallax.learn.network_method import Batch, Clock, NetworkMethod
from parallax.learn.networks import UNet, initialised, one_per_modality


class Hemis(NetworkMethod):
    """HeMIS (MICCAI 2016) with a U-Net decoder, in the form that was released with U-HVED (MICCAI 2019)."""

    name = "hemis"
    title = "U-HeMIS (re-implementation from released code)"
    source = "Havaei et al., MICCAI 2016, arXiv 1607.05194; ReubenDo/U-HVED@1d293a8, extensions/u_hemis"
    adapter = "heads"
    presets = {
        "paper": {"network": "suite", "modality_dropout": True, "answer": "heads"},
        "broadcast": {"answer": "one_map"},
    }
    preset_adapters = {"broadcast": "broadcast"}
    choices = {
        "network": ("suite", "published"),
        "modality_dropout": (True, False),
        "answer": ("heads", "one_map"),
    }
    min_modalities = 2
    needs_pairs = True
    no_released = "no difference between the released code and the intent of the paper is known"

    def set_up(self) -> None:
        """One encoder per modality counts as a network."""
        self.forward_passes_per_step = float(len(self.task.modalities))  # encoders; one decoder

    def build(self) -> nn.Module:
        """Encoders with the initial weights of those of `supervised`, and the decoder."""
        names, classes, widths = self.task.modality_names, self.task.n_classes, self.budget.widths
        published = self.switches["network"] == "published"
        heads = len(names) if self.switches["answer"] == "heads" else 1
        encoders = one_per_modality(
            names, self.seed, lambda: PublishedEncoder() if published else UNet(1, classes, widths).encoder
        )
        with initialised(self.seed, "hemis/decoder"):
            out = heads * classes
            decoder = PublishedDecoder(out) if published else SuiteDecoder(widths, out, heads)
        return HemisNet(encoders, decoder, (heads, classes))

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
            seen = any_size(seen, clock.generator("modality_dropout"))
        logits = net(labelled.image, seen)
        if self.switches["answer"] == "heads":
            return {"supervised": half_dice_ce(logits, labelled)}
        return {"supervised": 0.5 * dice_ce(logits[:, 0], reference_label(labelled))}

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """One head per modality, or one map for all of them."""
        logits: Tensor = net(image, available)
        return logits.expand(-1, image.shape[1], -1, -1, -1, -1)
