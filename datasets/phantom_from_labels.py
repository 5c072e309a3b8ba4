"""CT and MR made from real label maps: the organs of patients, in a body and with images that are made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parallax.case import Case, Modality, Pairing, Task, Volume, one_voxel_mm
from parallax.data.dataset import Dataset
from parallax.data.volumes import read_label_map, read_volume, write_volume
from parallax.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from parallax.phantom.from_labels import Structure

OPTIONS = ("root", "pattern", "values", "structures", "seed", "spacing_mm", "native", "crop")
#: Largest label map that is rendered voxel by voxel (`native: true`).
MOST_VOXELS = 12_000_000


class PhantomFromLabels(Dataset):
    """One case per label map under `root`. Options are explained in docs/phantom-from-labels.md."""

    name = "phantom_from_labels"
    title = "Real abdominal organs, made images (CT, MR)"
    source = "images generated from label maps of the user's (default: AMOS 2022, Ji et al., NeurIPS 2022)"

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise _wrong(unknown[0], f"only {', '.join(OPTIONS)}", "unknown", nearest(unknown[0], OPTIONS))
        self.root = Path(str(options.get("root", ""))).expanduser()
        if "root" not in options or not self.root.is_dir():
            raise _wrong("root", "a folder of label maps", str(options.get("root", "none")))
        self.seed = options.get("seed", 0)
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise _wrong("seed", "a whole number from 0", repr(self.seed))
        self.spacing_mm = _spacing(options.get("spacing_mm", (2.0, 2.0, 4.0)))
        self.native, self.cut = (_flag(key, options.get(key, key == "crop")) for key in ("native", "crop"))

    @property
    def task(self) -> Task:
        """The scored structures, in the order of their values or of option `structures`."""
        held = {structure.name for structure in self._structures.values()}
        scored = self.options.get("structures") or [s.name for s in self._structures.values()]
        strange = [name for name in scored if name not in held]
        if strange:
            raise _wrong("structures", f"names among {', '.join(sorted(held))}", ", ".join(map(str, strange)))
        return Task(
            name=self.name,
            modalities=(Modality("CT", "ct", (-160.0, 240.0)), Modality("MR", "mr")),
            classes={name: i for i, name in enumerate(scored, start=1)},
            pairing=Pairing.SAME_SUBJECT,
            spacing_mm=self.spacing_mm,
            severity_mm=(0.0, 3.0, 6.0, 10.0, 20.0),
            # as for the other phantoms
            nsd_tolerance_mm=one_voxel_mm(scored, self.spacing_mm),
        )

    def case_ids(self) -> list[str]:
        """Names of the label maps without their endings."""
        return list(self._files)

    def inputs(self) -> list[Path]:
        """The label maps."""
        return list(self._files.values())

    def check(self) -> None:
        """Every label map is readable, holds known values only and something besides background."""
        for case_id in self._files:
            self._label(case_id)

    def stage(self, case_ids: Sequence[str], folder: Path) -> None:
        """Write `{labels,CT,MR}/<case>.nii.gz` and the draws, one case at a time.

        Label maps keep the values of the files; CT, MR and label map share one RAS grid.
        """
        import json

        from parallax.data.files import write_text
        from parallax.data.layouts import relabel
        from parallax.phantom.from_labels import labels_subject

        spacing = None if self.native else self.spacing_mm
        by_id = dict(enumerate(self._structures.values(), start=1))
        for case_id in case_ids:
            label = self._label(case_id)
            made = labels_subject(label, by_id, self.seed, case_id, spacing, self.cut)
            values = relabel(made.label, [0, *self._structures])
            write_volume(Volume(values, made.grid.affine), folder / "labels" / f"{case_id}.nii.gz")
            for modality, image in made.images.items():
                write_volume(Volume(image, made.grid.affine), folder / modality / f"{case_id}.nii.gz")
            write_text(json.dumps(dict(made.facts), indent=1), folder / "draws" / f"{case_id}.json")

    def read(self, case_id: str, folder: Path) -> Case:
        """CT and MR of one label map, which serves both."""
        classes = self.task.classes
        values = {value: classes.get(structure.name, 0) for value, structure in self._structures.items()}
        label = read_label_map(folder / "labels" / f"{case_id}.nii.gz", values)
        images = {m: read_volume(folder / m / f"{case_id}.nii.gz") for m in self.task.modality_names}
        return Case(case_id, images, dict.fromkeys(images, label))

    @cached_property
    def _files(self) -> dict[str, Path]:
        pattern = str(self.options.get("pattern", "*.nii*"))
        found = {
            re.sub(r"\.nii(\.gz)?$", "", path.name): path
            for path in sorted(self.root.glob(pattern))
            if path.name.endswith((".nii", ".nii.gz"))
        }
        if not found:
            raise DataError(
                "No label map was found",
                where=str(self.root),
                expected=f".nii or .nii.gz files that match {pattern}",
                found="none",
                remedy="point `root` at the folder that holds the label maps",
            )
        return found

    @cached_property
    def _structures(self) -> dict[int, Structure]:
        """Value in the files to structure, in ascending order of values."""
        from parallax.data.layouts import amos_values

        given = self.options.get("values")
        if given is None:
            given = {value: name for name, value in amos_values().structures.items()}
        if not isinstance(given, Mapping) or not given:
            raise _wrong("values", "value: structure", repr(given))
        held = {_value(value): _structure(value, entry) for value, entry in given.items()}
        names = [structure.name for structure in held.values()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise _wrong("values", "each structure once", ", ".join(twice))
        return dict(sorted(held.items()))

    def _label(self, case_id: str) -> Volume:
        path = self._files[case_id]
        ids = {value: i for i, value in enumerate(self._structures, start=1)}
        label = read_label_map(path, ids)
        if not label.array.any():
            raise DataError(
                "A label map is empty",
                where=str(path),
                expected="at least one labelled voxel",
                found="background only",
                remedy="leave it out, for instance by option `pattern`",
            )
        if self.native and label.array.size > MOST_VOXELS:
            raise DataError(
                "A label map is too large to be rendered voxel by voxel",
                where=str(path),
                expected=f"at most {MOST_VOXELS} voxels with `native: true`",
                found=f"{label.array.size} voxels",
                remedy="leave `native` out and give `spacing_mm`",
            )
        return label


def _structure(value: Any, entry: Any) -> Structure:
    """A structure that is known by name, or `{structure: name, tissue: name}`."""
    from parallax.phantom.from_labels import Structure, structure_tissues
    from parallax.phantom.tissues import tissue_table

    known = structure_tissues()
    if isinstance(entry, str):
        if entry not in known:
            raise _wrong(
                f"values.{value}",
                f"one of {', '.join(known)}, or {{structure: name, tissue: name}}",
                entry,
                nearest(entry, list(known)),
            )
        return Structure(entry, known[entry])
    if not isinstance(entry, Mapping) or set(entry) != {"structure", "tissue"}:
        raise _wrong(f"values.{value}", "a name, or {structure: name, tissue: name}", repr(entry))
    tissue = str(entry["tissue"])
    if tissue not in {*tissue_table(), *known.values()}:
        raise _wrong(f"values.{value}.tissue", f"one of {', '.join(sorted(tissue_table()))}", tissue)
    return Structure(str(entry["structure"]), tissue)


def _value(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 32767:
        raise _wrong("values", "whole numbers from 1 to 32767; 0 is background", repr(value))
    return value


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(key, "true or false", repr(value))
    return value


def _spacing(value: Any) -> tuple[float, float, float]:
    numbers = isinstance(value, list | tuple) and all(isinstance(v, int | float) for v in value)
    if not numbers or len(value) != 3 or min(value) <= 0:
        raise _wrong("spacing_mm", "three lengths in mm above 0", repr(value))
    return (float(value[0]), float(value[1]), float(value[2]))


def _wrong(key: str, expected: str, found: str, remedy: str | None = None) -> ConfigError:
    return ConfigError(
        "An option of dataset `phantom_from_labels` cannot be used",
        where=f"options.{key}",
        expected=expected,
        found=found,
        remedy=remedy or "correct the option; docs/phantom-from-labels.md explains each one",
    )
