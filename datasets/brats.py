"""BraTS 2018 to 2021 and the brain tumours of the Medical Segmentation Decathlon: four MR contrasts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from parallax.data.layouts import Values
from parallax.data.scans import ScanDataset, ScanFile, find_files
from parallax.errors import DataError

_NAME = re.compile(r"(?P<case>brats\w+?)_(?P<part>t1ce|t1|t2|flair)\.nii(\.gz)?", re.IGNORECASE)
_MSD_NAME = re.compile(r"BRATS_\d+\.nii\.gz")
_STRAY_LABEL = "W39_1998.09.19_Segm.nii"  # the label map of case 355 in copies of the 2020 release
_PARTS = {"t1": "T1", "t1ce": "T1c", "t2": "T2", "flair": "FLAIR"}
_MSD_CHANNELS = ("FLAIR", "T1", "T1c", "T2")  # the order in its dataset.json
_REGIONS = {
    "whole_tumour": ("necrotic_core", "edema", "enhancing_tumour"),
    "tumour_core": ("necrotic_core", "enhancing_tumour"),
}


class Brats(ScanDataset):
    """`CASE/CASE_{t1,t1ce,t2,flair,seg}.nii.gz` in any folders, or `Task01_BrainTumour` with 4-D images."""

    name = "brats"
    title = "BraTS (T1, T1c, T2, FLAIR)"
    source = (
        "Menze et al., IEEE TMI 2015; Baid et al., arXiv 2107.02314 (2021); Antonelli et al., Nature "
        "Communications 2022 (Decathlon)"
    )
    licence = "BraTS: on registration at Synapse; Decathlon: CC BY-SA 4.0"
    download = "BraTS at synapse.org, or Task01_BrainTumour at medicaldecathlon.com"
    traps = (
        "Enhancing tumour is value 4 in BraTS 2018 to 2021 and 3 in the Decathlon and from 2023 on.",
        "1 and 2 change places: BraTS 1 necrotic core and 2 edema, Decathlon 1 edema and 2 necrotic core.",
        "The Decathlon's channels are FLAIR, T1, T1c, T2, another order than anywhere else.",
        "Case 355 of 2020 names its label map W39_1998.09.19_Segm.nii; it is taken by that name.",
        "Decathlon cases are cases of BraTS 2016 and 2017 under new names: do not mix the two.",
    )
    modality_kinds = {"T1": "mr", "T1c": "mr", "T2": "mr", "FLAIR": "mr"}  # noqa: RUF012  (read as a literal)
    pairing_level = "registered"
    protocols = {  # noqa: RUF012
        "tissues": ("necrotic_core", "edema", "enhancing_tumour"),
        "whole_tumour": ("whole_tumour",),
        "tumour_core": ("tumour_core",),
        "enhancing_tumour": ("enhancing_tumour",),
    }
    spacing_mm = (1.0, 1.0, 1.0)
    nsd_tolerance_mm = 1.0  # every structure; one voxel of that frame in plane (our decision)

    @property
    def values(self) -> Values:
        """Of the release that lies there."""
        numbers = (2, 1, 3) if self._msd else (1, 2, 4)
        return Values(dict(zip(_REGIONS["whole_tumour"], numbers, strict=True)), {}, _REGIONS)

    def expected(self) -> Mapping[str, int]:
        """Labelled cases by release (2018: 285, 2019: 335, 2020: 369, 2021: 1251, Decathlon: 484)."""
        case = next((scan.case.lower() for scan in self.find()), "")
        counts = {"brats18": 285, "brats19": 335, "brats20_": 369, "brats2021": 1251, "brats_": 484}
        n = next((n for start, n in counts.items() if case.startswith(start)), 0)
        return dict.fromkeys(self.modality_kinds, n) if n else {}

    def find(self) -> list[ScanFile]:
        """One case per patient, in the names of the release."""
        plain = [
            (path, match) for path in find_files(self.root, "*") if (match := _NAME.fullmatch(path.name))
        ]
        if plain and self._msd:
            raise DataError(
                "Two releases lie in one folder",
                where=str(self.root),
                expected="BraTS or the Decathlon: their label values differ",
                found=f"{plain[0][0].name} and {self._msd[0].name}",
                remedy="point `root` at one of them",
            )
        if self._msd:
            return [scan for path in self._msd for scan in _msd_scans(path)]
        return [
            ScanFile(match["case"], _PARTS[match["part"].lower()], path, _label(path, match["case"]))
            for path, match in plain
        ]

    @cached_property
    def _msd(self) -> list[Path]:
        found = [path for part in ("imagesTr", "imagesTs") for path in find_files(self.root, f"{part}/*")]
        return [path for path in found if _MSD_NAME.fullmatch(path.name)]


def _label(image: Path, case: str) -> Path | None:
    ending = ".nii.gz" if image.name.endswith(".gz") else ".nii"
    named = [image.with_name(name) for name in (f"{case}_seg{ending}", _STRAY_LABEL)]
    return next((path for path in named if path.is_file()), None)


def _msd_scans(path: Path) -> list[ScanFile]:
    label = path.parent.with_name("labelsTr") / path.name
    held = label if path.parent.name == "imagesTr" and label.is_file() else None
    return [
        ScanFile(path.name.removesuffix(".nii.gz"), name, path, held, channel)
        for channel, name in enumerate(_MSD_CHANNELS)
    ]
