"""Online mutual knowledge distillation between a synthetic-image and a real-image segmentor (AAAI 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.case import IGNORE, Task, TrainView
from parallax.errors import DataError
from parallax.learn.availability import where_available
from parallax.learn.batch import Batch
from parallax.learn.losses import dice_ce, kd
from parallax.learn.method import Cost
from parallax.learn.network_method import Clock, NetworkMethod
from parallax.learn.networks import UNet, initialised
from parallax.learn.schedule import gaussian_ramp
from parallax.learn.translation import Alignment


@dataclass(frozen=True)
class Crops:
    """Labelled crops of one modality: image [B, 1, X, Y, Z], label [B, X, Y, Z]."""

    image: Tensor
    label: Tensor


class MkdNetwork(nn.Module):
    """S_real and S_syn of every target modality, and one alignment per pair of target and assistant.

    Args:
        task: modalities and classes.
        widths: channels per level of the segmentors.
        seed: seed of the run.
        gan_width: channels of generators and critics; 0 = no alignment module.
    """

    def __init__(self, task: Task, widths: tuple[int, ...], seed: int, gan_width: int) -> None:
        super().__init__()
        names = task.modality_names
        # S_real has the key of the target-only baseline: both start from the same weights.
        self.real = nn.ModuleList(_segmentor(task, widths, seed, f"unet/{name}") for name in names)
        self.syn = nn.ModuleList(_segmentor(task, widths, seed, f"mkd/syn/{name}") for name in names)
        self.pairs = _pairs(len(names)) if gan_width else ()
        self.alignments = nn.ModuleList(
            Alignment(seed, f"{names[a]}/{names[b]}", width=gan_width) for a, b in self.pairs
        )


class Mkd(NetworkMethod):
    """Li, Yu, Wang, Heng: Towards Cross-modality Medical Image Segmentation with Online Mutual KD."""

    name = "mkd"
    title = "MKD (re-implementation from abstract and secondary summary)"
    source = "Li et al., AAAI 2020, 34(1), doi 10.1609/aaai.v34i01.5421, arXiv 2010.01532; no official code"
    no_released = "no official code was found"
    adapter = "native"
    presets = {
        "paper": {
            "kd_on": "teacher_domain",
            "kd_detach_teacher": True,
            "online": True,
            "use_iam": True,
            "ensemble": "mean_softmax",
            "temperature": 2.0,
            "t_squared": True,
            "beta_1": 0.1,
            "beta_2": 0.5,
            "kd_ramp": 1.0,
            "lambda_adv": 1.0,
            "lambda_cyc": 10.0,
            "gan_learning_rate": 2e-4,
            "gan_width": 8,
        },
        "real_only": {"ensemble": "real_only"},
        "syn_only": {"ensemble": "syn_only"},
        "offline": {"online": False},
        "no_iam": {"use_iam": False},
        "no_kd": {"beta_1": 0.0, "beta_2": 0.0},
        "no_syn_to_real": {"beta_1": 0.0},
        "no_real_to_syn": {"beta_2": 0.0},
        "student_domain": {"kd_on": "student_domain"},
        "both_domains": {"kd_on": "both"},
    }
    choices = {
        "kd_on": ("teacher_domain", "student_domain", "both"),
        "ensemble": ("mean_softmax", "real_only", "syn_only"),
    }
    at_prediction = ("ensemble",)
    min_modalities = 2
    needs_pairs = False
    needs_every_label = True
    uses_unlabelled = False

    def set_up(self) -> None:
        """Networks per step."""
        self.forward_passes_per_step = self._passes()

    def fit(self, view: TrainView, scratch: Path) -> Cost:
        """Train; raises `DataError` when a modality has no labelled case (every modality is a target)."""
        for k, modality in enumerate(self.task.modality_names):
            if not any(s.label is not None and bool((s.label[k] != IGNORE).any()) for s in view.labelled):
                raise _no_labels(modality)
        return super().fit(view, scratch)

    def build(self) -> MkdNetwork:
        """Segmentors of every target modality and, with `use_iam`, the alignment modules."""
        width = int(self.switches["gan_width"]) if self.switches["use_iam"] else 0
        return MkdNetwork(self.task, self.budget.widths, self.seed, width)

    def parameter_groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """One group per segmentor (clipping must not couple them); GAN groups with Adam(2e-4, 0.5, 0.999)."""
        assert isinstance(net, MkdNetwork)
        segmentors = [*net.real, *net.syn]
        groups: list[dict[str, Any]] = [{"params": list(segmentor.parameters())} for segmentor in segmentors]
        scale = self.switches["gan_learning_rate"] / self.budget.learning_rate
        gan = {"lr_scale": scale, "betas": (0.5, 0.999), "weight_decay": 0.0}
        for alignment in _alignments(net):
            groups.append({"params": alignment.generator_parameters(), **gan})
            groups.append({"params": alignment.critic_parameters(), **gan})
        return groups

    def loss(
        self,
        net: nn.Module,
        labelled: Batch,
        unlabelled: Batch | None,  # fully supervised
        clock: Clock,
    ) -> dict[str, Tensor]:
        """L_IAM + L_seg + ramp (beta_1 L_kd(syn -> real) + beta_2 L_kd(real -> syn)), summed over targets."""
        assert isinstance(net, MkdNetwork)
        crops = [_usable(labelled, k) for k in range(len(self.task.modalities))]
        terms, synthetic = self._align(net, crops)
        ramp = gaussian_ramp(clock.fraction, float(self.switches["kd_ramp"]))
        for target, name in enumerate(self.task.modality_names):
            assistant = (target + 1) % len(crops)
            fake = synthetic[assistant, target]
            fake = fake if self.switches["online"] else Crops(fake.image.detach(), fake.label)
            found = self._target(net, target, crops[target], fake)
            terms |= {f"{key}/{name}": ramp * v if key.startswith("kd") else v for key, v in found.items()}
        return terms

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """Log of the mean of both softmax maps, per modality from that modality's image alone."""
        assert isinstance(net, MkdNetwork)
        answers = where_available(
            image.chunk(image.shape[1], dim=1), available, lambda k, x: [self._ensemble(net, k, x[0])]
        )
        return torch.stack([logits for (logits,) in answers], dim=1)

    def _ensemble(self, net: MkdNetwork, target: int, image: Tensor) -> Tensor:
        mode, real, syn = self.switches["ensemble"], net.real[target], net.syn[target]
        if mode == "mean_softmax":
            return log_mean_softmax(real(image), syn(image))
        chosen: Tensor = (real if mode == "real_only" else syn)(image)
        return chosen

    def _align(
        self, net: MkdNetwork, crops: list[Crops]
    ) -> tuple[dict[str, Tensor], dict[tuple[int, int], Crops]]:
        # Losses of the alignments, and by (assistant, target) what S_syn is trained on.
        n = len(crops)
        if not self.switches["use_iam"]:
            return {}, {((k + 1) % n, k): crops[(k + 1) % n] for k in range(n)}
        adv, cyc = float(self.switches["lambda_adv"]), float(self.switches["lambda_cyc"])
        weights = {"adversarial": adv, "critic": 1.0, "cycle": cyc}
        terms: dict[str, Tensor] = {}
        synthetic: dict[tuple[int, int], Crops] = {}
        for (a, b), alignment in zip(net.pairs, net.alignments, strict=True):
            first, second = crops[a], crops[b]
            if len(first.image) and len(second.image):
                done = alignment(first.image, second.image, adversarial=adv > 0, cycle=cyc > 0)
                images = (done.first_to_second, done.second_to_first)
                pair = f"{self.task.modality_names[a]}-{self.task.modality_names[b]}"
                terms |= {f"{key}/{pair}": weights[key] * value for key, value in done.losses.items()}
            else:  # one side is missing in this batch: nothing to align, so nothing synthetic either
                images, first, second = (first.image[:0],) * 2, _none(first), _none(second)
            synthetic |= {(a, b): Crops(images[0], first.label), (b, a): Crops(images[1], second.label)}
        return terms, synthetic

    def _target(self, net: MkdNetwork, target: int, own: Crops, fake: Crops) -> dict[str, Tensor]:
        to_real, to_syn = float(self.switches["beta_1"]), float(self.switches["beta_2"])
        if not (len(own.image) and len(fake.image)):
            to_real = to_syn = 0.0  # one of the two image sets is empty in this batch
        real = self._forward(net.real[target], own.image, fake.image, learns=to_real, teaches=to_syn)
        syn = self._forward(net.syn[target], fake.image, own.image, learns=to_syn, teaches=to_real)
        terms: dict[str, Tensor] = {}
        if len(own.image):
            terms["seg_real"] = 0.5 * dice_ce(real[0], own.label)
        if len(fake.image):
            terms["seg_syn"] = 0.5 * dice_ce(syn[0], fake.label)
        if to_real:
            terms["kd_syn_to_real"] = to_real * self._distil(teacher=syn, student=real)
        if to_syn:
            terms["kd_real_to_syn"] = to_syn * self._distil(teacher=real, student=syn)
        return terms

    def _forward(
        self, network: nn.Module, own: Tensor, other: Tensor, *, learns: float, teaches: float
    ) -> tuple[Tensor, Tensor]:
        # Logits on the network's own image set and on its partner's. Every network sees an image once; what
        # no term needs is not computed, so that without distillation S_real is the target-only baseline.
        student = learns and self.switches["kd_on"] != "student_domain"
        teacher = teaches and self.switches["kd_on"] != "teacher_domain"
        if student or (teacher and not self.switches["kd_detach_teacher"]):
            logits = network(torch.cat([own, other]))
            return logits[: len(own)], logits[len(own) :]
        own_logits = network(own) if len(own) else own
        if not teacher:
            return own_logits, own_logits[:0]
        with torch.no_grad():
            return own_logits, network(other)

    def _distil(self, *, teacher: tuple[Tensor, Tensor], student: tuple[Tensor, Tensor]) -> Tensor:
        # The teacher's own images are the student's other ones, and the reverse.
        mode = self.switches["kd_on"]
        teachers = {"teacher_domain": teacher[:1], "student_domain": teacher[1:], "both": teacher}[mode]
        students = {"teacher_domain": student[1:], "student_domain": student[:1], "both": student[::-1]}[mode]
        return kd(
            torch.cat(teachers),
            torch.cat(students),
            temperature=float(self.switches["temperature"]),
            t_squared=bool(self.switches["t_squared"]),
            detach_teacher=bool(self.switches["kd_detach_teacher"]),
        )

    def _passes(self) -> float:
        # Per target: each segmentor on its own images, and on its partner's if it learns or teaches there.
        targets, distils = len(self.task.modalities), [self.switches[b] for b in ("beta_1", "beta_2")]
        one_set = self.switches["kd_on"] != "both"
        crossed = sum(map(bool, distils)) if one_set else 2 * any(distils)
        pairs = len(_pairs(targets)) if self.switches["use_iam"] else 0
        generators = 4 if self.switches["lambda_cyc"] else 2
        critics = 6 if self.switches["lambda_adv"] else 0
        return float(targets * (2 + crossed) + pairs * (generators + critics))


