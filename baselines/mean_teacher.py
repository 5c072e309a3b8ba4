"""Mean teacher: the student agrees, on unlabelled cases, with the moving average of its own weights."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from parallax.learn.fusion import EarlyFusion, half_dice_ce
from parallax.learn.losses import softmax_mse
from parallax.learn.network_method import Batch, Clock, NetworkMethod
from parallax.learn.networks import initialised
from parallax.learn.schedule import ema_decay, ema_update, gaussian_ramp


class MeanTeacher(NetworkMethod):
    """Early fusion with K heads (one modality: a plain U-Net) as student and teacher."""

    name = "mean_teacher"
    title = "Mean Teacher (re-implementation from released code)"
    source = "arXiv 1703.01780; HiLab-git/SSL4MIS@06df604, train_mean_teacher_3D.py"
    adapter = "heads"
    presets = {
        "paper": {
            "lambda_max": 0.1,
            "ramp_fraction": 1.0,
            "ramp_stairs": 0,
            "alpha": 0.99,
            "teacher_noise_sd": 0.1,
            "teacher_noise_limit": 0.2,
            "predict_with": "student",
        },
        "released": {"ramp_stairs": 200},
    }
    choices = {"predict_with": ("student", "teacher")}
    at_prediction = ("predict_with",)
    needs_pairs = True
    uses_unlabelled = True
    forward_passes_per_step = 3.0  # student on labelled, student and teacher on unlabelled

    def build(self) -> nn.Module:
        """Student (initial weights of `early_fusion`) and teacher (a copy without gradient)."""
        with initialised(self.seed, "early_fusion"):
            student = EarlyFusion(len(self.task.modalities), self.task.n_classes, self.budget.widths)
        teacher = copy.deepcopy(student).requires_grad_(False)
        return nn.ModuleDict({"student": student, "teacher": teacher})

    def loss(
        self, net: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """(CE + Dice) / 2 on labelled crops; lambda(t) times the squared difference on unlabelled ones."""
        assert unlabelled is not None
        student, teacher = net.get_submodule("student"), net.get_submodule("teacher")
        supervised = half_dice_ce(student(labelled.image, labelled.available), labelled)
        with torch.no_grad():
            target = teacher(unlabelled.image + self.noise(unlabelled, clock), unlabelled.available)
        answer = student(unlabelled.image, unlabelled.available)
        seen = unlabelled.available  # the head of a modality that does not exist has nothing to agree on
        consistency = softmax_mse(answer[seen], target[seen])
        return {"supervised": supervised, "consistency": self.weight(clock) * consistency}

    def noise(self, batch: Batch, clock: Clock) -> Tensor:
        """What is added to the image that the teacher sees: clipped Gaussian noise."""
        limit = self.switches["teacher_noise_limit"]
        generator = clock.generator("teacher_noise", device=batch.image.device.type)
        noise = torch.randn(batch.image.shape, generator=generator, device=batch.image.device)
        return noise.mul_(self.switches["teacher_noise_sd"]).clamp_(-limit, limit)

    def weight(self, clock: Clock) -> float:
        """lambda(t): a Gaussian ramp over `ramp_fraction` of the budget, in `ramp_stairs` steps if not 0."""
        done, stairs = clock.fraction, self.switches["ramp_stairs"]
        done = math.floor(done * stairs) / stairs if stairs else done
        return float(self.switches["lambda_max"]) * gaussian_ramp(done, self.switches["ramp_fraction"])

    def after_step(self, net: nn.Module, clock: Clock) -> None:
        """Move the teacher."""
        decay = ema_decay(clock.step, self.switches["alpha"])
        ema_update(net.get_submodule("teacher"), net.get_submodule("student"), decay)

    def logits(self, net: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """The teacher's answer, or the student's where the preset says so."""
        logits: Tensor = net.get_submodule(self.switches["predict_with"])(image, available)
        return logits
