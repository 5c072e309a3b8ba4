"""CHAOS: abdominal CT, and two MR sequences of other patients, as DICOM slices with PNG label maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.case import Grid, Volume
from parallax.data.layouts import Values
from parallax.data.reading import Loaded, Note
from parallax.data.scans import ScanDataset, ScanFile
from parallax.data.slices import load_png_stack, load_series, series_grid
from parallax.errors import DataError

_GREYS = {"liver": (55, 70), "right_kidney": (110, 135), "left_kidney": (175, 200), "spleen": (240, 255)}
_OLD_GREYS = {"liver": 80, "right_kidney": 160, "left_kidney": 240, "spleen": 255}
_SERIES = {
    "CT": ("DICOM_anon", "Ground"),
    "T1in": ("T1DUAL/DICOM_anon/InPhase", "T1DUAL/Ground"),
    "T1out": ("T1DUAL/DICOM_anon/OutPhase", "T1DUAL/Ground"),
    "T2": ("T2SPIR/DICOM_anon", "T2SPIR/Ground"),
}


class Chaos(ScanDataset):
    """`{CT,MR}/ID/..` at the root or in `Train_Sets` and `Test_Sets`, as the archives unpack."""

    name = "chaos"
    title = "CHAOS (CT; T1 in and out of phase, T2)"
    source = "Kavur et al., Medical Image Analysis 2021, doi 10.5281/zenodo.3362844"
    licence = "CC BY-SA 4.0"
    download = "Zenodo record 3431873 (CHAOS_Train_Sets.zip, 0.9 GB)"
    traps = (
        "PNG k belongs to DICOM k in the order of file names, and z may fall with k: readers that sort by "
        "position turn the label maps upside down.",
        "The slice distance is that of ImagePositionPatient, not SliceThickness.",
        "The phases of T1 are told by folder; they share one truth, T2 has its own.",
        "Slices of T1 and T2 do not correspond: one patient, another frame.",
        "Greys of organs are ranges (liver 55 to 70); copies with 80, 160, 240, 255 are told by the set.",
        "CT and MR are different patients, and CT has the liver only.",
    )
    modality_kinds = {"T1in": "mr", "T1out": "mr", "T2": "mr", "CT": "ct"}  # noqa: RUF012  (read as a literal)
    pairing_level = "same_subject"
    protocols = {  # noqa: RUF012
        "mr_organs": ("liver", "right_kidney", "left_kidney", "spleen"),
        "ct_liver": ("liver",),
        "ct_t2_liver": ("liver",),
    }
    protocol_modalities = {  # noqa: RUF012
        "mr_organs": ("T1in", "T1out", "T2"),
        "ct_liver": ("CT",),
        "ct_t2_liver": ("CT", "T2"),
    }
    protocol_pairing = {"ct_liver": "registered", "ct_t2_liver": "unpaired"}  # noqa: RUF012
    spacing_mm = (1.5, 1.5, 4.0)
    nsd_tolerance_mm = 1.5  # every structure; one voxel of that frame in plane (our decision)

    @property
    def values(self) -> Values:
        """The grey in the middle of each range; `load_label` brings every accepted grey there."""
        return Values({name: (low + high + 1) // 2 for name, (low, high) in _GREYS.items()}, {})

    def expected(self) -> Mapping[str, int]:
        """20 CT and 20 MR patients in the training sets."""
        return dict.fromkeys(_SERIES, 20)

    def find(self) -> list[ScanFile]:
        """One case per patient: `ct_1`, ..., `mr_1`, ..."""
        parts = [self.root / part for part in ("", "Train_Sets", "Test_Sets")]
        return [scan for part in parts for kind in ("CT", "MR") for scan in _scans(part / kind)]

    def grid(self, scan: ScanFile) -> Grid:
        """From the headers of all slices."""
        return series_grid(scan.image)

    def load_image(self, scan: ScanFile) -> Loaded:
        """Slices in the order of their names."""
        return load_series(scan.image)

    def load_label(self, scan: ScanFile) -> Loaded:
        """Greys of organs brought to one per organ; other greys are left, and refused later."""
        loaded = load_png_stack(scan.label or scan.image, series_grid(scan.image))
        greys, notes = _organ_greys(loaded, ct=scan.modality == "CT", values=self.values)
        return replace(loaded, volume=Volume(greys, loaded.volume.affine), notes=(*loaded.notes, *notes))


def _scans(folder: Path) -> list[ScanFile]:
    patients = sorted((p for p in folder.glob("*") if p.name.isdigit()), key=lambda p: int(p.name))
    found = []
    for patient in patients:
        for modality, (images, labels) in _SERIES.items():
            image, label = patient / images, patient / labels
            if (modality == "CT") == (folder.name == "CT") and image.is_dir():
                case = f"{folder.name.lower()}_{patient.name}"
                found.append(ScanFile(case, modality, image, label if label.is_dir() else None))
    return found


def _organ_greys(loaded: Loaded, *, ct: bool, values: Values) -> tuple[NDArray[Any], tuple[Note, ...]]:
    array = loaded.volume.array
    held = set(np.unique(array).tolist()) - {0}
    result = array.copy()
    if ct:
        result[(array == 1) | (array == 255)] = values.structures["liver"]
        return result, ()
    old = bool(held) and held <= set(_OLD_GREYS.values())
    if old and not held & {80, 160}:
        raise DataError(
            "The greys of a label map can be read in two ways",
            where=str(loaded.path),
            expected="a stack that shows more than 240 and 255",
            found=", ".join(map(str, sorted(held))),
            remedy="fetch the whole stack",
        )
    ranges = {name: (grey, grey) for name, grey in _OLD_GREYS.items()} if old else _GREYS
    for name, (low, high) in ranges.items():
        result[(array >= low) & (array <= high)] = values.structures[name]
    return result, (Note("greys 80, 160, 240, 255 of an older release"),) if old else ()
