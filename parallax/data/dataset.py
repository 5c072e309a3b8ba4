"""The contract of a dataset: what a file under datasets/ declares and does."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from parallax.case import Case, Task
from parallax.errors import ConfigError


def modality_strata(held: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Case to the modalities that it has (`CT+MR`), where cases differ in that; else empty: one stratum."""
    strata = {case: "+".join(modalities) for case, modalities in held.items()}
    return strata if len(set(strata.values())) > 1 else {}


def read_tolerances(given: Any, structures: Sequence[str], where: str) -> dict[str, float]:
    """The tolerance (mm) of the NSD by structure, from one number for all of them or a number by structure.

    Raises `ConfigError` unless every structure has a finite number above 0.
    """
    held: Mapping[str, Any] = given if isinstance(given, Mapping) else dict.fromkeys(structures, given)
    for name in structures:
        value: Any = held.get(name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise ConfigError(
                "A structure has no usable tolerance for the NSD",
                where=f"{where}, nsd_tolerance_mm, {name}",
                expected="one length in mm above 0, or one by structure for every structure",
                found=repr(value),
                remedy="state it; docs/metrics.md says how to choose it",
            )
    return {name: float(held[name]) for name in structures}


class Dataset(ABC):
    """Where cases come from. Subclass it in one file under datasets/; the file is found by its presence.

    Class attributes are read from the source without running it, so each must be a literal:

    Attributes:
        name: id of the dataset, equal to the name of its file.
        title: how tables call it.
        source: where the data comes from (citation, licence), or for a phantom what it stands for.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take the options that the configuration gives to this dataset; unknown keys raise `ConfigError`."""
        self.options = dict(options)

    @property
    @abstractmethod
    def task(self) -> Task:
        """Modalities, structures, pairing level and nominal spacing."""

    @abstractmethod
    def case_ids(self) -> list[str]:
        """Ids of all cases in a stable order, from names and headers only (no voxel is read)."""

    def strata(self) -> Mapping[str, str]:
        """Case id to stratum (e.g. modality of an unpaired scan); splits keep shares. Empty: one stratum."""
        return {}

    def patients(self) -> Mapping[str, str]:
        """Case id to patient, where one patient has several cases (scans, sequences, both orbits).

        No patient is on two sides of a split, and labels are drawn by patient. A case left out is a patient
        of its own; the default says so of every case.
        """
        return {}

    def unlabelled_ids(self) -> list[str]:
        """Cases without any label map: they go to the training pool and are never drawn as labelled."""
        return []

    @property
    def crop(self) -> bool:
        """Whether the common frame is cut to the foreground of the image (real scans with wide margins)."""
        return False

    def inputs(self) -> list[Path]:
        """Files that cases are read from: hashed in the manifest, and a change of one reruns what used it."""
        return []

    def check(self) -> None:
        """Raise `DataError` (absent file, grid mismatch, label outside the task) before any job starts."""
        return

    def stage(self, case_ids: Sequence[str], folder: Path) -> None:  # noqa: ARG002 (a hook)
        """Write the raw files of these cases into `folder` (phantoms); real data is already there."""
        return

    @abstractmethod
    def read(self, case_id: str, folder: Path) -> Case:
        """Read one case on its native grids, with `repairs`; `folder` is the one given to `stage`."""
