"""The words that everything else speaks: task, modality, volume, case, views and predictions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.errors import DataError

#: Label value of a voxel whose structure is not known (an unlabelled modality of a labelled case).
IGNORE = 255


class Pairing(StrEnum):
    """How the modalities of one case relate: same patient and frame, same patient, or different patients."""

    REGISTERED = "registered"
    SAME_SUBJECT = "same_subject"
    UNPAIRED = "unpaired"


class Adapter(StrEnum):
    """How a method answers per modality: one fused map copied, one head each, or one stream each."""

    BROADCAST = "broadcast"
    HEADS = "heads"
    NATIVE = "native"


@dataclass(frozen=True)
class Modality:
    """One imaging modality. `kind` is `ct` (HU, clipped to `window_hu`) or `mr` (arbitrary units)."""

    name: str
    kind: str
    window_hu: tuple[float, float] = (-175.0, 250.0)


@dataclass(frozen=True)
class Task:
    """What is to be segmented in what.

    Attributes:
        name: name of the dataset that the task belongs to.
        modalities: ordered; the first one is the reference frame of a case.
        classes: structure name to label id, without background (0); ids are 1..n without gaps.
        pairing: how the modalities of a case relate.
        spacing_mm: spacing of the common frame in which networks are trained.
        severity_mm: RMS displacement (mm) inside the foreground at misalignment severities S0, S1, ...
        nsd_tolerance_mm: structure name to the distance up to which the NSD takes two boundaries for one.
            A dataset declares it for every structure; it is a decision of whoever writes the dataset.
    """

    name: str
    modalities: tuple[Modality, ...]
    classes: Mapping[str, int]
    pairing: Pairing
    spacing_mm: tuple[float, float, float]
    severity_mm: tuple[float, ...] = (0.0, 2.0, 4.0, 7.0, 12.0)
    nsd_tolerance_mm: Mapping[str, float] = field(default_factory=dict)

    @property
    def modality_names(self) -> tuple[str, ...]:
        """Names of the modalities in their order."""
        return tuple(modality.name for modality in self.modalities)

    @property
    def structures(self) -> tuple[str, ...]:
        """Structure names in the order of their ids."""
        return tuple(sorted(self.classes, key=lambda name: self.classes[name]))

    @property
    def n_classes(self) -> int:
        """Number of classes, background counted."""
        return len(self.classes) + 1

    def tolerance_mm(self, structure: str) -> float:
        """Tolerance of the NSD of a structure. Raises `DataError` where none above 0 is declared."""
        tolerance_mm = self.nsd_tolerance_mm.get(structure, math.nan)
        if math.isfinite(tolerance_mm) and tolerance_mm > 0:
            return tolerance_mm
        raise DataError(
            "The NSD has no value without its tolerance",
            where=f"task of {self.name}, nsd_tolerance_mm, {structure}",
            expected="a length in mm above 0 for every structure",
            found="none" if math.isnan(tolerance_mm) else repr(tolerance_mm),
            remedy="declare it in the dataset; data prepared by an older version must be prepared again",
        )

    def to_json(self) -> dict[str, Any]:
        """The task as plain values, for `dataset.json`."""
        return {
            "name": self.name,
            "modalities": [[m.name, m.kind, list(m.window_hu)] for m in self.modalities],
            "classes": dict(self.classes),
            "pairing": str(self.pairing),
            "spacing_mm": list(self.spacing_mm),
            "severity_mm": list(self.severity_mm),
            "nsd_tolerance_mm": dict(self.nsd_tolerance_mm),
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Task:
        """Inverse of `to_json`."""
        return Task(
            name=values["name"],
            modalities=tuple(Modality(n, k, (w[0], w[1])) for n, k, w in values["modalities"]),
            classes=dict(values["classes"]),
            pairing=Pairing(values["pairing"]),
            spacing_mm=(values["spacing_mm"][0], values["spacing_mm"][1], values["spacing_mm"][2]),
            severity_mm=tuple(values["severity_mm"]),
            nsd_tolerance_mm=dict(values.get("nsd_tolerance_mm", {})),
        )


def one_voxel_mm(structures: Iterable[str], spacing_mm: Sequence[float]) -> dict[str, float]:
    """A tolerance of the NSD for every structure: the coarser in-plane edge (mm) of a voxel of a frame.

    That is the middle one of its three edges. A boundary that lies one voxel off in the slice is then within
    tolerance, one that lies a thick slice off is not. A decision of Parallax's: no source fixes a value.
    """
    return dict.fromkeys(structures, float(sorted(spacing_mm)[1]))


@dataclass(frozen=True)
class Grid:
    """A voxel grid in space: shape (X, Y, Z) and the 4x4 affine from voxel index to RAS mm."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along each axis."""
        spacing = np.linalg.norm(self.affine[:3, :3], axis=0)
        return (float(spacing[0]), float(spacing[1]), float(spacing[2]))


