"""From a loaded image and label map to what a run uses, with every change named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from parallax.case import Repair, Volume
from parallax.data.components import beside_largest
from parallax.data.header import forms_of
from parallax.data.volumes import as_image, as_label_map, check_same_grid

_AFFINE_TOLERANCE = 1e-3  # headers that differ by less are the same number written twice


@dataclass(frozen=True)
class Rules:
    """What a dataset declares about its files.

    Attributes:
        table: value in a label map to id.
        names: id to structure, for what is reported.
        aliases: stray value to the value that it is read as.
        nan_fill: what replaces voxels that are not finite; None refuses them.
        largest_component: keep only the largest connected component of each structure.
    """

    table: Mapping[int, int]
    names: Mapping[int, str] = field(default_factory=dict)
    aliases: Mapping[int, int] = field(default_factory=dict)
    nan_fill: float | None = None
    largest_component: bool = False


class Note(NamedTuple):
    """What is odd about a header, in one clause, and the size of it where it has one."""

    what: str
    detail: str = ""


@dataclass(frozen=True)
class Loaded:
    """A file as it is stored: where it lies, its volume, and what is odd about its header."""

    path: Path
    volume: Volume
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class ReadScan:
    """A scan as a run uses it; the label map lies on the affine of the image."""

    image: Volume
    label: Volume | None
    repairs: tuple[Repair, ...]


def finish_scan(modality: str, image: Loaded, label: Loaded | None, rules: Rules) -> ReadScan:
    """Check an image and its label map, and repair what the rules say may be repaired.

    Raises:
        DataError: values that are not finite or not known.
        GeometryError: the label map does not lie on the grid of the image.
    """
    filled, found = _filled(image, rules.nan_fill, modality, "image")
    ready = as_image(filled, image.path)
    found += _of_notes(modality, "image", image)
    found += _axes_repair(ready, modality)
    if label is None:
        return ReadScan(ready, None, tuple(found))
    mapped, more = finish_label(modality, label, rules)
    check_same_grid(ready, mapped, f"{image.path} and {label.path}")
    if np.abs(ready.affine - mapped.affine).max() > _AFFINE_TOLERANCE:
        text = "image and label map headers differ within tolerance, the image's is used"
        more.append(Repair(modality, text))
    return ReadScan(ready, Volume(mapped.array, ready.affine), (*found, *more))


def finish_label(modality: str, label: Loaded, rules: Rules) -> tuple[Volume, list[Repair]]:
    """Ids of the task for a label map, and what was repaired."""
    filled, found = _filled(label, rules.nan_fill, modality, "label map")
    found += _of_notes(modality, "label map", label)
    if filled.array.dtype.kind == "f":
        found.append(Repair(modality, "label map: stored as floats, read as integers"))
    for stray, meant in rules.aliases.items():
        n = int(np.count_nonzero(filled.array == stray))
        if n:
            text = f"label map: value {stray} is read as {meant}"
            found.append(Repair(modality, text, f"{n} voxels"))
    mapped = as_label_map(filled, rules.table, label.path)
    if rules.largest_component:
        mapped, dropped = keep_largest(mapped, rules.names)
        text = "label map: all but the largest connected component dropped"
        found += [Repair(modality, text, detail) for detail in dropped]
    return mapped, found


def keep_largest(label: Volume, names: Mapping[int, str]) -> tuple[Volume, list[str]]:
    """Keep the largest connected component (26 neighbours) of each structure; say what was dropped."""
    from scipy import ndimage

    array, dropped = label.array, []
    for value, box in enumerate(ndimage.find_objects(label.array), start=1):
        if box is None:
            continue
        lost, n = beside_largest(label.array[box] == value)
        if n > 1:
            array = array.copy() if array is label.array else array
            array[box][lost] = 0
            ml = float(lost.sum()) * float(np.prod(label.spacing_mm)) / 1000
            name = names.get(value, str(value))
            dropped.append(f"{name}: {n - 1} pieces, {int(lost.sum())} voxels, {ml:.3g} mL")
    return Volume(array, label.affine), dropped


def header_notes(path: Path) -> tuple[Note, ...]:
    """What a header leaves open or says twice, one clause each."""
    import nibabel
    from nibabel.affines import voxel_sizes

    if not path.name.endswith((".nii", ".nii.gz", ".hdr", ".img")):
        return ()
    header: Any = nibabel.load(path).header
    if not hasattr(header, "get_qform"):
        return (Note("Analyze header, which stores no orientation: its convention is used"),)
    forms, sform, qform = forms_of(header), int(header["sform_code"]), int(header["qform_code"])
    found = []
    if forms:
        if not np.abs(forms[0] - forms[1]).max() <= _AFFINE_TOLERANCE:  # NaN is no agreement
            found.append(Note("sform and qform disagree, sform is used", _apart(*forms, header)))
    elif sform and np.abs(header.get_zooms()[:3] - voxel_sizes(header.get_sform())).max() > _AFFINE_TOLERANCE:
        found.append(Note("pixdim and sform disagree, sform is used"))
    elif qform:
        found.append(Note("no sform, qform is used"))
    elif not sform:
        found.append(Note("neither sform nor qform, position and orientation are a guess"))
    matrix = header.get_best_affine()[:3, :3]
    directions = matrix / np.linalg.norm(matrix, axis=0)
    if np.abs(directions.T @ directions - np.eye(3)).max() > _AFFINE_TOLERANCE:
        found.append(Note("axes are not orthogonal"))
    return tuple(found)


def odd_headers(paths: Iterable[Path]) -> dict[str, tuple[int, str]]:
    """What is odd about the headers of files: the clause to the number of files and the first of them."""
    found: dict[str, list[str]] = {}
    for path in paths:
        for note in header_notes(path):
            found.setdefault(note.what, []).append(f"{path}{f' ({note.detail})' if note.detail else ''}")
    return {what: (len(named), named[0]) for what, named in found.items()}


def _apart(sform: NDArray[np.float64], qform: NDArray[np.float64], header: Any) -> str:
    """How far the two forms set the farthest corner of a volume apart."""
    if not np.isfinite(qform).all():
        return "the quaternion of the qform is no rotation"
    shape = (*header.get_data_shape(), 1, 1, 1)[:3]
    corners = np.array([[*corner, 1] for corner in product(*((0, n - 1) for n in shape))])
    apart_mm = np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max()
    return f"a corner up to {apart_mm:.3g} mm apart"


def _of_notes(modality: str, kind: str, loaded: Loaded) -> list[Repair]:
    return [
        Repair(modality, f"{kind}: {note.what}", ", ".join(filter(None, (note.detail, loaded.path.name))))
        for note in loaded.notes
    ]


def _axes_repair(image: Volume, modality: str) -> list[Repair]:
    import nibabel

    codes: Any = nibabel.aff2axcodes(image.affine)
    axes = "".join(codes)
    return [] if axes == "RAS" else [Repair(modality, f"axes {axes} are turned to RAS")]


def _filled(loaded: Loaded, value: float | None, modality: str, kind: str) -> tuple[Volume, list[Repair]]:
    array = loaded.volume.array
    if value is None or array.dtype.kind != "f":
        return loaded.volume, []
    bad = ~np.isfinite(array)
    n = int(np.count_nonzero(bad))
    if not n:
        return loaded.volume, []
    repair = Repair(modality, f"{kind}: values that are not finite become {value:g}", f"{n} voxels")
    return Volume(np.where(bad, np.asarray(value, array.dtype), array), loaded.volume.affine), [repair]
