"""A student whose weights are averaged into a teacher, for the methods that learn from such a teacher."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, nn

from parallax.learn.network_method import Clock
from parallax.learn.schedule import ema_decay, ema_update
from parallax.learn.semi_supervised import SemiSupervised


class TeacherStudent(SemiSupervised):
    """A learner is {student, teacher}: subclass it and fill `learn`.

    Presets carry `alpha`, the upper bound of the decay min(1 - 1 / (t + 1), alpha), and `predict_with`
    (`student` or `teacher`), whose answer is scored.
    """

    def learner(self, modalities: tuple[str, ...]) -> nn.Module:
        """A student (initial weights of the supervised baseline) and a copy without gradient."""
        return with_teacher(self.student(modalities))

    def after_learning(self, learner: nn.Module, clock: Clock) -> None:
        """Move the teacher."""
        decay = ema_decay(clock.step, self.switches["alpha"])
        ema_update(learner.get_submodule("teacher"), learner.get_submodule("student"), decay)

    def answer(self, learner: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """The student's answer, or the teacher's where the preset says so."""
        logits: Tensor = learner.get_submodule(self.switches["predict_with"])(image, available)
        return logits


def with_teacher(student: nn.Module, others: Mapping[str, nn.Module] | None = None) -> nn.ModuleDict:
    """{student, teacher, and what else belongs to the learner}; the teacher is a copy without gradient."""
    teacher = copy.deepcopy(student).requires_grad_(False)
    return nn.ModuleDict({"student": student, "teacher": teacher, **(others or {})})
