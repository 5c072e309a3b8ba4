"""MAG-MS: encoders whose features are averaged; the fused output teaches those of single modalities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from parallax.case import IGNORE
from parallax.learn.fusion import reference_label
from parallax.learn.losses import dice_ce, kd
from parallax.learn.nets.magms import (
    ModalityAgnosticNet,
    PublishedDecoder,
    SelfTaught,
    SuiteDecoder,
    published_encoder,
    suite_encoder,
)
from parallax.learn.network_method import Batch, Clock, NetworkMethod
from parallax.learn.networks import initialised, one_per_modality

_PUBLISHED_WIDTHS = (16, 32, 64, 128)
_MONAI_SMOOTHING = 1e-5


class MagMs(NetworkMethod):
    """He, Summerfield, Dong, Glide-Hurst: modality-agnostic learning by multi-modality self-distillation."""

    name = "magms"
    title = "MAG-MS (re-implementation from released code)"
    source = "He et al., ISBI 2024, doi 10.1109/isbi56570.2024.10635881; kisonho/magnet@ca6bb1a"
    adapter = "heads"
    presets = {
        "paper": {
            "network": "suite",
            "answer": "heads",
            "output": "fused",
            "segmentation_loss": "published",
            "kd_weight": 1.0,
            "feature_weight": 1.0,
            "temperature": 1.0,
            "kd_temperature_mode": "standard",
            "kd_log_form": "log_softmax",
            "kd_detach_teacher": False,
            "feature_mean": "concatenated",
            "feature_dtype": "float32",
            "encoders_start_equal": False,
        },
        "released": {"kd_temperature_mode": "as_released", "kd_log_form": "log_of_softmax"},
        "own": {"output": "own"},
        "broadcast": {"answer": "one_map"},
    }
    preset_adapters = {"own": "native", "broadcast": "broadcast"}
    choices = {
        "network": ("suite", "published", "published_unetr"),
        "answer": ("heads", "one_map"),
        "output": ("fused", "own"),
        "segmentation_loss": ("published", "suite"),
        "kd_temperature_mode": ("standard", "as_released"),
        "kd_log_form": ("log_softmax", "log_of_softmax"),
        "kd_detach_teacher": (False, True),
        "feature_mean": ("concatenated", "per_level"),
        "feature_dtype": ("float32", "float64"),
        "encoders_start_equal": (False, True),
    }
    at_prediction = ("output",)
    min_modalities = 2
    needs_pairs = True

    def set_up(self) -> None:
        """Networks per step, and how many heads answer."""
        # Every encoder with a pass of the decoder, and the decoder once more for the fused features.
        self.forward_passes_per_step = len(self.task.modalities) + 1.0
        self.heads = len(self.task.modalities) if self.switches["answer"] == "heads" else 1

    def build(self) -> nn.Module:
        """Encoders (those of `suite` start from the weights of `supervised`) and the decoder."""
        names = self.task.modality_names
        if self.switches["encoders_start_equal"]:
            names = (names[0],) * len(names)
        encoders = list(one_per_modality(names, self.seed, self._encoder))
        with initialised(self.seed, "magms/decoder"):
            return ModalityAgnosticNet(encoders, self._decoder(self.heads * self.task.n_classes))

    def loss(
        self,
        net: nn.Module,
        labelled: Batch,
        unlabelled: Batch | None,
        clock: Clock,  # the release has no ramp
    ) -> dict[str, Tensor]:
        """n+1 segmentation terms, n of distilled logits, n of distilled features."""
        assert labelled.label is not None
        outputs: SelfTaught = net(labelled.image, labelled.available)
        fused = self._by_head(outputs.fused)
        masks = labelled.label if self.heads > 1 else reference_label(labelled)[:, None]
        terms = {"segmentation/fused": self._segmentation(fused.flatten(0, 1), masks.flatten(0, 1))}
        for k, logits in outputs.own.items():
            name, head = self.task.modality_names[k], self._head_of(k)
            rows = labelled.available[:, k].nonzero()[:, 0]
            own, mask = self._by_head(logits)[:, head], masks[rows, head]
            terms[f"segmentation/{name}"] = self._segmentation(own, mask)
            known = (mask != IGNORE).flatten(1).any(dim=1)
            if bool(known.any()):
                taught = rows[known]  # without a mask neither teacher nor student has learned this item
                student = own[known], [level[known] for level in outputs.own_features[k]]
                teacher = fused[taught, head], [level[taught] for level in outputs.fused_features]
                found = self._distillation(teacher, student)
                terms |= {f"{key}/{name}": value for key, value in found.items()}
        return terms

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """Of the mean of what is available, or of each modality alone, as the switch `output` says."""
        assert isinstance(net, ModalityAgnosticNet)
        if self.switches["output"] == "fused":
            fused = self._by_head(net.fused(image, available))
            return fused.expand(-1, image.shape[1], *fused.shape[2:])
        alone = net.alone(image, available)
        return torch.stack(
            [self._by_head(alone[:, k])[:, self._head_of(k)] for k in range(image.shape[1])], dim=1
        )

    def _head_of(self, modality: int) -> int:
        # One head answers for all; of K heads, the output of a modality is only ever asked for its own.
        return min(modality, self.heads - 1)

    def _by_head(self, logits: Tensor) -> Tensor:
        return logits.unflatten(1, (self.heads, self.task.n_classes))  # type: ignore[no-untyped-call,no-any-return]

    def _segmentation(self, logits: Tensor, mask: Tensor) -> Tensor:
        if self.switches["segmentation_loss"] == "published":
            return dice_ce(logits, mask, smooth=_MONAI_SMOOTHING)
        return 0.5 * dice_ce(logits, mask)

    def _distillation(
        self, teacher: tuple[Tensor, list[Tensor]], student: tuple[Tensor, list[Tensor]]
    ) -> dict[str, Tensor]:
        s, terms = self.switches, {}
        if s["kd_weight"]:
            terms["kd"] = s["kd_weight"] * kd(
                teacher[0],
                student[0],
                temperature=s["temperature"],
                detach_teacher=s["kd_detach_teacher"],
                temper_teacher=s["kd_temperature_mode"] == "standard",
                log_of_softmax=s["kd_log_form"] == "log_of_softmax",
            )
        if s["feature_weight"]:
            target = [level.detach() for level in teacher[1]] if s["kd_detach_teacher"] else teacher[1]
            terms["features"] = s["feature_weight"] * feature_mse(
                student[1],
                target,
                per_level=s["feature_mean"] == "per_level",
                dtype=torch.float64 if s["feature_dtype"] == "float64" else torch.float32,
            )
        return terms

    def _encoder(self) -> nn.Module:
        if self.switches["network"] == "suite":
            return suite_encoder(self.task.n_classes, self.budget.widths)
        if self.switches["network"] == "published":
            return published_encoder(_PUBLISHED_WIDTHS)
        from parallax.learn.nets.magms_unetr import unetr_encoder  # imports a good part of MONAI

        return unetr_encoder(self.budget.patch)

    def _decoder(self, out_channels: int) -> nn.Module:
        if self.switches["network"] == "suite":
            return SuiteDecoder(out_channels, self.budget.widths, heads=self.heads)
        if self.switches["network"] == "published":
            return PublishedDecoder(out_channels, _PUBLISHED_WIDTHS)
        from parallax.learn.nets.magms_unetr import UnetrDecoder

        return UnetrDecoder(out_channels)


def feature_mse(
    student: Sequence[Tensor], teacher: Sequence[Tensor], *, per_level: bool, dtype: torch.dtype
) -> Tensor:
    """Mean squared difference of two pyramids of features.

    Args:
        student: levels of any shapes.
        teacher: levels of the same shapes.
        per_level: mean of the means of the levels, instead of one mean over all elements, in which each level
            weighs by its size.
        dtype: in which differences are squared.
    """
    squares = [(s.to(dtype) - t.to(dtype)).square() for s, t in zip(student, teacher, strict=True)]
    if per_level:
        return torch.stack([level.mean() for level in squares]).mean()
    return torch.stack([level.sum() for level in squares]).sum() / sum(level.numel() for level in squares)
