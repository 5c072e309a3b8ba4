"""UA-MT: a mean teacher whose student learns only where the teacher is certain."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parallax.learn.augment import clipped_noise
from parallax.learn.fusion import half_dice_ce, of_available
from parallax.learn.network_method import Batch, Clock
from parallax.learn.pseudo import entropy, greatest_entropy
from parallax.learn.schedule import gaussian_ramp
from parallax.learn.teacher import TeacherStudent, with_teacher


class UaMt(TeacherStudent):
    """A mean teacher; the entropy of the mean of several noisy answers of the teacher says where to agree."""

    name = "ua_mt"
    title = "UA-MT (re-implementation from released code)"
    source = "arXiv 1907.07034; yulequan/UA-MT@88ed29a, train_LA_meanteacher_certainty_unlabel.py"
    presets = {
        "paper": {
            "input": "fused",
            "unlabelled": True,
            "lambda_max": 0.1,
            "ramp_fraction": 1.0,
            "ramp_stairs": 0,
            "alpha": 0.99,
            "teacher_noise_sd": 0.1,
            "teacher_noise_limit": 0.2,
            "teacher_passes": 8,
            "threshold_from": 0.75,
            "class_constant": "C",
            "dropout": 0.0,
            "predict_with": "student",
        },
        "released": {"ramp_stairs": 40, "class_constant": "binary", "dropout": 0.5},
        "per_modality": {"input": "per_modality"},
        "supervised_only": {"unlabelled": False},
    }
    choices = {
        "input": ("fused", "per_modality"),
        "class_constant": ("C", "binary"),
        "predict_with": ("student", "teacher"),
    }
    at_prediction = ("predict_with",)

    def set_up(self) -> None:
        """Unlabelled crops pass the student once, the teacher once as target and then for its certainty."""
        self.passes_unlabelled = 2.0 + self.switches["teacher_passes"]
        super().set_up()

    def learner(self, modalities: tuple[str, ...]) -> nn.Module:
        """A student and a copy without gradient; dropout where the V-Net of the release has it."""
        student, rate, between = (
            self.student(modalities),
            self.switches["dropout"],
            len(self.budget.widths) - 2,
        )
        student.unet.drop_channels((rate, *[0.0] * between, rate))
        return with_teacher(student)

    def learn(
        self, learner: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """(CE + Dice) / 2 on labelled crops; lambda(t) times the difference where the teacher is certain."""
        student, teacher = learner.get_submodule("student"), learner.get_submodule("teacher")
        terms = {"supervised": half_dice_ce(student(labelled.image, labelled.available), labelled)}
        if unlabelled is not None:
            there = unlabelled.available  # the head of an absent modality has nothing to agree on
            target = self.probabilities(teacher, unlabelled, clock, "target")
            certain = self.uncertainty(teacher, unlabelled, clock) < self.threshold(clock)
            answer = student(unlabelled.image, there).float().softmax(dim=2)
            answer, target, certain = (of_available(maps, there) for maps in (answer, target, certain))
            agreement = masked_mse(answer, target, certain, self.constant_classes())
            terms["consistency"] = self.weight(clock) * agreement
        return terms

    def uncertainty(self, teacher: nn.Module, batch: Batch, clock: Clock) -> Tensor:
        """Entropy [B, K, X, Y, Z] of the mean of the teacher's answers to noisy images."""
        passes = int(self.switches["teacher_passes"])
        total = self.probabilities(teacher, batch, clock, "pass 0")
        for number in range(1, passes):
            total += self.probabilities(teacher, batch, clock, f"pass {number}")
        return entropy(total / passes, dim=2)

    @torch.no_grad()
    def probabilities(self, teacher: nn.Module, batch: Batch, clock: Clock, key: str) -> Tensor:
        """The teacher's softmax [B, K, C, X, Y, Z] on the batch with noise of its own (by `key`)."""
        sd, limit = self.switches["teacher_noise_sd"], self.switches["teacher_noise_limit"]
        generator = clock.generator(key, device=batch.image.device.type)
        image = batch.image + clipped_noise(batch.image, generator, sd=sd, limit=limit)
        logits: Tensor = teacher(image, batch.available)
        return logits.float().softmax(dim=2)

    def threshold(self, clock: Clock) -> float:
        """Entropy below which a voxel counts: rises to that of the even distribution at the end."""
        start = self.switches["threshold_from"]
        share = start + (1.0 - start) * gaussian_ramp(clock.fraction, 1.0)
        return float(share * greatest_entropy(self.constant_classes()))

    def constant_classes(self) -> int:
        """C, or the release's 2, in the threshold and in the mean over classes."""
        return self.task.n_classes if self.switches["class_constant"] == "C" else 2


def masked_mse(answer: Tensor, target: Tensor, mask: Tensor, classes: int) -> Tensor:
    """Sum over masked voxels of |answer - target|^2 / (classes * their number); 0 where none is masked.

    Args:
        answer: probabilities [N, C, ...].
        target: probabilities [N, C, ...].
        mask: bool [N, ...].
        classes: C, or what stands for it.
    """
    distance = (answer - target).square().sum(dim=1) * mask
    return distance.sum() / (classes * mask.sum() + 1e-16)
