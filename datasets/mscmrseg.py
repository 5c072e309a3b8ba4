"""MS-CMRSeg 2019: the left and right ventricle of one patient in three cardiac MR sequences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from parallax.data.layouts import Values
from parallax.data.scans import ScanDataset, ScanFile, find_files
from parallax.errors import DataError

_NAME = re.compile(r"(patient|subject)(?P<number>\d+)_(?P<part>C0|T2|LGE|DE)(?P<label>_manual)?\.nii(\.gz)?")


class Mscmrseg(ScanDataset):
    """`patient1_{C0,T2,LGE}.nii.gz` with `.._manual.nii.gz`, or `subject1_{C0,T2,DE}`, in any folders."""

    name = "mscmrseg"
    title = "MS-CMRSeg 2019 (LGE, bSSFP, T2)"
    source = (
        "Zhuang, IEEE TPAMI 2019 (Multivariate mixture model); Zhuang et al., Medical Image Analysis 2022 "
        "(challenge)"
    )
    licence = "on registration; no licence text was found with the files"
    download = "MS-CMRSeg 2019, zmiclab.github.io/zxh/0/mscmrseg19"
    traps = (
        "Images and label maps may hold NaN: they become 0, and every case is counted.",
        "Values: 200 myocardium, 500 left ventricle, 600 right ventricle; one public loader mixes them up.",
        "Copies with values 0 to 3 (CycleMix) are refused: their order is another one.",
        "LGE label maps of patients 6 to 45 and C0 and T2 ones of 36 to 45 came in a second archive.",
        "Sequences of a patient differ in slice positions and numbers: they share no grid.",
        "Images carry a qform, label maps an sform: the two are compared with a tolerance.",
    )
    modality_kinds = {"LGE": "mr", "C0": "mr", "T2": "mr"}  # noqa: RUF012  (read as a literal)
    pairing_level = "same_subject"
    protocols = {"ventricles": ("myocardium", "left_ventricle", "right_ventricle")}  # noqa: RUF012
    spacing_mm = (1.25, 1.25, 5.0)
    nsd_tolerance_mm = 1.25  # every structure; one voxel of that frame in plane (our decision)
    nan_fill = 0.0

    @property
    def values(self) -> Values:
        """200, 500 and 600."""
        return Values({"myocardium": 200, "left_ventricle": 500, "right_ventricle": 600}, {})

    def expected(self) -> Mapping[str, int]:
        """45 patients with both archives; the folder of late LGE label maps is named for 35 of its 40."""
        return {"LGE": 40, "C0": 45, "T2": 45}

    def find(self) -> list[ScanFile]:
        """One case per patient: `patient1`, ...; label maps are found by name, wherever they lie."""
        files = [
            (path, match) for path in find_files(self.root, "*") if (match := _NAME.fullmatch(path.name))
        ]
        labels: dict[tuple[int, str], Path] = {}
        for path, match in files:
            key = (int(match["number"]), match["part"].replace("DE", "LGE"))
            if match["label"] and labels.setdefault(key, path) != path:
                raise _twice(labels[key], path)
        found = []
        for path, match in files:
            key = (int(match["number"]), match["part"].replace("DE", "LGE"))
            if not match["label"]:
                found.append(ScanFile(f"patient{key[0]}", key[1], path, labels.get(key)))
        return sorted(
            found, key=lambda scan: (int(scan.case[7:]), list(self.modality_kinds).index(scan.modality))
        )


def _twice(first: Path, second: Path) -> DataError:
    return DataError(
        "A label map was found twice",
        where=str(second),
        expected="one label map per patient and sequence",
        found=str(first),
        remedy="point `root` at one release, or take one of the files away",
    )
