"""DEC-Seg: two scales of one image agree, and segmentations of two views paint each other's image."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from parallax.learn.batch import Batch
from parallax.learn.fusion import half_dice_ce, of_available, without_absent
from parallax.learn.nets.decseg import DualScale, Generator, resized, small_shape
from parallax.learn.network_method import Clock
from parallax.learn.networks import UNet, initialised
from parallax.learn.schedule import ema_decay, ema_update
from parallax.learn.semi_supervised import SemiSupervised
from parallax.learn.slices import AXES, Plane, from_slices, to_slices
from parallax.learn.teacher import with_teacher

OUTPUTS = ("full", "small", "fused")


class DecSeg(SemiSupervised):
    """Gu, Zhou, Zhang, Zhou, He, Gong, Fu: Dual-scale Enhanced and Cross-generative Consistency."""

    name = "decseg"
    title = "DEC-Seg (re-implementation from released code)"
    source = "arXiv 2312.16039, doi 10.1016/j.patcog.2024.110962; taozh2017/DECSeg@60b41d1"
    presets = {
        "paper": {
            "input": "fused",
            "unlabelled": True,
            "lambda_max": 1.0,
            "ramp_fraction": 0.0,
            "ramp_stairs": 0,
            "dimensions": "3d",
            "plane": "axial",
            "image_resize": "linear",
            "mean_teacher": False,
            "alpha": 0.99,
            "brightness": 0.2,
            "contrast": 0.2,
            "generator": "half",
        },
        "released": {"image_resize": "nearest"},
        "per_modality": {"input": "per_modality"},
        "supervised_only": {"unlabelled": False},
        "slices": {"dimensions": "2d"},
    }
    choices = {
        "input": ("fused", "per_modality"),
        "dimensions": ("3d", "2d"),
        "plane": ("axial", "coronal", "sagittal"),
        "image_resize": ("linear", "nearest"),
        "generator": ("half", "full"),
    }

    def set_up(self) -> None:
        """Slices or volumes; which networks unlabelled crops need."""
        self.axes = 3 if self.switches["dimensions"] == "3d" else 2
        # the dual-scale network on two views, two generators, perhaps a teacher
        self.passes_unlabelled = 5.0 if self.switches["mean_teacher"] else 4.0
        super().set_up()
        self.paints = self.uses_unlabelled and self.switches["lambda_max"] != 0.0

    def learner(self, modalities: tuple[str, ...]) -> nn.Module:
        """The dual-scale network, its teacher if wanted, and the two generators."""
        m, classes, widths = len(modalities), self.task.n_classes, self.budget.widths
        with initialised(self.seed, self.initial(modalities)):
            encoder = UNet(m, m * classes, widths, heads=m, axes=self.axes).encoder
        half = self.switches["generator"] == "half"
        levels = widths if half else (*widths, 2 * widths[-1])
        with initialised(self.seed, self.initial(modalities, "decseg")):
            student = DualScale(encoder, widths, m, classes, self.axes)
            painters = [
                Generator(m * classes, m, levels, self.axes, half=half)
                for _ in range(2 if self.paints else 0)
            ]
        others = {"generators": nn.ModuleList(painters)}
        if self.switches["mean_teacher"]:
            return with_teacher(student, others)
        return nn.ModuleDict({"student": student, **others})

    def after_learning(self, learner: nn.Module, clock: Clock) -> None:
        """Move the teacher, if there is one."""
        if self.switches["mean_teacher"]:
            decay = ema_decay(clock.step, self.switches["alpha"])
            ema_update(learner.get_submodule("teacher"), learner.get_submodule("student"), decay)

    def learn(
        self, learner: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """Three outputs learn from masks; lambda(t) times three kinds of consistency."""
        student = learner.get_submodule("student")
        full, small = self.scales(labelled)
        logits = student(full.image, small.image)
        masks = (full, small, full)
        terms = {
            f"supervised/{name}": half_dice_ce(z, mask)
            for name, z, mask in zip(OUTPUTS, logits, masks, strict=True)
        }
        if unlabelled is None:
            return terms
        known = probabilities(logits[:2], full.available)
        clean = self.scales(unlabelled)
        perturbed = self.perturbed(clean, clock)
        consistency = {"scale/labelled": scale_term(known)}
        consistency |= self.consistency(learner, clean, perturbed)
        weight = self.weight(clock)
        return terms | {name: weight * term for name, term in consistency.items()}

    def consistency(
        self, learner: nn.Module, clean: tuple[Batch, Batch], perturbed: tuple[Batch, Batch]
    ) -> dict[str, Tensor]:
        """What unlabelled images are asked for: between scales, between views, from one view to the other."""
        student, available = learner.get_submodule("student"), clean[0].available
        z, w = (student(full.image, small.image) for full, small in (clean, perturbed))
        p, q = probabilities(z, available), probabilities(w, available)
        target = p
        if self.switches["mean_teacher"]:
            with torch.no_grad():
                teacher = learner.get_submodule("teacher")
                target = probabilities(teacher(clean[0].image, clean[1].image), available)
        terms = {"scale/clean": scale_term(p), "scale/perturbed": scale_term(q)}
        for name, one, two in zip(OUTPUTS, target, q, strict=True):
            terms[f"perturbation/{name}"] = F.mse_loss(one, two)
        generators = learner.get_submodule("generators").children()
        painted = (("clean", z, perturbed), ("perturbed", w, clean))
        for generator, (name, logits, (goal, _)) in zip(generators, painted, strict=True):
            image = generator(without_absent(logits[2], available).flatten(1, 2))
            terms[f"generation/{name}"] = F.mse_loss(
                of_available(image, available).float(), of_available(goal.image, available)
            )
        return terms

    def answer(self, learner: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """The fused output."""
        full, small = self.scales(Batch(image, None, available, ()))
        logits: Tensor = learner.get_submodule("student")(full.image, small.image)[2]
        if self.axes == 3:
            return logits
        volume = from_slices(logits.flatten(1, 2), self.switches["plane"], len(image))
        return volume.unflatten(1, logits.shape[1:3])  # type: ignore[no-untyped-call, no-any-return]

    def scales(self, batch: Batch) -> tuple[Batch, Batch]:
        """The batch and its small copy, in two dimensions one item per slice; zeros where absent."""
        spacing = self.task.spacing_mm
        if self.axes == 2:
            batch = sliced(batch, self.switches["plane"])
            spacing = tuple(s for a, s in enumerate(spacing) if a != AXES[self.switches["plane"]])
        image = without_absent(batch.image, batch.available)
        shape = small_shape(image.shape[2:], 2 ** len(self.budget.widths), spacing)
        label = None if batch.label is None else resized(batch.label, shape, "nearest")
        small = resized(image, shape, self.switches["image_resize"])
        return replace(batch, image=image), replace(batch, image=small, label=label)

    def perturbed(self, scales: tuple[Batch, Batch], clock: Clock) -> tuple[Batch, Batch]:
        """Both scales, each with a brightness and a contrast of its own."""
        generator = clock.generator("decseg")
        by = self.switches["brightness"], self.switches["contrast"]
        full, small = (replace(batch, image=jitter(batch.image, *by, generator)) for batch in scales)
        return full, small


def jitter(image: Tensor, brightness: float, contrast: float, generator: torch.Generator) -> Tensor:
    """x + c (x - min) + b (max - min) per channel of each item, held within the extremes min and max.

    c is drawn from +- contrast, b from +- brightness, evenly. Voxels stay where they are, and an image of
    zeros stays one. What is held makes it more than the scale and shift that an instance norm takes back.

    Args:
        image: [B, m, ...].
        brightness: share of the channel's range; 0 together with `contrast` 0 changes no bit.
        contrast: relative.
        generator: source of the parameters, on the CPU.
    """
    shape = (2, *image.shape[:2], *[1] * (image.ndim - 2))
    drawn = 2.0 * torch.rand(shape, generator=generator).to(image.device) - 1.0
    low, high = (extreme.view(shape[1:]) for extreme in image.flatten(2).aminmax(dim=2))
    changed = image + contrast * drawn[0] * (image - low) + brightness * drawn[1] * (high - low)
    return changed.maximum(low).minimum(high)


def probabilities(logits: tuple[Tensor, ...], available: Tensor) -> tuple[Tensor, ...]:
    """Softmax over classes of each of the logits [B, m, C, ...], of the available ones: [n, C, ...]."""
    return tuple(of_available(z, available).float().softmax(dim=1) for z in logits)


def scale_term(p: tuple[Tensor, ...]) -> Tensor:
    """Mean squared difference of the full scale [n, C, ...] and the small one, put back to its size."""
    return F.mse_loss(resized(p[1], p[0].shape[2:]).float(), p[0])


def sliced(batch: Batch, plane: Plane) -> Batch:
    """The slices [m, P, Q] of each volume as items."""
    n = batch.image.shape[2 + AXES[plane]]
    return Batch(
        to_slices(batch.image, plane),
        None if batch.label is None else to_slices(batch.label, plane),
        batch.available.repeat_interleave(n, dim=0),
        tuple(case for case in batch.cases for _ in range(n)),
    )
