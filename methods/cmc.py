"""Cross Modality Collaboration: one stream per modality, attention and fusion at the bottleneck, CSC and CAC.

Read from top to bottom: what the switches are, of what the network is put together, what it is trained for.
The card is docs/methods/cmc.md. Parts: parallax.learn.cross_modality (the network), parallax.learn.attention
(MIA and fusion), parallax.learn.consistency (CSC and CAC).
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from parallax.case import Prediction, TestView
from parallax.data.frame import native_label_maps
from parallax.errors import ConfigError
from parallax.learn.as_released import released_scores
from parallax.learn.attention import ChannelAttention, Fusion
from parallax.learn.batch import Batch
from parallax.learn.consistency import (
    channel_infonce,
    memory_rows_ntxent,
    over_pairs,
    prediction_agreement,
    squared_dice_ce,
    unsupervised_weights,
)
from parallax.learn.cross_modality import CollaborationNet, PublishedUNet, Streams, replace_norms
from parallax.learn.losses import dice_ce
from parallax.learn.network_method import Clock, NetworkMethod
from parallax.learn.networks import UNet, initialised


class CMC(NetworkMethod):
    """Robust semi-supervised segmentation through cross modality collaboration (MICCAI 2024)."""

    name = "cmc"
    title = "CMC (re-implementation)"
    source = "Zhou et al., MICCAI 2024, doi 10.1007/978-3-031-72378-0_6; med-air/CMC@cb8dd11"
    adapter = "native"
    min_modalities = 2
    uses_unlabelled = True
    presets = {
        "paper": {
            "network": "suite",
            "share_networks": False,
            "norm": "instance",
            "mia_weighting": "similar",
            "mia_energy": "fp32_div_voxels",
            "fusion_mode": "add",
            "grid_mismatch": "resample_second",
            "terms": "all",
            "unlabelled_grad": True,
            "csc_form": "channel_infonce",
            "csc_value": "exact",
            "csc_on": "all",
            "cac_form": "one_minus_soft_dice",
            "cac_input": "softmax_foreground",
            "cac_pairing": "same_patient_only",
            "unsup_schedule": "ones_rampup100",
            "pairing": "paired_item",
            "lr_epoch0_zero": False,
            "supervised_loss": "suite",
            "collaboration": True,
            "test_orientation": "ras",
            "inference": "suite",
        },
        "released": {
            "share_networks": True,
            "norm": "batch_always_train",
            "mia_weighting": "dissimilar",
            "mia_energy": "fp32_raw",
            "fusion_mode": "concat_merge",
            "grid_mismatch": "error",
            "unlabelled_grad": False,
            "csc_form": "memory_rows_ntxent",
            "csc_value": "skip",
            "csc_on": "unlabelled",
            "cac_form": "plus_similarity",
            "cac_input": "raw_logits_all",
            "cac_pairing": "literal",
            "unsup_schedule": "head_ramps_gate70",
            "pairing": "independent_shuffle",
            "lr_epoch0_zero": True,
        },
        "released_evaluation": {
            "based_on": "released",
            "test_orientation": "as_saved",
            "inference": "squeeze",
        },
    }
    choices = {
        "network": ("suite", "published"),
        "share_networks": (False, True),
        "norm": ("instance", "batch_always_train"),
        "mia_weighting": ("similar", "dissimilar"),
        "mia_energy": ("fp32_div_voxels", "fp32_raw", "fp16"),
        "fusion_mode": ("add", "concat_merge"),
        "grid_mismatch": ("resample_second", "error", "copy_first"),
        "terms": ("all", "supervised", "csc", "cac"),
        "unlabelled_grad": (True, False),
        "csc_form": ("channel_infonce", "memory_rows_ntxent"),
        "csc_value": ("exact", "skip", "matmul", "broadcast"),
        "csc_on": ("all", "unlabelled"),
        "cac_form": ("one_minus_soft_dice", "plus_similarity"),
        "cac_input": ("softmax_foreground", "raw_logits_all"),
        "cac_pairing": ("same_patient_only", "literal"),
        "unsup_schedule": ("ones_rampup100", "ones_rampup40", "head_ramps_gate70"),
        "pairing": ("paired_item", "independent_shuffle"),
        "lr_epoch0_zero": (False, True),
        "supervised_loss": ("suite", "squared_dice_ce"),
        "collaboration": (True, False),
        "test_orientation": ("ras", "as_saved"),
        "inference": ("suite", "squeeze"),
    }
    at_prediction = ("test_orientation", "inference")

    def set_up(self) -> None:
        """Checks switches against each other; which crops are paired, which terms count."""
        self._check_skip()
        self.paired_crops = self.paired_crops and self.switches["pairing"] == "paired_item"
        self.terms = self._terms_in_use()
        passes = 2 if self.terms else 1
        self.forward_passes_per_step = float(passes * len(self.task.modalities))
        self._initial: list[Tensor] = []
        if self.switches["csc_value"] == "skip":
            logging.getLogger(__name__).info("cmc: CSC and CAC not computed; see docs/methods/cmc.md")

    def build(self) -> nn.Module:
        """The network. Backbones start from the weights that `supervised` starts from at the same seed."""
        s, names = self.switches, self.task.modality_names
        backbones: list[nn.Module] = []
        for name in ("shared",) if s["share_networks"] else names:
            with initialised(self.seed, f"unet/{name}"):
                backbones.append(self._backbone())
        if not s["collaboration"]:
            return CollaborationNet(backbones, [nn.Identity()], nn.Identity())
        attentions = [ChannelAttention(s["mia_weighting"], s["mia_energy"]) for _ in backbones]
        with initialised(self.seed, "cmc/fusion"):
            fusion = Fusion(
                512 if s["network"] == "published" else self.budget.widths[-1],
                len(names),
                mode=s["fusion_mode"],
                grid_mismatch=s["grid_mismatch"],
                norm=s["norm"],
                shared_merge=s["share_networks"],
            )
        return CollaborationNet(backbones, attentions, fusion)

    def loss(
        self, net: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """L_sup on labelled items, w_csc * L_CSC on features, w_cac * L_CAC on unlabelled predictions."""
        if self.switches["lr_epoch0_zero"] and clock.step == 0:
            self._initial = [p.detach().clone() for p in net.parameters()]
        ramp = unsupervised_weights(self.switches["unsup_schedule"], clock.fraction)
        weights = {term: ramp[term] for term in self.terms if ramp[term] > 0.0}
        if unlabelled is None or not weights:
            return {"supervised": self._supervised(self._run(net, labelled), labelled)}
        known, unknown = self._both(net, labelled, unlabelled, decode="cac" in weights)
        terms = {"supervised": self._supervised(known, labelled)}
        with torch.set_grad_enabled(self.switches["unlabelled_grad"]):
            for term, weight in weights.items():
                value = self._csc(known, unknown) if term == "csc" else self._cac(unknown)
                if value is not None:
                    terms[term] = weight * value
        return terms

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """Logits [B, K, C, X, Y, Z] of `image` [B, K, X, Y, Z], each modality from its own decoder."""
        streams: Streams = net([image[:, k : k + 1] for k in range(image.shape[1])], available)
        return torch.stack(streams.logits, dim=1)

    def predict(self, view: TestView) -> Prediction:
        """Segment one case, with the mistakes of the release's evaluation where the switches ask for them."""
        as_saved, squeeze = (
            self.switches["test_orientation"] == "as_saved",
            self.switches["inference"] == "squeeze",
        )
        if not (as_saved or squeeze):
            return super().predict(view)
        net = self._network().eval()
        scores = released_scores(
            lambda x, a: self.logits(net, x, a),
            view,
            self.budget,
            self.device,
            as_saved=as_saved,
            squeeze=squeeze,
        )
        return native_label_maps(scores, view)

    def after_step(self, net: nn.Module, clock: Clock) -> None:
        """Undo the first step where the release has a learning rate of 0 in its first epoch."""
        if self.switches["lr_epoch0_zero"] and clock.step == 0:
            with torch.no_grad():
                for parameter, initial in zip(net.parameters(), self._initial, strict=True):
                    parameter.copy_(initial)
            self._initial = []

    def _run(self, net: nn.Module, batch: Batch, decoded: int | None = None) -> Streams:
        images = [batch.image[:, k : k + 1] for k in range(batch.image.shape[1])]
        streams: Streams = net(images, batch.available, decoded)
        return streams

    def _both(
        self, net: nn.Module, labelled: Batch, unlabelled: Batch, decode: bool
    ) -> tuple[Streams, Streams]:
        """Streams of the labelled and of the unlabelled items; without `decode` the latter have no logits."""
        n = len(labelled.image)
        if self.switches["unlabelled_grad"] and self.switches["norm"] == "instance":
            # Items do not see each other under instance norm, so one pass gives what two would, for less.
            joint = self._run(net, _joined(labelled, unlabelled), None if decode else n)
            return joint.rows(0, n), joint.rows(n, n + len(unlabelled.image))
        known = self._run(net, labelled)
        with torch.set_grad_enabled(self.switches["unlabelled_grad"]):
            return known, self._run(net, unlabelled, None if decode else 0)

    def _supervised(self, streams: Streams, batch: Batch) -> Tensor:
        """(Dice + CE) / 2, summed over the modalities; a modality without any mask in the batch adds 0."""
        assert batch.label is not None
        of = dice_ce if self.switches["supervised_loss"] == "suite" else squared_dice_ce
        return 0.5 * torch.stack([of(z, batch.label[:, k]) for k, z in enumerate(streams.logits)]).sum()

    def _csc(self, known: Streams, unknown: Streams) -> Tensor | None:
        features, available = unknown.features, unknown.available
        if self.switches["csc_on"] == "all":
            features = tuple(torch.cat(pair) for pair in zip(known.features, features, strict=True))
            available = torch.cat([known.available, available])
        form = channel_infonce if self.switches["csc_form"] == "channel_infonce" else memory_rows_ntxent
        return over_pairs(features, available, lambda a, b: form(a, b, value=self.switches["csc_value"]))

    def _cac(self, unknown: Streams) -> Tensor | None:
        form, on = self.switches["cac_form"], self.switches["cac_input"]
        return over_pairs(
            unknown.logits, unknown.available, lambda a, b: prediction_agreement(a, b, form=form, on=on)
        )

    def _terms_in_use(self) -> tuple[str, ...]:
        """The unlabelled terms that are computed at all."""
        s = self.switches
        chosen = {"all": ("csc", "cac"), "supervised": ()}.get(s["terms"], (s["terms"],))
        # Voxel overlap of two patients means nothing, so CAC needs crops of one patient at one place.
        overlap = s["cac_pairing"] == "literal" or self.paired_crops
        return () if s["csc_value"] == "skip" else tuple(t for t in chosen if t == "csc" or overlap)

    def _backbone(self) -> nn.Module:
        classes, norm = self.task.n_classes, self.switches["norm"]
        if self.switches["network"] == "published":
            return PublishedUNet(classes, norm=norm)
        return replace_norms(UNet(1, classes, self.budget.widths), norm)

    def _check_skip(self) -> None:
        if self.switches["csc_value"] == "skip" and self.switches["unlabelled_grad"]:
            raise ConfigError(
                "Terms that train the network cannot be skipped",
                where="switches of method cmc",
                expected="csc_value='matmul', or terms='cac'",
                found="csc_value='skip' with unlabelled_grad=True",
                remedy="see docs/methods/cmc.md for the switches",
            )


def _joined(first: Batch, second: Batch) -> Batch:
    image = torch.cat([first.image, second.image])
    return Batch(image, None, torch.cat([first.available, second.available]), first.cases + second.cases)
