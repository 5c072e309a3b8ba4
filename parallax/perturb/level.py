"""A level of misalignment as the configuration names it, and what it means for one case."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from parallax.case import Case, Pairing, Task
from parallax.errors import ConfigError
from parallax.perturb import rigid
from parallax.perturb.rigid import RigidParameters, Vector

SIZES = ("severity", "rms_mm", "target_rms_mm", "translation_mm")
KEYS = ("name", "moved", "rotation_deg_per_mm", "axis", "rotation_deg", *SIZES)


@dataclass(frozen=True)
class Level:
    """What is asked for: an RMS displacement to draw at, or a motion that is written down."""

    name: str
    moved: str
    target_rms_mm: float
    rotation_deg_per_mm: float = 1.0
    translation_mm: Vector | None = None
    axis: Vector = (0.0, 0.0, 1.0)
    rotation_deg: float = 0.0

    @property
    def zero(self) -> bool:
        """Whether nothing is asked to move."""
        written = self.translation_mm is not None and (any(self.translation_mm) or self.rotation_deg != 0)
        return self.target_rms_mm == 0 and not written


def read_level(values: Mapping[str, Any], task: Task) -> Level:
    """A level from plain values.

    Args:
        values: `name` and one of `severity` (index into `task.severity_mm`), `rms_mm` (also
            `target_rms_mm`) or `translation_mm` (with `axis`, `rotation_deg`); `moved` (default: the last
            modality) and `rotation_deg_per_mm` (default 1) besides.
        task: gives the scale of severities and the modalities.

    Raises:
        ConfigError: an unknown key or value, no or several sizes, or a motion on an unpaired dataset.
    """
    unknown = sorted(set(values) - set(KEYS))
    sizes = [key for key in SIZES if key in values]
    if unknown or len(sizes) != 1 or "name" not in values:
        raise _error(values, f"`name` and one of {', '.join(SIZES)}", f"keys {', '.join(values)}")
    moved = values.get("moved", task.modality_names[-1])
    if moved not in task.modality_names:
        raise _error(values, f"moved: one of {', '.join(task.modality_names)}", repr(moved))
    level = Level(
        name=str(values["name"]),
        moved=moved,
        target_rms_mm=_target_mm(values, sizes[0], task),
        rotation_deg_per_mm=float(values.get("rotation_deg_per_mm", 1.0)),
        translation_mm=_vector(values, "translation_mm") if sizes[0] == "translation_mm" else None,
        axis=_vector(values, "axis") if "axis" in values else (0.0, 0.0, 1.0),
        rotation_deg=float(values.get("rotation_deg", 0.0)),
    )
    if task.pairing is Pairing.UNPAIRED and not level.zero:
        raise _error(
            values, "no motion: modalities of different patients have no alignment to lose", "a motion"
        )
    return level


def case_rng(seed: int, dataset: str, case_id: str, name: str) -> np.random.Generator:
    """The generator of one case: a function of these four alone, so that cases may be done in any order."""
    digest = hashlib.sha256("\0".join((dataset, case_id, name)).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest[:16], dtype="<u4").tolist()])


def parameters_for(case: Case, level: Level, rng: np.random.Generator) -> RigidParameters:
    """The motion of one case. A case that lacks the moved modality, or has it alone, is left as it is."""
    if level.zero or level.moved not in case.images or len(case.images) < 2:
        return rigid.none(level.moved)
    if level.translation_mm is not None:
        return rigid.fixed(
            case,
            moved=level.moved,
            translation_mm=level.translation_mm,
            axis=level.axis,
            rotation_deg=level.rotation_deg,
        )
    return rigid.draw(
        rng,
        case,
        moved=level.moved,
        target_rms_mm=level.target_rms_mm,
        rotation_deg_per_mm=level.rotation_deg_per_mm,
    )


def _target_mm(values: Mapping[str, Any], size: str, task: Task) -> float:
    if size == "translation_mm":
        return 0.0
    value = values[size]
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise _error(values, f"{size}: a number of 0 or more", repr(value))
    if size != "severity":
        return float(value)
    if value not in range(len(task.severity_mm)):
        raise _error(values, f"severity: 0 to {len(task.severity_mm) - 1} (in {task.name})", repr(value))
    return float(task.severity_mm[int(value)])


def _vector(values: Mapping[str, Any], key: str) -> Vector:
    given = values[key]
    if not isinstance(given, list | tuple) or len(given) != 3:
        raise _error(values, f"{key}: three numbers", repr(given))
    return (float(given[0]), float(given[1]), float(given[2]))


def _error(values: Mapping[str, Any], expected: str, found: str) -> ConfigError:
    return ConfigError(
        "A misalignment cannot be used",
        where=f"misalignment {values.get('name', '(without a name)')}",
        expected=expected,
        found=found,
        remedy="correct it under misalignments: in the configuration",
    )
