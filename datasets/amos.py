"""AMOS 2022 and the set that CMC derived from it: abdominal CT and MR of different patients."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from parallax.data.layouts import Values, amos_modality, amos_values
from parallax.data.scans import ScanDataset, ScanFile, find_files

_NAME = re.compile(r"amos_(\d+)\.nii\.gz")
_PARTS = ("Tr", "Va", "Ts")
_CMC_NAME = re.compile(r"(amos_\d+)_(CT|MRI)\.nii\.gz")
_CMC_PARTS = ("train", "val", "test")


class Amos(ScanDataset):
    """`images{Tr,Va,Ts}/amos_0001.nii.gz` with `labels..`; CT up to number 499, MR from 501 to 600.

    CMC's set: `{train,val,test}_data/images/amos_0001_{CT,MRI}.nii.gz` with `masks/.._gt.nii.gz`. The two
    scans of one number there are of different patients, so each scan is a case here.
    """

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
        "CMC's set pairs them by number all the same (spleens of 128 and 198 mL in its case 0001).",
        "CMC's set has no bladder and no prostate or uterus: choose organs13 or organs4.",
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
    nsd_tolerance_mm = 1.5  # every structure; one voxel of that frame in plane (our decision)

    @property
    def values(self) -> Values:
        """1 to 15, by number."""
        return amos_values()

    def expected(self) -> Mapping[str, int]:
        """Tr and Va of the challenge; 40 + 10 + 10 scans of each kind in CMC's set."""
        return {"CT": 60, "MR": 60} if self._cmc else {"CT": 300, "MR": 60}

    def find(self) -> list[ScanFile]:
        """One case per scan. Raises `DataError` for a number that no modality is known of."""
        return self._find_cmc() if self._cmc else self._find_challenge()

    @property
    def _cmc(self) -> bool:
        return any((self.root / f"{part}_data").is_dir() for part in _CMC_PARTS)

    def _find_challenge(self) -> list[ScanFile]:
        found = []
        for part in _PARTS:
            for image in find_files(self.root / f"images{part}", "amos_*.nii.gz"):
                match = _NAME.fullmatch(image.name)
                if match:
                    label = self.root / f"labels{part}" / image.name
                    found.append(_scan(image.name[:-7], amos_modality(int(match[1])), image, label))
        return found

    def _find_cmc(self) -> list[ScanFile]:
        found = []
        for part in _CMC_PARTS:
            for image in find_files(self.root / f"{part}_data" / "images", "amos_*.nii.gz"):
                match = _CMC_NAME.fullmatch(image.name)
                if match:
                    label = image.parent.with_name("masks") / f"{match[1]}_{match[2]}_gt.nii.gz"
                    found.append(_scan(f"{match[1]}_{match[2]}", match[2][:2], image, label))
        return found


def _scan(case: str, modality: str, image: Path, label: Path) -> ScanFile:
    return ScanFile(case, modality, image, label if label.is_file() else None)
