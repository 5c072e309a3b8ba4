"""iSeg-2017 and iSeg-2019: brain tissue of six-month-old infants in T1 and T2."""

from __future__ import annotations

import re
from collections.abc import Mapping

from parallax.data.layouts import Values
from parallax.data.scans import ScanDataset, ScanFile, find_files

_NAME = re.compile(r"subject-(?P<number>\d+)-(?P<part>T1|T2)\.(hdr|nii|nii\.gz)")


class Iseg(ScanDataset):
    """`subject-1-{T1,T2,label}.hdr` beside `.img` in any folders; validation and test have no label maps."""

    name = "iseg"
    title = "iSeg 2017 / 2019 (T1, T2)"
    source = "Wang et al., IEEE TMI 2019 (iSeg-2017); Sun et al., IEEE TMI 2021 (iSeg-2019)"
    licence = "on registration with the organisers"
    download = "iSeg-2017 and iSeg-2019, iseg2017.web.unc.edu and iseg2019.web.unc.edu"
    traps = (
        "Values are 10 CSF, 150 grey and 250 white matter; copies with 1, 2, 3 are read alike, and counted.",
        "Analyze headers store no orientation: left and right follow a convention, do not rely on them.",
        "Both releases number their subjects from 1: point `root` at one of them.",
        "At six months grey and white matter look almost alike in T1 and in T2.",
    )
    modality_kinds = {"T1": "mr", "T2": "mr"}  # noqa: RUF012  (read as a literal)
    pairing_level = "registered"
    protocols = {"tissues": ("csf", "grey_matter", "white_matter")}  # noqa: RUF012
    spacing_mm = (1.0, 1.0, 1.0)
    nsd_tolerance_mm = 1.0  # every structure; one voxel of that frame in plane (our decision)
    allow_no_codes = True

    @property
    def values(self) -> Values:
        """10, 150 and 250, or 1, 2 and 3."""
        return Values({"csf": 10, "grey_matter": 150, "white_matter": 250}, {1: 10, 2: 150, 3: 250})

    def expected(self) -> Mapping[str, int]:
        """Ten labelled subjects in either release."""
        return {"T1": 10, "T2": 10}

    def find(self) -> list[ScanFile]:
        """One case per subject: `subject-1`, ..."""
        found = []
        for image in find_files(self.root, "subject-*"):
            match = _NAME.fullmatch(image.name)
            if match:
                label = image.with_name(image.name.replace(f"-{match['part']}.", "-label."))
                held = label if label.is_file() else None
                found.append(ScanFile(f"subject-{match['number']}", match["part"], image, held))
        return sorted(found, key=lambda scan: (int(scan.case[8:]), scan.modality))
