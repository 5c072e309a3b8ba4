"""The families of misalignment under their names: from parameters to JSON and back, and applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from parallax.case import Case
from parallax.perturb import composite, elastic, fov, respiratory, rigid, spacing, subject
from parallax.perturb.composite import CompositeParameters
from parallax.perturb.elastic import ElasticParameters
from parallax.perturb.fov import FovParameters
from parallax.perturb.respiratory import RespiratoryParameters
from parallax.perturb.rigid import RigidParameters
from parallax.perturb.spacing import SpacingParameters
from parallax.perturb.subject import SubjectParameters

Parameters = (
    RigidParameters
    | ElasticParameters
    | RespiratoryParameters
    | CompositeParameters
    | FovParameters
    | SpacingParameters
    | SubjectParameters
)
_CLASSES: Mapping[str, type[Parameters]] = {
    "rigid": RigidParameters,
    "elastic": ElasticParameters,
    "respiratory": RespiratoryParameters,
    "composite": CompositeParameters,
    "fov": FovParameters,
    "spacing": SpacingParameters,
    "subject": SubjectParameters,
}
_NONE: Mapping[str, Callable[[str], Parameters]] = {
    "rigid": rigid.none,
    "elastic": elastic.none,
    "respiratory": respiratory.none,
    "composite": composite.none,
    "fov": fov.none,
    "spacing": spacing.none,
    "subject": subject.none,
}


def none(family: str, moved: str) -> Parameters:
    """The parameters of a family that change nothing."""
    return _NONE[family](moved)


def apply(case: Case, parameters: Parameters, read_case: Callable[[str], Case]) -> Case:
    """Apply parameters of any family; `read_case` reads another case of the same part by its id."""
    match parameters:
        case RigidParameters():
            return rigid.apply(case, parameters)
        case ElasticParameters():
            return elastic.apply(case, parameters)
        case RespiratoryParameters():
            return respiratory.apply(case, parameters)
        case CompositeParameters():
            return composite.apply(case, parameters)
        case FovParameters():
            return fov.apply(case, parameters)
        case SpacingParameters():
            return spacing.apply(case, parameters)
    return subject.apply(case, parameters, read_case)


def to_json(parameters: Parameters) -> dict[str, Any]:
    """Plain values with the name of the family."""
    family = next(name for name, kind in _CLASSES.items() if isinstance(parameters, kind))
    return {"family": family, **parameters.to_json()}


def from_json(values: Mapping[str, Any]) -> Parameters:
    """Inverse of `to_json`."""
    rest = {key: value for key, value in values.items() if key != "family"}
    return _CLASSES[values["family"]].from_json(rest)
