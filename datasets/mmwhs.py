"""MM-WHS 2017: whole hearts in CT and in MR, of different patients."""

from __future__ import annotations

import re

from parallax.data.layouts import Values, mmwhs_values
from parallax.data.scans import ScanDataset, ScanFile

_NAME = re.compile(r"(?P<modality>ct|mr)_(train|test)_(?P<number>\d+)_image\.nii(\.gz)?")


class Mmwhs(ScanDataset):
    """`{ct,mr}_train_1001_{image,label}.nii.gz` anywhere below the root; test scans have no label maps."""

    name = "mmwhs"
    title = "MM-WHS 2017 (CT, MR)"
    source = "Zhuang and Shen, Medical Image Analysis 2016; Zhuang et al., Medical Image Analysis 2019"
    licence = "on registration; no redistribution"
    download = "MM-WHS: Multi-Modality Whole Heart Segmentation, zmiclab.github.io/zxh/0/mmwhs"
    traps = (
        "Value 421 in one training case is a stray left atrium and is read as 420; other values are refused.",
        "Orientation differs between MR cases: images and label maps are turned by their headers.",
        "mr_train_1002 has stray labels at the border of the volume.",
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
    window_hu = (-150.0, 450.0)

    @property
    def values(self) -> Values:
        """205 to 850, and the stray 421."""
        return mmwhs_values()

    def find(self) -> list[ScanFile]:
        """One case per scan: `ct_1001`, ..., `mr_1020`."""
        found = []
        for image in sorted(self.root.rglob("*_image.nii*")):
            match = _NAME.fullmatch(image.name)
            if match:
                label = image.with_name(image.name.replace("_image.", "_label."))
                case = f"{match['modality']}_{match['number']}"
                found.append(
                    ScanFile(case, match["modality"].upper(), image, label if label.is_file() else None)
                )
        return found
