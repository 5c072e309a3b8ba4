"""Mean teacher: the student agrees, on unlabelled cases, with the moving average of its own weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from parallax.learn.augment import clipped_noise
from parallax.learn.fusion import half_dice_ce
from parallax.learn.losses import softmax_mse
from parallax.learn.network_method import Batch, Clock
from parallax.learn.teacher import TeacherStudent


class MeanTeacher(TeacherStudent):
    """Early fusion with K heads, or one modality at a time, as student and teacher."""

    name = "mean_teacher"
    title = "Mean Teacher (re-implementation from released code)"
    source = "arXiv 1703.01780; HiLab-git/SSL4MIS@06df604, train_mean_teacher_3D.py"
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
            "predict_with": "student",
        },
        "released": {"ramp_stairs": 200},
        "per_modality": {"input": "per_modality"},
        "supervised_only": {"unlabelled": False},
    }
    choices = {"input": ("fused", "per_modality"), "predict_with": ("student", "teacher")}
    at_prediction = ("predict_with",)
    passes_unlabelled = 2.0  # student and teacher

    def learn(
        self, learner: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """(CE + Dice) / 2 on labelled crops; lambda(t) times the squared difference on unlabelled ones."""
        student, teacher = learner.get_submodule("student"), learner.get_submodule("teacher")
        terms = {"supervised": half_dice_ce(student(labelled.image, labelled.available), labelled)}
        if unlabelled is not None:
            with torch.no_grad():
                target = teacher(unlabelled.image + self.noise(unlabelled, clock), unlabelled.available)
            answer = student(unlabelled.image, unlabelled.available)
            seen = unlabelled.available  # the head of an absent modality has nothing to agree on
            terms["consistency"] = self.weight(clock) * softmax_mse(answer[seen], target[seen])
        return terms

    def noise(self, batch: Batch, clock: Clock) -> Tensor:
        """What is added to the image that the teacher sees: clipped Gaussian noise."""
        generator = clock.generator("teacher_noise", device=batch.image.device.type)
        return clipped_noise(
            batch.image,
            generator,
            sd=self.switches["teacher_noise_sd"],
            limit=self.switches["teacher_noise_limit"],
        )