def log_mean_softmax(one: Tensor, two: Tensor) -> Tensor:
    """Log of the mean of two softmax maps, [B, C, ...]; its softmax is that mean."""
    return torch.logaddexp(F.log_softmax(one, dim=1), F.log_softmax(two, dim=1)) - math.log(2.0)


def _usable(batch: Batch, modality: int) -> Crops:
    # Only crops whose own modality is there and labelled: no other image of a case is used.
    assert batch.label is not None
    image, label = batch.image[:, modality : modality + 1], batch.label[:, modality]
    rows = (batch.available & batch.labelled)[:, modality]
    return Crops(image, label) if bool(rows.all()) else Crops(image[rows], label[rows])


def _none(crops: Crops) -> Crops:
    return Crops(crops.image[:0], crops.label[:0])


def _pairs(modalities: int) -> tuple[tuple[int, int], ...]:
    # The assistant of modality k is the next one in order; with two modalities both directions are one pair.
    ring = [(k, (k + 1) % modalities) for k in range(modalities)]
    return tuple(ring[:1] if modalities == 2 else ring)


def _segmentor(task: Task, widths: tuple[int, ...], seed: int, key: str) -> UNet:
    with initialised(seed, key):
        return UNet(1, task.n_classes, widths)


def _alignments(net: MkdNetwork) -> list[Alignment]:
    return [alignment for alignment in net.alignments if isinstance(alignment, Alignment)]


def _no_labels(modality: str) -> DataError:
    return DataError(
        f"MKD needs labelled cases of every modality, and {modality} has none",
        where="the labelled cases of this run",
        expected=f"at least one label map of {modality}",
        found="none",
        remedy="label one case of it, or leave mkd out of this run",
    )
