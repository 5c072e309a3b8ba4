"""Bidirectional copy-paste: labelled crops inside unlabelled ones and the other way round."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from parallax.case import IGNORE
from parallax.learn.batch import Batch
from parallax.learn.losses import dice_ce
from parallax.learn.mixing import box_mask, chosen, pasted
from parallax.learn.network_method import Clock
from parallax.learn.pseudo import count_components, hard_labels, largest_components
from parallax.learn.schedule import ema_update
from parallax.learn.semi_supervised import SemiSupervised
from parallax.learn.teacher import with_teacher

_RELEASE_CROP = (112, 112, 80)
_RELEASE_STEPS = 17000  # of both stages


class BCP(SemiSupervised):
    """First labelled crops in labelled ones; then labelled and unlabelled in each other, under a teacher."""

    name = "bcp"
    title = "BCP (re-implementation from released code)"
    source = "arXiv 2305.00673; DeepMed-Lab-ECNU/BCP@7879f98, LA_BCP_train.py"
    presets = {
        "paper": {
            "input": "fused",
            "unlabelled": True,
            "lambda_max": 0.5,
            "ramp_fraction": 0.0,
            "ramp_stairs": 0,
            "stage_1_fraction": 0.1176,
            "box_side": 0.6667,
            "mask_offsets": "from_patch_size",
            "components": "as_labelled",
            "dice_smooth": 20.0,
            "alpha": 0.99,
            "average_over": "budget",
        },
        "released": {
            "mask_offsets": "literal_112_80",
            "components": "one",
            "dice_smooth": 1e-5,
            "average_over": "steps",
        },
        "per_modality": {"input": "per_modality"},
        "supervised_only": {"unlabelled": False},
    }
    choices = {
        "input": ("fused", "per_modality"),
        "mask_offsets": ("from_patch_size", "literal_112_80"),
        "components": ("as_labelled", "one"),
        "average_over": ("budget", "steps"),
    }

    def set_up(self) -> None:
        """The unlabelled crops of stage 2 go through the teacher, and mixed through the student."""
        self.passes_unlabelled = 2.0 * (1.0 - self.switches["stage_1_fraction"])
        super().set_up()

    def learner(self, modalities: tuple[str, ...]) -> nn.Module:
        """A student (initial weights of the supervised baseline) and its teacher."""
        return with_teacher(self.student(modalities))

    def learn(
        self, learner: nn.Module, labelled: Batch, unlabelled: Batch | None, clock: Clock
    ) -> dict[str, Tensor]:
        """(CE + Dice) / 2 of what is labelled, plus lambda times that of what the teacher labelled."""
        student, teacher = learner.get_submodule("student"), learner.get_submodule("teacher")
        box, items = self.box(labelled, clock), torch.arange(len(labelled.image))
        if unlabelled is None or self.first_stage(clock):
            mixed = pasted(chosen(labelled, items.roll(1)), labelled, box)
            return {"supervised": self.cost(student(mixed.image, mixed.available), mixed)}
        bare = chosen(unlabelled, items % len(unlabelled.image))
        bare = replace(bare, label=self.pseudo_labels(teacher, bare, labelled))
        inwards, outwards = pasted(bare, labelled, box), pasted(labelled, bare, box)
        true, guessed = [], []
        for mixed, is_true in ((inwards, ~box), (outwards, box)):
            logits = student(mixed.image, mixed.available)
            true.append(self.cost(logits, mixed, is_true))
            guessed.append(self.cost(logits, mixed, ~is_true))
        return {
            "supervised": torch.stack(true).sum(),
            "copy_paste": self.weight(clock) * torch.stack(guessed).sum(),
        }

    def box(self, batch: Batch, clock: Clock) -> Tensor:
        """One box [1, X, Y, Z] for all items of the step."""
        literal = self.switches["mask_offsets"] == "literal_112_80"
        within = _RELEASE_CROP if literal else None
        size, side = batch.image.shape[2:], self.switches["box_side"]
        return box_mask(1, size, side, clock.generator("box"), placed_within=within).to(batch.image.device)

    def cost(self, logits: Tensor, batch: Batch, where: Tensor | None = None) -> Tensor:
        """(CE + Dice) / 2 over all known voxels, or those at which `where` [1, X, Y, Z] is True."""
        assert batch.label is not None
        label = batch.label if where is None else batch.label.where(where[:, None], IGNORE)
        return 0.5 * dice_ce(logits.flatten(0, 1), label.flatten(0, 1), smooth=self.switches["dice_smooth"])

    def pseudo_labels(self, teacher: nn.Module, batch: Batch, labelled: Batch) -> Tensor:
        """What the teacher says of `batch`: of each structure the largest components."""
        with torch.no_grad():
            said = hard_labels(teacher(batch.image, batch.available), batch.available)
        kept = [1] * self.task.n_classes
        if self.switches["components"] == "as_labelled" and labelled.label is not None:
            kept = count_components(labelled.label, self.task.n_classes)
        return largest_components(said, kept)

    def first_stage(self, clock: Clock) -> bool:
        """Whether the student learns from labelled crops alone."""
        return clock.fraction < float(self.switches["stage_1_fraction"])

    def after_learning(self, learner: nn.Module, clock: Clock) -> None:
        """The teacher is the student until stage 2, and follows it from then on."""
        decay = 0.0 if self.first_stage(clock) else self.decay(clock)
        ema_update(learner.get_submodule("teacher"), learner.get_submodule("student"), decay)

    def decay(self, clock: Clock) -> float:
        """`alpha`, or what averages over the same share of this budget as `alpha` does of the release's."""
        longer = 1.0 if self.switches["average_over"] == "steps" else _RELEASE_STEPS / clock.steps
        return max(0.0, 1.0 - (1.0 - float(self.switches["alpha"])) * longer)

    def answer(self, learner: nn.Module, image: Tensor, available: Tensor) -> Tensor:
        """The student's."""
        logits: Tensor = learner.get_submodule("student")(image, available)
        return logits
