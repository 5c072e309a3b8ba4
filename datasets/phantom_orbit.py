"""Orbits in three MR contrasts, half of the subjects with thyroid-associated orbitopathy; generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from parallax.case import Case, Modality, Pairing, Task
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

        names = list(orbit_values().structures)[:7]
        return Task(
            name=self.name,
            modalities=(Modality("T1", "mr"), Modality("T1c", "mr"), Modality("T2", "mr")),
            classes={name: i for i, name in enumerate(names, start=1)},
            pairing=Pairing.SAME_SUBJECT,
            spacing_mm=(1.625, 1.5, 1.375) if self._choice.size == "default" else (3.25, 2.25, 2.75),
            severity_mm=(0.0, 0.5, 1.0, 2.0, 4.0),
        )

    def case_ids(self) -> list[str]:
        """`orbit001` and on."""
        return [f"orbit{i + 1:03d}" for i in range(self._choice.cases)]

    def stage(self, case_ids: Sequence[str], folder: Path) -> None:
        """Generate these subjects; T1 and T1c are stored along RAS axes, T2 as a coronal stack."""
        import json

        from parallax.case import Volume
        from parallax.data.layouts import orbit_files, reorder_axes, write_scan, write_text
        from parallax.phantom.canvas import centred_grid
        from parallax.phantom.orbit import orbit_subject

        shape = (64, 48, 32) if self._choice.size == "default" else (32, 32, 16)
        grid = centred_grid(shape, self.task.spacing_mm)
        for case_id in case_ids:
            subject = orbit_subject(grid, self._choice.seed, int(self._subject(case_id)) - 1)
            label = Volume(subject.label, grid.affine)
            for modality, codes in (("T1", "RAS"), ("T1c", "RAS"), ("T2", "LSA")):
                image = reorder_axes(Volume(subject.images[modality], grid.affine), codes)
                files = orbit_files(folder, self._subject(case_id), modality)
                write_scan(files, image, reorder_axes(label, codes))
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
