"""Look through a downloaded dataset: what is there, what would be repaired, what a run could not use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from parallax.data.layouts import Values
from parallax.data.scans import ScanDataset, ScanFile
from parallax.data.volumes import check_same_grid, read_label_map, read_volume
from parallax.errors import UserError

_AFFINE_TOLERANCE = 1e-3  # headers that differ by less are the same number written twice


@dataclass(frozen=True)
class ScanReport:
    """What was found of one scan.

    Attributes:
        case, modality: what the scan is.
        shape, spacing_mm, axes: of the image.
        volumes_ml: volume of each structure that the label map shows; empty without a label map.
        repairs: what reading it changes, one clause each.
        problem: why a run could not use it; empty where it can.
    """

    case: str
    modality: str
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    axes: str = ""
    labelled: bool = False
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    repairs: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Inspection:
    """Reports of all scans of a dataset."""

    dataset: str
    scans: tuple[ScanReport, ...]

    @property
    def usable(self) -> bool:
        """Whether a run would start: some scan is labelled, and none has a problem."""
        return any(scan.labelled for scan in self.scans) and not any(scan.problem for scan in self.scans)

    def repairs(self) -> Counter[str]:
        """How many scans need each repair."""
        return Counter(repair for scan in self.scans for repair in scan.repairs)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "dataset": self.dataset,
            "usable": self.usable,
            "scans": [asdict(scan) for scan in self.scans],
        }


def inspect_dataset(dataset: ScanDataset) -> Inspection:
    """Read every image and label map below the root in full; one scan is in memory at a time."""
    return Inspection(dataset.name, tuple(inspect_scan(scan, dataset.values) for scan in dataset.find()))


def inspect_scan(scan: ScanFile, values: Values) -> ScanReport:
    """Read one scan as a run would, and say what it is."""
    import nibabel

    try:
        image = read_volume(scan.image)
        axes = "".join(nibabel.aff2axcodes(image.affine))
        volumes: dict[str, float] = {}
        if scan.label:
            ids = {name: i for i, name in enumerate(values.structures, start=1)}
            label = read_label_map(scan.label, values.to_ids(ids))
            check_same_grid(image, label, f"{scan.image} and {scan.label}")
            voxel_ml = float(np.prod(image.grid.spacing_mm)) / 1000
            counts = np.bincount(label.array.ravel(), minlength=len(ids) + 1)
            volumes = {name: float(counts[i]) * voxel_ml for name, i in ids.items() if counts[i]}
        return ScanReport(
            case=scan.case,
            modality=scan.modality,
            shape=image.grid.shape,
            spacing_mm=tuple(round(s, 4) for s in image.grid.spacing_mm),
            axes=axes,
            labelled=scan.label is not None,
            volumes_ml={name: round(ml, 2) for name, ml in volumes.items()},
            repairs=tuple(_repairs(scan, axes, values)),
        )
    except UserError as error:
        return ScanReport(scan.case, scan.modality, labelled=scan.label is not None, problem=str(error))


def _repairs(scan: ScanFile, axes: str, values: Values) -> list[str]:
    found = [] if axes == "RAS" else [f"axes {axes} are turned to RAS"]
    files = [("image", scan.image)] + ([("label map", scan.label)] if scan.label else [])
    for what, path in files:
        found += [f"{what}: {clause}" for clause in _header_repairs(path)]
    if scan.label:
        found += _label_repairs(scan.label, values)
    return found


def _header_repairs(path: Path) -> list[str]:
    import nibabel

    header: Any = nibabel.load(path).header
    if not hasattr(header, "get_qform"):
        return []
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    found = []
    if sform and qform:
        apart = float(np.abs(header.get_sform() - header.get_qform()).max())
        if apart > _AFFINE_TOLERANCE:
            found.append("sform and qform disagree, sform is used")
    elif qform:
        found.append("no sform, qform is used")
    matrix = header.get_best_affine()[:3, :3]
    directions = matrix / np.linalg.norm(matrix, axis=0)
    if np.abs(directions.T @ directions - np.eye(3)).max() > _AFFINE_TOLERANCE:
        found.append("axes are not orthogonal")
    return found


def _label_repairs(path: Path, values: Values) -> list[str]:
    import nibabel

    image: Any = nibabel.load(path)
    found = ["label map: stored as floats, read as integers"] if image.get_data_dtype().kind == "f" else []
    if not values.aliases:
        return found  # nothing to look for: the voxels need not be read a second time
    data = np.asanyarray(image.dataobj)
    strays = sorted(stray for stray in values.aliases if bool((data == stray).any()))
    return found + [f"label map: value {stray} is read as {values.aliases[stray]}" for stray in strays]


def modality_rows(scans: Sequence[ScanReport]) -> list[tuple[str, ...]]:
    """By modality: scans, labelled ones, range of sizes, least / median / largest spacing per axis."""
    rows: list[tuple[str, ...]] = []
    for modality in dict.fromkeys(scan.modality for scan in scans):
        own = [scan for scan in scans if scan.modality == modality]
        read = [scan for scan in own if scan.shape]
        sizes = " x ".join(_range([scan.shape[axis] for scan in read]) for axis in range(3)) if read else ""
        spacing = (
            " x ".join(_range([scan.spacing_mm[axis] for scan in read]) for axis in range(3)) if read else ""
        )
        labelled = sum(scan.labelled for scan in own)
        rows.append((modality, str(len(own)), str(labelled), sizes, spacing))
    return rows


def structure_rows(scans: Sequence[ScanReport], structures: Iterable[str]) -> list[tuple[str, ...]]:
    """By structure and modality: labelled scans that show it, and least / median / largest volume in mL."""
    rows: list[tuple[str, ...]] = []
    for structure in structures:
        for modality in dict.fromkeys(scan.modality for scan in scans):
            own = [scan for scan in scans if scan.modality == modality and scan.labelled and not scan.problem]
            volumes = [scan.volumes_ml[structure] for scan in own if structure in scan.volumes_ml]
            text = (
                " / ".join(f"{v:.3g}" for v in (min(volumes), median(volumes), max(volumes)))
                if volumes
                else ""
            )
            rows.append((structure, modality, f"{len(volumes)} of {len(own)}", text))
    return rows


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.4g}" if low == high else f"{low:.4g}-{high:.4g}"
