"""A level of misalignment as the configuration names it, and what it means for one case."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from parallax.case import Case, Pairing, Task
from parallax.errors import ConfigError
from parallax.perturb import composite, elastic, families, fov, respiratory, rigid, spacing, subject
from parallax.perturb.displacement import Vector
from parallax.perturb.families import Parameters

_RMS = ("severity", "rms_mm", "target_rms_mm")
#: By family: keys of which one gives the size, and keys that may stand beside it.
FAMILIES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rigid": ((*_RMS, "translation_mm"), ("rotation_deg_per_mm", "axis", "rotation_deg")),
    "elastic": (_RMS, ("knot_mm",)),
    "respiratory": (_RMS, ()),
    "composite": (_RMS, ("rotation_deg_per_mm", "knot_mm")),
    "fov": (("severity", "covered_fraction"), ()),
    "spacing": (("severity", "slice_mm"), ()),
    "subject": (("severity", "swapped_fraction"), ()),
}


@dataclass(frozen=True)
class Level:
    """What is asked for: an RMS displacement, a motion that is written down, or a change of geometry.

    Of the sizes only those of the family count; see the modules of `parallax.perturb` for their meaning.
    """

    name: str
    moved: str
    target_rms_mm: float = 0.0
    rotation_deg_per_mm: float = 1.0
    translation_mm: Vector | None = None
    axis: Vector = (0.0, 0.0, 1.0)
    rotation_deg: float = 0.0
    family: str = "rigid"
    knot_mm: float = elastic.KNOT_MM
    covered_fraction: float = 1.0
    slice_factor: float = 1.0
    slice_mm: float = 0.0
    swapped_fraction: float = 0.0

    @property
    def zero(self) -> bool:
        """Whether nothing is asked to change."""
        written = self.translation_mm is not None and (any(self.translation_mm) or self.rotation_deg != 0)
        thicker = self.slice_factor != 1 or self.slice_mm != 0
        displaced = self.target_rms_mm != 0 or written
        return not (displaced or thicker or self.covered_fraction != 1 or self.swapped_fraction != 0)


def read_level(values: Mapping[str, Any], task: Task) -> Level:
    """A level from plain values.

    Args:
        values: `name`; `family` (default `rigid`); one size of that family: `severity`, or `rms_mm` (also
            `target_rms_mm`) of a displacement, `translation_mm` (rigid, with `axis`, `rotation_deg`),
            `covered_fraction` (fov), `slice_mm` (spacing), `swapped_fraction` (subject); `moved` (default:
            the last modality), `rotation_deg_per_mm` (default 1) and `knot_mm` (default 30) besides.
        task: gives the scale of severities of displacements and the modalities.

    Raises:
        ConfigError: an unknown family, key or value, no or several sizes, or a change of an unpaired dataset.
    """
    family = values.get("family", "rigid")
    if family not in tuple(FAMILIES):  # by equality: a list has no hash
        raise _error(values, f"family: one of {', '.join(FAMILIES)}", repr(family))
    sizes, options = FAMILIES[family]
    unknown = sorted(set(values) - {"name", "moved", "family", *sizes, *options})
    given = [key for key in sizes if key in values]
    if unknown or len(given) != 1 or "name" not in values:
        told = f"`name` and one of {', '.join(sizes)}" + (f"; {', '.join(options)}" if options else "")
        raise _error(values, f"{told} (family {family})", f"keys {', '.join(values)}")
    moved = values.get("moved", task.modality_names[-1])
    if moved not in task.modality_names:
        raise _error(values, f"moved: one of {', '.join(task.modality_names)}", repr(moved))
    level = Level(
        name=str(values["name"]),
        moved=moved,
        family=family,
        rotation_deg_per_mm=float(values.get("rotation_deg_per_mm", 1.0)),
        axis=_vector(values, "axis") if "axis" in values else (0.0, 0.0, 1.0),
        rotation_deg=float(values.get("rotation_deg", 0.0)),
        knot_mm=_knot_mm(values),
        **_size(values, given[0], task, family),
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


def donors_for(
    cases: Mapping[str, Mapping[str, list[str]]], level: Level, rng: np.random.Generator
) -> dict[str, str]:
    """By case of one part, the case that its moved modality is taken from; empty for all other families."""
    if level.family != "subject":
        return {}
    return subject.draw_donors(rng, cases, moved=level.moved, target_fraction=level.swapped_fraction)


def parameters_for(
    case: Case,
    level: Level,
    rng: np.random.Generator,
    *,
    donor: Case | None = None,
    swapped_fraction: float = 0.0,
) -> Parameters:
    """What is done to one case. A case that lacks the moved modality, or has it alone, is left as it is.

    Args:
        case: the case.
        level: what is asked for.
        rng: of this case.
        donor: the case that the moved modality comes from (family `subject`); None leaves it alone.
        swapped_fraction: share of the part's cases that have a donor.
    """
    moved, alone = level.moved, len(case.images) < 2
    if level.zero or alone or moved not in case.images:
        return families.none(level.family, moved)
    if level.family == "subject":
        if donor is None:
            return subject.none(moved)
        return subject.draw(
            case,
            donor,
            moved=moved,
            target_fraction=level.swapped_fraction,
            swapped_fraction=swapped_fraction,
        )
    if level.family == "fov":
        return fov.draw(rng, case, moved=moved, target_fraction=level.covered_fraction)
    if level.family == "spacing":
        return spacing.draw(rng, case, moved=moved, factor=level.slice_factor, slice_mm=level.slice_mm)
    return _displacement(case, level, rng)


def _displacement(case: Case, level: Level, rng: np.random.Generator) -> Parameters:
    moved, rms_mm, turning = level.moved, level.target_rms_mm, level.rotation_deg_per_mm
    if level.family == "elastic":
        return elastic.draw(rng, case, moved=moved, target_rms_mm=rms_mm, knot_mm=level.knot_mm)
    if level.family == "respiratory":
        return respiratory.draw(rng, case, moved=moved, target_rms_mm=rms_mm)
    if level.family == "composite":
        return composite.draw(
            rng, case, moved=moved, target_rms_mm=rms_mm, rotation_deg_per_mm=turning, knot_mm=level.knot_mm
        )
    if level.translation_mm is None:
        return rigid.draw(rng, case, moved=moved, target_rms_mm=rms_mm, rotation_deg_per_mm=turning)
    return rigid.fixed(
        case,
        moved=moved,
        translation_mm=level.translation_mm,
        axis=level.axis,
        rotation_deg=level.rotation_deg,
    )


def _size(values: Mapping[str, Any], key: str, task: Task, family: str) -> dict[str, Any]:
    """The size as the field of `Level` that holds it."""
    scales: dict[str, tuple[str, tuple[float, ...]]] = {
        "fov": ("covered_fraction", fov.SEVERITY_FRACTION),
        "spacing": ("slice_factor", spacing.SEVERITY_FACTOR),
        "subject": ("swapped_fraction", subject.SEVERITY_FRACTION),
    }
    if key == "severity":
        field, scale = scales.get(family, ("target_rms_mm", task.severity_mm))
        return {field: _on_scale(values, scale, task)}
    if key == "translation_mm":
        return {key: _vector(values, key)}
    if key == "covered_fraction":
        return {key: _number(values, key, above=0, most=1)}
    if key == "slice_mm":
        return {key: _number(values, key, above=0)}
    if key == "swapped_fraction":
        return {key: _number(values, key, most=1)}
    return {"target_rms_mm": _number(values, key)}


def _knot_mm(values: Mapping[str, Any]) -> float:
    found = _number({"knot_mm": elastic.KNOT_MM, **values}, "knot_mm")
    if found < elastic.LEAST_KNOT_MM:
        raise _error(values, f"knot_mm: {elastic.LEAST_KNOT_MM:g} or more", repr(values["knot_mm"]))
    return found


def _on_scale(values: Mapping[str, Any], scale: tuple[float, ...], task: Task) -> float:
    value = _number(values, "severity")
    if value not in range(len(scale)):
        raise _error(values, f"severity: 0 to {len(scale) - 1} (in {task.name})", repr(values["severity"]))
    return float(scale[int(value)])


def _number(
    values: Mapping[str, Any], key: str, *, above: float | None = None, most: float = float("inf")
) -> float:
    value = values[key]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= most or (above is not None and value <= above):
        low = "a number of 0 or more" if above is None else f"a number above {above:g}"
        raise _error(values, f"{key}: {low}" + (f", up to {most:g}" if most < np.inf else ""), repr(value))
    return float(value)


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
