"""Hearts in CT and MR with seven structures, in the layout of MM-WHS; made, not measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parallax.case import Case, Modality, Pairing, Task, one_voxel_mm
from parallax.data.dataset import Dataset


class PhantomHeart(Dataset):
    """CT angiography (opacified, washed out or unenhanced) and bSSFP MR of the same subjects."""

    name = "phantom_heart"
    title = "Heart phantom (CT, MR)"
    source = (
        "generated; stands for MM-WHS 2017 (Zhuang and Shen, Medical Image Analysis 2016), CT and MR paired"
    )

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        from parallax.phantom.options import phantom_options

        self._choice = phantom_options(self.name, options, most=999)

    @property
    def task(self) -> Task:
        """Seven structures; values 205 to 850 of the files become 1 to 7."""
        from parallax.data.layouts import mmwhs_values
        from parallax.phantom.sampling import heart_size

        names = mmwhs_values().structures
        frame_mm = heart_size(self._choice.size).frame_mm
        return Task(
            name=self.name,
            modalities=(Modality("CT", "ct", (-150.0, 450.0)), Modality("MR", "mr")),
            classes={name: i for i, name in enumerate(names, start=1)},
            pairing=Pairing.SAME_SUBJECT,
            spacing_mm=frame_mm,
            severity_mm=(0.0, 2.0, 4.0, 7.0, 12.0),
            # phantoms come at several sizes, and none is finer than its voxels
            nsd_tolerance_mm=one_voxel_mm(names, frame_mm),
        )

    def case_ids(self) -> list[str]:
        """`heart1001` and on."""
        return [f"heart{1001 + i}" for i in range(self._choice.cases)]

    def stage(self, case_ids: Sequence[str], folder: Path) -> None:
        """Generate these subjects; CT is stored along LAS axes, MR along RAS."""
        import json

        from parallax.case import Volume
        from parallax.data.files import write_text
        from parallax.data.layouts import mmwhs_files, mmwhs_values, relabel, write_scan
        from parallax.phantom.heart import heart_subject
        from parallax.phantom.sampling import heart_size, scan_subject

        size = heart_size(self._choice.size)
        values = [0, *mmwhs_values().structures.values()]
        for case_id in case_ids:
            number = self._number(case_id)
            subject = scan_subject(heart_subject, size, self._choice.seed, number - 1001)
            for modality, (image, label) in subject.scans.items():
                coded = Volume(relabel(label.array, values), label.affine)
                write_scan(mmwhs_files(folder, modality, number), image, coded)
            write_text(json.dumps(dict(subject.facts), indent=1), folder / "draws" / f"{case_id}.json")

    def read(self, case_id: str, folder: Path) -> Case:
        """Both modalities of one subject."""
        from parallax.data.layouts import mmwhs_files, mmwhs_values, read_scan

        number, classes = self._number(case_id), self.task.classes
        scans = {m: read_scan(*mmwhs_files(folder, m, number), mmwhs_values(), classes) for m in ("CT", "MR")}
        labels = {m: scan.label for m, scan in scans.items() if scan.label is not None}
        return Case(case_id, {m: scan.image for m, scan in scans.items()}, labels)

    @staticmethod
    def _number(case_id: str) -> int:
        return int(case_id.removeprefix("heart"))
