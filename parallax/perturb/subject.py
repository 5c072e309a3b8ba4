"""Wrong partner: one modality of a case comes from another case of the same part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from parallax.case import Case, Grid, Volume
from parallax.perturb.drawn import Drawn

#: Share of the cases with a wrong partner at severities 0 to 4: errors of 5, 10 and 20 %, then everyone.
SEVERITY_FRACTION = (0.0, 0.05, 0.1, 0.2, 1.0)


@dataclass(frozen=True)
class SubjectParameters(Drawn):
    """The case that a modality is taken from.

    Attributes:
        moved: the modality that is taken from elsewhere.
        donor: id of that case, of the same part; empty where the case keeps its own.
        offset_mm: what is added to the donor's place in space (RAS), so that the middles of both scans meet.
        target_fraction: share of the cases that was asked to get a wrong partner.
        swapped_fraction: share of the cases of the part that did.
    """

    donor: str = ""
    offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    target_fraction: float = 0.0
    swapped_fraction: float = 0.0

    @property
    def identity(self) -> bool:
        """Whether the case keeps its own modality."""
        return not self.donor


def draw_donors(
    rng: np.random.Generator,
    cases: Mapping[str, Mapping[str, list[str]]],
    *,
    moved: str,
    target_fraction: float,
) -> dict[str, str]:
    """Donor by case: a random derangement of the drawn cases, so that each scan is used once as before.

    Only cases with the moved modality and another one take part, and a donor holds the same scans and labels,
    so that a labelled case stays one. Of `target_fraction` of them, at least two are drawn where it is not 0.

    Args:
        rng: of the part.
        cases: by id, `modalities` and `labelled` as in `dataset.json`; all of one part.
        moved: the modality to swap.
        target_fraction: share of the cases to draw.
    """
    able = sorted(
        i for i, held in cases.items() if moved in held["modalities"] and len(held["modalities"]) > 1
    )
    if target_fraction == 0 or len(able) < 2:
        return {}
    count = max(2, round(target_fraction * len(able)))
    order = [able[i] for i in rng.permutation(len(able))]
    groups: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for case_id in order:
        held = cases[case_id]
        groups.setdefault((tuple(held["modalities"]), tuple(held["labelled"])), []).append(case_id)
    donors: dict[str, str] = {}
    for group in sorted(groups.values(), key=len, reverse=True):
        chosen = group[: count - len(donors)]
        if len(chosen) > 1:
            # each gives to the next in a random order: nobody to itself
            donors |= dict(zip(chosen, [*chosen[1:], chosen[0]], strict=True))
    return donors


def draw(
    case: Case, donor: Case, *, moved: str, target_fraction: float, swapped_fraction: float
) -> SubjectParameters:
    """The parameters of a case whose donor is known."""
    offset = _middle(case.images[moved].grid) - _middle(donor.images[moved].grid)
    return SubjectParameters(
        moved,
        donor.id,
        (float(offset[0]), float(offset[1]), float(offset[2])),
        target_fraction,
        swapped_fraction,
    )


def none(moved: str) -> SubjectParameters:
    """The case keeps its own."""
    return SubjectParameters(moved)


def apply(case: Case, parameters: SubjectParameters, read_case: Callable[[str], Case]) -> Case:
    """Take image and label of one modality from the donor, voxel values unchanged.

    A case that keeps its own is returned itself.
    """
    if parameters.identity:
        return case
    donor, name = read_case(parameters.donor), parameters.moved
    images, labels = dict(case.images), dict(case.labels)
    images[name] = _placed(donor.images[name], parameters)
    labels.pop(name, None)
    if name in donor.labels:
        labels[name] = _placed(donor.labels[name], parameters)
    return Case(case.id, images, labels)


def _placed(volume: Volume, parameters: SubjectParameters) -> Volume:
    affine = volume.affine.copy()
    affine[:3, 3] += parameters.offset_mm
    return Volume(volume.array, affine)


def _middle(grid: Grid) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(grid.affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2) + grid.affine[:3, 3])
