"""Abdomens in CT and MR with eight scored organs, in the layout of AMOS; made, not measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parallax.case import Case, Modality, Pairing, Task, one_voxel_mm
from parallax.data.dataset import Dataset


class PhantomAbdomen(Dataset):
    """CT (plain, arterial or portal phase) and fat-suppressed T2 MR of the same subjects."""

    name = "phantom_abdomen"
    title = "Abdomen phantom (CT, MR)"
    source = "generated; stands for AMOS 2022 (Ji et al., NeurIPS 2022), CT and MR paired"

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        from parallax.phantom.options import phantom_options

        self._choice = phantom_options(self.name, options, most=99)

    @property
    def task(self) -> Task:
        """The organs that are large enough for coarse voxels.

        The files hold gall bladder, esophagus, adrenal glands and duodenum, too; bladder and prostate lie
        outside the field of view, as in most MR scans of AMOS.
        """
        from parallax.phantom.sampling import abdomen_size

        organs = (
            "spleen",
            "right_kidney",
            "left_kidney",
            "liver",
            "stomach",
            "aorta",
            "postcava",
            "pancreas",
        )
        frame_mm = abdomen_size(self._choice.size).frame_mm
        return Task(
            name=self.name,
            modalities=(Modality("CT", "ct", (-160.0, 240.0)), Modality("MR", "mr")),
            classes={organ: i for i, organ in enumerate(organs, start=1)},
            pairing=Pairing.SAME_SUBJECT,
            spacing_mm=frame_mm,
            severity_mm=(0.0, 3.0, 6.0, 10.0, 20.0),
            # phantoms come at several sizes, and none is finer than its voxels
            nsd_tolerance_mm=one_voxel_mm(organs, frame_mm),
        )

    def case_ids(self) -> list[str]:
        """`abdomen0001` and on."""
        return [f"abdomen{i + 1:04d}" for i in range(self._choice.cases)]

    def stage(self, case_ids: Sequence[str], folder: Path) -> None:
        """Generate these subjects; CT n is `amos_000n` along LAS axes, MR n `amos_050n` along RAS.

        `dataset.json` and `pairs.csv` describe the whole data set and are the same whoever is staged.
        """
        import json

        from parallax.data.files import write_text
        from parallax.data.layouts import amos_files, amos_values, write_pairs, write_scan
        from parallax.phantom.abdomen import abdomen_subject
        from parallax.phantom.sampling import abdomen_size, scan_subject

        pairs = {case_id: self._scans(case_id) for case_id in self.case_ids()}
        write_pairs(pairs, folder / "pairs.csv")
        labels = {"0": "background"} | {str(v): name for name, v in amos_values().structures.items()}
        index = {"name": self.name, "labels": labels, "numTraining": 2 * len(pairs), "file_ending": ".nii.gz"}
        write_text(json.dumps(index, indent=1), folder / "dataset.json")
        for case_id in case_ids:
            number = self._number(case_id) - 1
            # as in AMOS, every third MR is a coronal stack where slices are thick
            size = abdomen_size(self._choice.size, coronal=number % 3 == 2)
            subject = scan_subject(abdomen_subject, size, self._choice.seed, number)
            for modality, (image, label) in subject.scans.items():
                files = amos_files(folder, int(pairs[case_id][modality].removeprefix("amos_")))
                write_scan(files, image, label)
            write_text(json.dumps(dict(subject.facts), indent=1), folder / "draws" / f"{case_id}.json")

    def read(self, case_id: str, folder: Path) -> Case:
        """Both modalities of one subject, paired by `pairs.csv`."""
        from parallax.data.layouts import amos_files, amos_modality, amos_values, read_pairs, read_scan

        images, labels, classes = {}, {}, self.task.classes
        for scan_id in read_pairs(folder / "pairs.csv")[case_id].values():
            number = int(scan_id.removeprefix("amos_"))
            scan = read_scan(*amos_files(folder, number), amos_values(), classes)
            images[amos_modality(number)] = scan.image
            if scan.label is not None:
                labels[amos_modality(number)] = scan.label
        return Case(case_id, images, labels)

    def _scans(self, case_id: str) -> dict[str, str]:
        number = self._number(case_id)
        return {"CT": f"amos_{number:04d}", "MR": f"amos_{500 + number:04d}"}

    @staticmethod
    def _number(case_id: str) -> int:
        return int(case_id.removeprefix("abdomen"))
