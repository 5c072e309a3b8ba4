"""AMOS 2022: abdominal CT and MR of different patients."""

from __future__ import annotations

import re

from parallax.data.layouts import Values, amos_modality, amos_values
from parallax.data.scans import ScanDataset, ScanFile

_NAME = re.compile(r"amos_(\d+)\.nii\.gz")
_PARTS = ("Tr", "Va", "Ts")


class Amos(ScanDataset):
    """`images{Tr,Va,Ts}/amos_0001.nii.gz` with `labels..`; CT up to number 499, MR from 501 to 600."""

    name = "amos"
    title = "AMOS 2022 (CT, MR)"
    source = "Ji et al., AMOS, NeurIPS 2022 Datasets and Benchmarks, arXiv 2206.08023"
    licence = "CC BY 4.0 on Zenodo, CC BY-NC-SA at OpenReview: the stricter one counts"
    download = "Zenodo record 7262581 (amos22.zip, 24 GB)"
    traps = (
        "The modality follows from the number only up to 600; other numbers are of the unlabelled releases.",
        "Orders of axes are mixed (LAS CT, coronal MR): images and label maps are turned by their headers.",
        "Names in dataset.json are misspelt (arota, postcava): structures go by number.",
        "Most MR scans hold neither bladder nor prostate or uterus.",
        "CT and MR are different patients: no synthetic shift is defined.",
    )
    modality_kinds = {"CT": "ct", "MR": "mr"}  # noqa: RUF012  (read as a literal)
    pairing_level = "unpaired"
    protocols = {  # noqa: RUF012
        "organs15": (
            "spleen", "right_kidney", "left_kidney", "gall_bladder", "esophagus", "liver", "stomach", "aorta",
            "postcava", "pancreas", "right_adrenal_gland", "left_adrenal_gland", "duodenum", "bladder",
            "prostate_uterus",
        ),
        "organs13": (
            "spleen", "right_kidney", "left_kidney", "gall_bladder", "esophagus", "liver", "stomach", "aorta",
            "postcava", "pancreas", "right_adrenal_gland", "left_adrenal_gland", "duodenum",
        ),
        "organs4": ("spleen", "right_kidney", "left_kidney", "liver"),
    }  # fmt: skip
    spacing_mm = (1.5, 1.5, 2.0)

    @property
    def values(self) -> Values:
        """1 to 15, by number."""
        return amos_values()

    def find(self) -> list[ScanFile]:
        """One case per scan. Raises `DataError` for a number that no modality is known of."""
        found = []
        for part in _PARTS:
            for image in sorted((self.root / f"images{part}").glob("amos_*.nii.gz")):
                match = _NAME.fullmatch(image.name)
                if match:
                    label = self.root / f"labels{part}" / image.name
                    modality = amos_modality(int(match[1]))
                    found.append(
                        ScanFile(image.name[:-7], modality, image, label if label.is_file() else None)
                    )
        return found
