"""What annotators leave undone, as the configuration names it: modalities, structures, detail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from parallax.case import Task
from parallax.data.strict import Number, Strict
from parallax.perturb.masks import EVERY_MOST, SIGMA_MOST_MM

#: The annotation that changes nothing; it needs no entry under `annotations:`.
FULL = "full"
TargetDice = Annotated[Number, Field(gt=0, le=1)]


class Drop(Strict):
    """Structures that are missing from the label maps of some cases: named, or so many drawn per case.

    `as: background` leaves background where they are, as an annotator does who skips them. `as: unknown` says
    what is honestly known then: every background voxel of such a label map becomes unknown.
    """

    structures: list[str] | Annotated[int, Field(ge=1, le=1000)]
    of_cases: Number = Field(1.0, gt=0, le=1)
    left: Literal["background", "unknown"] = Field("background", alias="as")


class Coarse(Strict):
    """One axial slice in `every` annotated, or blocks of `every` voxels a side; or what gives `dice`."""

    way: Literal["slices", "blocks"] = Field(alias="as")
    every: Number | None = Field(None, ge=1, le=EVERY_MOST)
    dice: TargetDice | None = None
    between: Literal["hold", "interpolate"] = "hold"

    @model_validator(mode="after")
    def _one_size(self) -> Coarse:
        if (self.every is None) == (self.dice is None):
            raise ValueError("either every or dice")
        if self.way == "blocks" and self.between != "hold":
            raise ValueError("between: interpolate only as: slices")
        return self


class Noisy(Strict):
    """Boundaries moved by a smooth random field of SD `sigma_mm`, or by so much that `dice` holds."""

    sigma_mm: Number | None = Field(None, ge=0, le=SIGMA_MOST_MM)
    dice: TargetDice | None = None

    @model_validator(mode="after")
    def _one_size(self) -> Noisy:
        if (self.sigma_mm is None) == (self.dice is None):
            raise ValueError("either sigma_mm or dice")
        return self


class Annotation(Strict):
    """How the labelled training cases are annotated; what is left out is annotated in full."""

    modalities: list[str] | None = Field(None, min_length=1)
    drop: Drop | None = None
    coarse: Coarse | None = None
    noisy: Noisy | None = None

    @model_validator(mode="after")
    def _one_change_of_shape(self) -> Annotation:
        if self.coarse and self.noisy:
            raise ValueError("either coarse or noisy, not both")
        return self

    @property
    def target_dice(self) -> float | None:
        """The Dice to the truth that is asked for, if any."""
        shape = self.coarse or self.noisy
        return shape.dice if shape else None

    def describe(self) -> str:
        """One sentence for the notes of a table."""
        parts = [f"label maps of {', '.join(self.modalities)} alone"] if self.modalities else []
        if self.noisy:
            parts.append(
                f"boundaries moved at random ({_size(self.noisy.dice, self.noisy.sigma_mm, 'SD {} mm')})"
            )
        if self.coarse:
            text = "every {}th axial slice" if self.coarse.way == "slices" else "blocks of {} voxels a side"
            parts.append(f"coarse masks ({_size(self.coarse.dice, self.coarse.every, text)})")
        if self.drop:
            named = self.drop.structures
            what = f"{named} structures" if isinstance(named, int) else ", ".join(named)
            share = f"{100 * self.drop.of_cases:g} % of the labelled cases"
            parts.append(f"{what} missing from {share} (background there is {_LEFT[self.drop.left]})")
        return "; ".join(parts) or "nothing left out"

    def unfit(self, task: Task) -> str:
        """Why this annotation means nothing for a task; empty where it does."""
        names = self.modalities or []
        absent = [name for name in names if name not in task.modality_names]
        if absent:
            return f"has no modality {', '.join(absent)} to label"
        if names and set(names) == set(task.modality_names):
            return "has no other modality to leave unlabelled"
        structures = self.drop.structures if self.drop else []
        if isinstance(structures, int):
            return (
                f"has no {structures} structures to drop of more" if structures >= len(task.classes) else ""
            )
        absent = [name for name in structures if name not in task.classes]
        if absent:
            return f"has no structure {', '.join(absent)} to drop"
        return "would be left without a structure" if len(set(structures)) == len(task.classes) else ""


def annotation_notes(config: Mapping[str, Any]) -> list[str]:
    """One sentence per annotation that a configuration (plain values) uses, for the notes of its tables."""
    used = {
        name for condition in config.get("conditions") or [] for name in condition.get("annotation") or []
    }
    defined: Mapping[str, Any] = config.get("annotations") or {}
    told = {name: Annotation.model_validate(defined[name]).describe() for name in sorted(used & set(defined))}
    return [f"Annotation {name}: {text}." for name, text in told.items()]


_LEFT = {"background": "called background", "unknown": "unknown"}


def _size(dice: float | None, size: float | None, text: str) -> str:
    return f"Dice {dice:g} to the truth" if dice is not None else text.format(f"{size:g}")
