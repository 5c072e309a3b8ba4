"""Orbits in three MR contrasts, half of the subjects with thyroid-associated orbitopathy; generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parallax.case import Case, Modality, Pairing, Task, one_voxel_mm
from parallax.data.dataset import Dataset


class PhantomOrbit(Dataset):
    """T1, fat-suppressed T1 after gadolinium (T1c) and fat-suppressed T2 of the same subjects."""

    name = "phantom_orbit"
    title = "Orbit phantom (T1, T1c, T2)"
    source = (
        "generated; stands for orbital MR in thyroid eye disease (TOM500, Scientific Data 2025, has T2 alone)"
    )

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        from parallax.phantom.options import phantom_options

        self._choice = phantom_options(self.name, options, most=999)

    @property
    def task(self) -> Task:
        """Globe, optic nerve with its sheath, four recti and lacrimal gland; both sides share a label.

        The files hold the superior oblique and the orbital fat, too: the one is too thin for these voxels,
        the other is most of what the learned structures leave.
        """
        from parallax.data.layouts import orbit_values
        from parallax.phantom.sampling import orbit_size

        names = list(orbit_values().structures)[:7]
        frame_mm = orbit_size(self._choice.size).frame_mm
        return Task(
            name=self.name,
            modalities=(Modality("T1", "mr"), Modality("T1c", "mr"), Modality("T2", "mr")),
            classes={name: i for i, name in enumerate(names, start=1)},
            pairing=Pairing.SAME_SUBJECT,
            spacing_mm=frame_mm,
            severity_mm=(0.0, 0.5, 1.0, 2.0, 4.0),
            # phantoms come at several sizes, and none is finer than its voxels
            nsd_tolerance_mm=one_voxel_mm(names, frame_mm),
        )

    def case_ids(self) -> list[str]:
        """`orbit001` and on."""
        return [f"orbit{i + 1:03d}" for i in range(self._choice.cases)]

    def stage(self, case_ids: Sequence[str], folder: Path) -> None:
        """Generate these subjects; T1 and T1c are stored along RAS axes, T2 as a coronal stack."""
        import json

        from parallax.data.files import write_text
        from parallax.data.layouts import orbit_files, write_scan
        from parallax.phantom.orbit import orbit_subject
        from parallax.phantom.sampling import orbit_size, scan_subject

        size = orbit_size(self._choice.size)
        for case_id in case_ids:
            subject = scan_subject(orbit_subject, size, self._choice.seed, int(self._subject(case_id)) - 1)
            for modality, (image, label) in subject.scans.items():
                write_scan(orbit_files(folder, self._subject(case_id), modality), image, label)
            write_text(json.dumps(dict(subject.facts), indent=1), folder / "draws" / f"{case_id}.json")

    def read(self, case_id: str, folder: Path) -> Case:
        """All three contrasts of one subject."""
        from parallax.data.layouts import orbit_files, orbit_values, read_scan

        images, labels, classes = {}, {}, self.task.classes
        for modality in self.task.modality_names:
            files = orbit_files(folder, self._subject(case_id), modality)
            scan = read_scan(*files, orbit_values(), classes)
            images[modality] = scan.image
            if scan.label is not None:
                labels[modality] = scan.label
        return Case(case_id, images, labels)

    @staticmethod
    def _subject(case_id: str) -> str:
        return case_id.removeprefix("orbit")
