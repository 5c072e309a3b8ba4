"""MM-WHS 2017: whole hearts in CT and in MR, of different patients."""

from __future__ import annotations

import re
from collections.abc import Mapping

from parallax.data.layouts import Values, mmwhs_values
from parallax.data.scans import ScanDataset, ScanFile, find_files

_NAME = re.compile(r"((ct|mr)_(train|test)_)?(?P<id>[A-Za-z0-9]+)_image\.nii(\.gz)?")
_MODALITY = re.compile(r"(?<![a-z])(ct|mr)(?![a-z])")  # of the file or of a folder above it


class Mmwhs(ScanDataset):
    """`{ct,mr}_train_1001_{image,label}.nii.gz` anywhere below the root; test scans have no label maps.

    WHS++ (CARE 2024): `ID_{image,label}.nii.gz`, where the file or a folder above it names CT or MR.
    """

    name = "mmwhs"
    title = "MM-WHS 2017 (CT, MR)"
    source = "Zhuang and Shen, Medical Image Analysis 2016; Zhuang et al., Medical Image Analysis 2019"
    licence = "on registration; no redistribution"
    download = "MM-WHS: Multi-Modality Whole Heart Segmentation, zmiclab.github.io/zxh/0/mmwhs"
    traps = (
        "Value 421 in one training case is a stray left atrium and is read as 420; other values are refused.",
        "Orientation differs between MR cases: images and label maps are turned by their headers.",
        "mr_train_1002 has stray labels at the border: only the largest component of a structure is kept.",
        "CT and MR are different patients: no synthetic shift is defined.",
        "Papers on domain adaptation use four structures on cut coronal slices: not comparable with volumes.",
    )
    modality_kinds = {"CT": "ct", "MR": "mr"}  # noqa: RUF012  (read as a literal)
    pairing_level = "unpaired"
    protocols = {  # noqa: RUF012
        "seven": (
            "myocardium", "left_atrium", "left_ventricle", "right_atrium", "right_ventricle",
            "ascending_aorta", "pulmonary_artery",
        ),
        "four": ("myocardium", "left_atrium", "left_ventricle", "ascending_aorta"),
    }  # fmt: skip
    spacing_mm = (1.5, 1.5, 1.5)
    nsd_tolerance_mm = 1.5  # every structure; one voxel of that frame in plane (our decision)
    window_hu = (-150.0, 450.0)
    largest_component = True

    @property
    def values(self) -> Values:
        """205 to 850, and the stray 421."""
        return mmwhs_values()

    def expected(self) -> Mapping[str, int]:
        """20 and 20 in the release of 2017; of WHS++ only the pattern of names is known."""
        return {"CT": 20, "MR": 20} if find_files(self.root, "??_train_*_image.nii*") else {}

    def find(self) -> list[ScanFile]:
        """One case per scan: `ct_1001`, ..., `mr_1020`."""
        found = []
        for image in find_files(self.root, "*_image.nii*"):
            match = _NAME.fullmatch(image.name)
            modality = _MODALITY.search(image.relative_to(self.root).as_posix().lower())
            if match and modality:
                label = image.with_name(image.name.replace("_image.", "_label."))
                case = f"{modality[1]}_{match['id']}"
                found.append(ScanFile(case, modality[1].upper(), image, label if label.is_file() else None))
        return found
