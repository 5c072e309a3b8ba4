"""Orbits in T1, T1 with contrast medium and T2, in a layout after BIDS that a hospital can fill."""

from __future__ import annotations

import re
from collections.abc import Mapping

from parallax.data.layouts import Values, orbit_values
from parallax.data.scans import ScanDataset, ScanFile, find_files

_NAME = re.compile(
    r"(?P<case>(?P<patient>sub-[A-Za-z0-9]+)(_ses-[A-Za-z0-9]+)?)_(?P<contrast>ce-[A-Za-z0-9]+_)?"
    r"(?P<part>T1w|T2w)\.nii(\.gz)?"
)


class Orbit(ScanDataset):
    """`sub-001/[ses-01/]anat/sub-001_[ses-01_][ce-gd_]{T1w,T2w}.nii.gz`; docs/datasets.md shows a tree."""

    name = "orbit"
    title = "Orbital MR (T1, T1c, T2)"
    source = "a hospital's own scans; the layout follows BIDS (Gorgolewski et al., Scientific Data 2016)"
    licence = "the hospital's"
    download = "none: scans of thyroid eye disease with these three contrasts are not public"
    traps = (
        "Contrast-enhanced T1 is told by a `ce-` part in its name: without it two T1 images collide.",
        "Two sessions of one patient are two cases; splits keep them on one side.",
        "Left and right structures share one value.",
    )
    modality_kinds = {"T1": "mr", "T1c": "mr", "T2": "mr"}  # noqa: RUF012  (read as a literal)
    pairing_level = "same_subject"
    protocols = {  # noqa: RUF012
        "seven": (
            "globe", "optic_nerve", "superior_rectus", "inferior_rectus", "medial_rectus", "lateral_rectus",
            "lacrimal_gland",
        ),
        "muscles": ("superior_rectus", "inferior_rectus", "medial_rectus", "lateral_rectus"),
    }  # fmt: skip
    spacing_mm = (1.0, 1.0, 1.0)
    nsd_tolerance_mm = 1.0  # every structure; one voxel of that frame in plane (our decision)

    @property
    def values(self) -> Values:
        """1 to 7, as the orbit phantom writes them."""
        return orbit_values()

    def patients(self) -> Mapping[str, str]:
        """Sessions of one patient belong together."""
        return {case: case.split("_")[0] for case in self.case_ids()}

    def find(self) -> list[ScanFile]:
        """One case per session: `sub-001` or `sub-001_ses-01`."""
        found = []
        for image in find_files(self.root, "anat/*"):
            match, place = _NAME.fullmatch(image.name), image.relative_to(self.root)
            if match and place.parts[0] == match["patient"]:  # not what other tools put under derivatives
                modality = "T2" if match["part"] == "T2w" else "T1c" if match["contrast"] else "T1"
                name = image.name.replace(".nii", "_dseg.nii")
                label = self.root / "derivatives" / "labels" / place.with_name(name)
                held = label if label.is_file() else None
                found.append(ScanFile(match["case"], modality, image, held))
        return found
