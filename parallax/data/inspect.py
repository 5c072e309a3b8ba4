"""Look through a downloaded dataset: what is there, what would be repaired, what a run could not use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from parallax.case import Repair, Volume
from parallax.data.reading import ReadScan
from parallax.data.scans import ScanDataset, ScanFile, find_files
from parallax.errors import DataError, UserError

_PAPERS = (".json", ".csv", ".txt", ".md", ".pdf", ".xlsx", ".yaml")  # what comes with a download
_MOST_UNKNOWN = 12


@dataclass(frozen=True)
class ScanReport:
    """What was found of one scan.

    Attributes:
        case, modality: what the scan is.
        image, label: its files or folders; no label map is "".
        shape, spacing_mm, axes: of the image.
        values: label values that occur, background left out.
        volumes_ml: volume of each structure that the label map shows; empty without a label map.
        repairs: what reading it changes.
        warnings: what a run can use and a person should look at, one clause each.
        problem: why a run could not use it; empty where it can.
    """

    case: str
    modality: str
    image: str
    label: str
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    axes: str = ""
    labelled: bool = False
    values: tuple[int, ...] = ()
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    repairs: tuple[Repair, ...] = ()
    warnings: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Inspection:
    """Reports of all scans of a dataset.

    Attributes:
        dataset: its name.
        scans: one report each.
        used: cases that a run would use: those with a label map in a modality of the protocol.
        refusal: why a run would not start, apart from single scans; "" where it would.
        warnings: what is incomplete, one sentence each.
        unknown: files below the root that no rule of the dataset matches.
    """

    dataset: str
    scans: tuple[ScanReport, ...]
    used: frozenset[str]
    refusal: str = ""
    warnings: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether a run would work: some scan is labelled, and no scan that it reads has a problem."""
        return not self.refusal and not any(scan.problem for scan in self.scans if scan.case in self.used)

    def repairs(self) -> Counter[str]:
        """How many scans need each repair."""
        return Counter(what for scan in self.scans for what in {repair.what for repair in scan.repairs})

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "dataset": self.dataset,
            "usable": self.usable,
            "refusal": self.refusal,
            "warnings": list(self.warnings),
            "unknown_files": list(self.unknown),
            "scans": [asdict(scan) for scan in self.scans],
        }


def inspect_dataset(dataset: ScanDataset) -> Inspection:
    """Read every image and label map below the root in full; one scan is in memory at a time."""
    try:
        found, used, refusal = dataset.find(), dataset.case_ids(), ""
    except DataError as error:
        found, used, refusal = _found(dataset), [], str(error)
    scans = tuple(inspect_scan(dataset, scan) for scan in found)
    return Inspection(
        dataset=dataset.name,
        scans=scans,
        used=frozenset(used),
        refusal=refusal,
        warnings=_incomplete(dataset.expected() if found else {}, dataset.task.modality_names, scans),
        unknown=_unknown(dataset.root, found),
    )


def inspect_scan(dataset: ScanDataset, scan: ScanFile) -> ScanReport:
    """Read one scan as a run would, with all structures of the release, and say what it is."""
    import nibabel

    values = dataset.values
    ids = {name: i for i, name in enumerate(values.structures, start=1)}
    report = ScanReport(scan.case, scan.modality, str(scan.image), str(scan.label or ""))
    try:
        read = dataset.read_scan(scan, ids)
    except UserError as error:
        return replace(report, labelled=scan.label is not None, problem=str(error))
    axes: Any = nibabel.aff2axcodes(read.image.affine)
    volumes = _volumes_ml(read.label, ids) if read.label else {}
    return replace(
        report,
        shape=read.image.grid.shape,
        spacing_mm=tuple(round(s, 4) for s in read.image.spacing_mm),
        axes="".join(axes),
        labelled=read.label is not None,
        values=tuple(sorted(values.structures[name] for name in volumes)),
        volumes_ml={name: round(ml, 2) for name, ml in volumes.items()},
        repairs=read.repairs,
        warnings=_warnings(read),
    )


def remarks(found: Inspection) -> list[str]:
    """What the tables do not show, one line each; the last line is the answer."""
    cases = {scan.case for scan in found.scans}
    lines = [f"cases found: {len(cases)}, of which a run uses {len(found.used)}"]
    values = sorted({value for scan in found.scans for value in scan.values})
    lines += [f"label values: {', '.join(map(str, values)) or 'none'}"]
    lines += [f"warning: {text}" for text in found.warnings]
    lines += [f"warning, case {s.case}, {s.modality}: {text}" for s in found.scans for text in s.warnings]
    n = len(found.scans)
    lines += [f"repair in {count} of {n} scans: {what}" for what, count in sorted(found.repairs().items())]
    every = [(f"case {s.case}, {s.modality}", r) for s in found.scans for r in s.repairs]
    lines += [f"dropped, {where}: {r.detail}" for where, r in every if "dropped" in r.what]
    lines += [f"{r.what}, {where}: {r.detail}" for where, r in every if "disagree" in r.what]
    lines += [f"unknown file: {name}" for name in found.unknown[:_MOST_UNKNOWN]]
    if len(found.unknown) > _MOST_UNKNOWN:
        lines.append(f"unknown files: {len(found.unknown) - _MOST_UNKNOWN} more (--json lists all)")
    lines += [_problem(scan, scan.case in found.used) for scan in found.scans if scan.problem]
    lines += [found.refusal] if found.refusal else []
    return [*lines, "A run would work." if found.usable else "A run would not work."]


def _problem(scan: ScanReport, used: bool) -> str:
    unless = "" if used else " (read only with `unlabelled: true`)"
    return f"problem, case {scan.case}, {scan.modality}{unless}: {scan.problem}"


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


def _found(dataset: ScanDataset) -> list[ScanFile]:
    try:
        return dataset.find()
    except DataError:
        return []


def _volumes_ml(label: Volume, ids: Mapping[str, int]) -> dict[str, float]:
    voxel_ml = float(np.prod(label.spacing_mm)) / 1000
    counts = np.bincount(label.array.ravel(), minlength=len(ids) + 1)
    return {name: float(counts[i]) * voxel_ml for name, i in ids.items() if counts[i]}


def _warnings(read: ReadScan) -> tuple[str, ...]:
    found = []
    if read.image.array.min() == read.image.array.max():
        found.append("the image is constant")
    if read.label is not None and not read.label.array.any():
        found.append("the label map is all background")
    return tuple(found)


def _incomplete(
    expected: Mapping[str, int], modalities: Sequence[str], scans: Sequence[ScanReport]
) -> tuple[str, ...]:
    found = Counter(scan.modality for scan in scans if scan.labelled)
    return tuple(
        f"{modality}: {found[modality]} labelled scans found, the whole release has {n} "
        f"({n - found[modality]} missing)"
        for modality, n in expected.items()
        if modality in modalities and found[modality] < n
    )


def _unknown(root: Path, scans: Sequence[ScanFile]) -> tuple[str, ...]:
    known = {file for scan in scans for file in scan.files()}
    others = [path for path in find_files(root, "*") if path not in known and path.suffix]
    return tuple(path.relative_to(root).as_posix() for path in others if path.suffix.lower() not in _PAPERS)


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.4g}" if low == high else f"{low:.4g}-{high:.4g}"
