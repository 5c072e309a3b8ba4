"""File layouts of the known data sets, shared by phantoms (which write them) and real folders."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.case import Volume
from parallax.data.files import write_text
from parallax.data.volumes import check_same_grid, read_label_map, read_volume, write_volume
from parallax.errors import DataError


@dataclass(frozen=True)
class Scan:
    """One image and its label map (None where the layout holds none)."""

    image: Volume
    label: Volume | None


@dataclass(frozen=True)
class Values:
    """Label values of a layout.

    Attributes:
        structures: structure name to the value in the file.
        aliases: stray value to the value that it means.
        merged: name of a region to the structures that it joins.
    """

    structures: Mapping[str, int]
    aliases: Mapping[int, int]
    merged: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def to_ids(self, classes: Mapping[str, int]) -> dict[int, int]:
        """Value in the file to id in the task; structures that the task leaves out become background."""
        regions = {name: classes[r] for r, names in self.merged.items() if r in classes for name in names}
        table = {value: classes.get(name, regions.get(name, 0)) for name, value in self.structures.items()}
        return table | {stray: table[meant] for stray, meant in self.aliases.items()}


def mmwhs_values() -> Values:
    """MM-WHS 2017; value 421 is a stray left atrium in one released case."""
    structures = {
        "myocardium": 205,
        "left_atrium": 420,
        "left_ventricle": 500,
        "right_atrium": 550,
        "right_ventricle": 600,
        "ascending_aorta": 820,
        "pulmonary_artery": 850,
    }
    return Values(structures, {421: 420})


def amos_values() -> Values:
    """AMOS 2022, by number: the names in its `dataset.json` hold misspellings."""
    names = (
        "spleen",
        "right_kidney",
        "left_kidney",
        "gall_bladder",
        "esophagus",
        "liver",
        "stomach",
        "aorta",
        "postcava",
        "pancreas",
        "right_adrenal_gland",
        "left_adrenal_gland",
        "duodenum",
        "bladder",
        "prostate_uterus",
    )
    return Values({name: value for value, name in enumerate(names, start=1)}, {})


def orbit_values() -> Values:
    """The embedded orbit phantom; both sides share a value."""
    names = (
        "globe",
        "optic_nerve",
        "superior_rectus",
        "inferior_rectus",
        "medial_rectus",
        "lateral_rectus",
        "lacrimal_gland",
        "superior_oblique",
        "orbital_fat",
    )
    return Values({name: value for value, name in enumerate(names, start=1)}, {})


def mmwhs_files(folder: Path, modality: str, number: int) -> tuple[Path, Path]:
    """Image and label file of a training case: `ct_train/ct_train_1001_{image,label}.nii.gz`."""
    part = f"{modality.lower()}_train"
    stem = folder / part / f"{part}_{number}"
    return stem.with_name(f"{stem.name}_image.nii.gz"), stem.with_name(f"{stem.name}_label.nii.gz")


def amos_files(folder: Path, number: int) -> tuple[Path, Path]:
    """Image and label file of a training case: `{imagesTr,labelsTr}/amos_0001.nii.gz`."""
    name = f"amos_{number:04d}.nii.gz"
    return folder / "imagesTr" / name, folder / "labelsTr" / name


def amos_modality(number: int) -> str:
    """CT for 1..499, MR for 501..600; other numbers are not part of the labelled release.

    Raises:
        DataError: 500 (ambiguous in the released table) or a number of the unlabelled releases.
    """
    if 1 <= number < 500:
        return "CT"
    if 500 < number <= 600:
        return "MR"
    raise DataError(
        "An AMOS case has a number without a modality",
        where=f"amos_{number:04d}",
        expected="1 to 499 (CT) or 501 to 600 (MR)",
        found=str(number),
        remedy="leave this case out",
    )


def orbit_files(folder: Path, subject: str, modality: str) -> tuple[Path, Path]:
    """Image and label file in BIDS style: `sub-001/anat/sub-001_T1w.nii.gz` and `derivatives/labels/...`."""
    suffix = {"T1": "T1w", "T1c": "ce-gadolinium_T1w", "T2": "T2w"}[modality]
    stem = f"sub-{subject}_{suffix}"
    anat = Path(f"sub-{subject}") / "anat"
    return folder / anat / f"{stem}.nii.gz", folder / "derivatives" / "labels" / anat / f"{stem}_dseg.nii.gz"


def read_scan(image: Path, label: Path, values: Values, classes: Mapping[str, int]) -> Scan:
    """Read an image and, where the file exists, its label map with the ids of the task.

    Raises:
        DataError: the image is absent, or a label value is unknown to the layout.
        GeometryError: the two files do not share a grid.
    """
    volume = read_volume(image)
    if not label.exists():
        return Scan(volume, None)
    labels = read_label_map(label, values.to_ids(classes))
    check_same_grid(volume, labels, where=f"{image} and {label}")
    return Scan(volume, labels)


def write_scan(files: tuple[Path, Path], image: Volume, label: Volume) -> None:
    """Write an image and its label map; label values are those of the layout."""
    write_volume(image, files[0])
    write_volume(label, files[1])


def reorder_axes(volume: Volume, codes: str) -> Volume:
    """The same voxels stored along other axes, for instance `LAS`; world positions do not change.

    Args:
        volume: any orientation.
        codes: the direction in which each voxel axis shall grow.
    """
    from nibabel import orientations as module

    orientations: Any = module  # nibabel leaves these functions untyped
    start = orientations.io_orientation(volume.affine)
    turn = orientations.ornt_transform(start, orientations.axcodes2ornt(tuple(codes)))
    array = np.ascontiguousarray(orientations.apply_orientation(volume.array, turn))
    affine = volume.affine @ orientations.inv_ornt_aff(turn, volume.array.shape)
    return Volume(array, np.asarray(affine, dtype=np.float64))


def relabel(label: NDArray[np.uint8], table: Sequence[int]) -> NDArray[np.int16]:
    """Ids 0..n to the values of a layout; `table[id]` is the value."""
    return np.asarray(table, dtype=np.int16)[label]


def write_pairs(rows: Mapping[str, Mapping[str, str]], path: Path) -> None:
    """Which scans belong to one subject: a CSV with the columns `subject` and one per modality."""
    columns = list(next(iter(rows.values())))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["subject", *columns])
    writer.writerows([subject, *(scans[c] for c in columns)] for subject, scans in rows.items())
    write_text(text.getvalue(), path)


def read_pairs(path: Path) -> dict[str, dict[str, str]]:
    """Inverse of `write_pairs`.

    Raises:
        DataError: the file is absent or has no column `subject`.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        return {row.pop("subject"): row for row in rows}
    except (OSError, KeyError) as error:
        raise DataError(
            "The table that pairs scans of one subject cannot be read",
            where=str(path),
            expected="a CSV file with the columns subject and one per modality",
            found=f"{type(error).__name__}: {error}",
            remedy="stage the data set again, or write the table",
        ) from error