@dataclass(frozen=True)
class Volume:
    """An image or a label map: array (X, Y, Z) and its affine (voxel index to RAS mm)."""

    array: NDArray[Any]
    affine: NDArray[np.float64]

    @property
    def grid(self) -> Grid:
        """Shape and affine of the array."""
        x, y, z = self.array.shape
        return Grid((x, y, z), self.affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along each axis."""
        return self.grid.spacing_mm


@dataclass(frozen=True)
class Repair:
    """What reading changed of a scan: its modality, the change in words that every case shares, details."""

    modality: str
    what: str
    detail: str = ""


@dataclass(frozen=True)
class Case:
    """One patient (or one unpaired scan) on native grids; `labels` may lack modalities that `images` has.

    `repairs` says what reading changed of the files; nothing is repaired without an entry there.
    """

    id: str
    images: Mapping[str, Volume]
    labels: Mapping[str, Volume] = field(default_factory=dict)
    repairs: tuple[Repair, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One case in the common frame, as a method is trained on it.

    Attributes:
        case: id of the case.
        image: float32 [K, X, Y, Z], normalised; zeros where a modality is absent. May be memory-mapped.
        label: uint8 [K, X, Y, Z], `IGNORE` where a modality carries no label; None for an unlabelled case.
        available: K flags, True where the modality exists.
        grid: the common frame (for methods that need NIfTI, such as nnU-Net).
    """

    case: str
    image: NDArray[np.float32]
    label: NDArray[np.uint8] | None
    available: tuple[bool, ...]
    grid: Grid


@dataclass(frozen=True)
class TrainView:
    """All that a method sees in training. No mask of an unlabelled case is in it, on disk either."""

    task: Task
    labelled: tuple[Sample, ...]
    unlabelled: tuple[Sample, ...]


@dataclass(frozen=True)
class TestView:
    """All that a method sees of a test case.

    Attributes:
        task: the task.
        sample: the case in the common frame; its label is None.
        native: grid of each modality as it came.
        truth: native label maps, given to controls that declare `needs_truth` and to nobody else.
    """

    __test__ = False  # not a pytest class

    task: Task
    sample: Sample
    native: Mapping[str, Grid]
    truth: Mapping[str, Volume] | None = None


@dataclass(frozen=True)
class Prediction:
    """One label map (uint8, native grid of that modality) per modality that the case has."""

    label_maps: Mapping[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class Budget:
    """What every method of a run gets, so that a difference between methods is not one of effort.

    Attributes:
        steps: optimiser steps.
        batch: crops per step, of labelled and (where used) of unlabelled cases each.
        patch: size of a crop in voxels of the common frame; each a multiple of 2**len(widths).
        widths: channels per level of the backbone.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        augment: whether crops are augmented (intensity, flips that keep anatomy apart are off).
        checkpoint_every_s: seconds between scratch checkpoints.
        precision: `float32` or `bfloat16` (autocast).
        deterministic: whether a GPU takes only kernels that give the same bits each time: slower, and a
            method that needs an operation without such a kernel fails. A CPU does so in any case.
        nnunet_steps: optimiser steps of nnU-Net, whose full-resolution network costs more a step;
            None means `steps`.
        nnunet_spacing: factor by which nnU-Net's grid is coarser than it would choose.
    """

    steps: int
    batch: int = 2
    patch: tuple[int, int, int] = (48, 48, 32)
    widths: tuple[int, ...] = (16, 32, 64, 128)
    learning_rate: float = 2e-2
    weight_decay: float = 1e-4
    augment: bool = True
    checkpoint_every_s: float = 20.0
    precision: str = "float32"
    deterministic: bool = False
    nnunet_steps: int | None = None
    nnunet_spacing: float = 1.0
