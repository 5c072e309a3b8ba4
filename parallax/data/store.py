"""The folders of a run: prepared cases, misaligned cases with arrays, training views, test views."""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.case import Case, Grid, Sample, Task, TestView, TrainView, Volume
from parallax.data.files import read_json, replacing, write_json
from parallax.data.frame import CommonCase, to_common
from parallax.data.seal import fresh_folder
from parallax.data.volumes import check_same_grid, read_label_map, read_volume, write_volume
from parallax.errors import DataError


@dataclass(frozen=True)
class Part:
    """A prepared or misaligned folder: the task, whether frames are cropped, and what each case holds."""

    folder: Path
    task: Task
    crop: bool
    cases: Mapping[str, Mapping[str, list[str]]]

    def image(self, case_id: str, modality: str) -> Path:
        """The file of an image."""
        return _volume_path(self.folder, "images", case_id, modality)

    def label_map(self, case_id: str, modality: str) -> Path:
        """The file of a label map."""
        return _volume_path(self.folder, "labels", case_id, modality)


def grid_to_json(grid: Grid) -> dict[str, Any]:
    """A grid as plain values; floats keep every bit."""
    return {"shape": list(grid.shape), "affine": np.asarray(grid.affine, dtype=np.float64).tolist()}


def grid_from_json(values: Mapping[str, Any]) -> Grid:
    """Inverse of `grid_to_json`."""
    x, y, z = (int(n) for n in values["shape"])
    return Grid((x, y, z), np.array(values["affine"], dtype=np.float64))


def check_case(case: Case, task: Task) -> None:
    """Raise `DataError` unless each label map lies on the grid of its image and holds ids of the task."""
    for name, label in case.labels.items():
        where = f"case {case.id}, {name}"
        check_same_grid(case.images[name], label, f"{where}: image (expected) and label map (found)")
        extra = sorted(set(np.unique(label.array).tolist()) - set(range(task.n_classes)))
        if extra:
            raise DataError(
                "A label map holds values outside the task",
                where=where,
                expected=f"0 to {len(task.classes)}",
                found=", ".join(map(str, extra)),
                remedy="map raw values to ids in the `read` of the dataset",
            )


def write_case(case: Case, folder: Path, *, source: Part | None = None, changed: str | None = None) -> None:
    """Write images and label maps; with `source`, only modality `changed` is written and the rest linked."""
    for kind, volumes in (("images", case.images), ("labels", case.labels)):
        for name, volume in volumes.items():
            path = _volume_path(folder, kind, case.id, name)
            if source is not None and name != changed:
                link(_volume_path(source.folder, kind, case.id, name), path)
            else:
                write_volume(volume, path)


def write_part(folder: Path, task: Task, cases: Mapping[str, Mapping[str, list[str]]], *, crop: bool) -> None:
    """Write `dataset.json` of a part; `cases` as in `contents`."""
    write_json({"task": task.to_json(), "crop": crop, "cases": dict(cases)}, folder / "dataset.json")


def contents(case: Case) -> dict[str, list[str]]:
    """What a case holds, for `dataset.json`."""
    return {"modalities": list(case.images), "labelled": list(case.labels)}


def read_part(folder: Path) -> Part:
    """Read `dataset.json` of a prepared or misaligned folder."""
    values = read_json(folder / "dataset.json")
    return Part(folder, Task.from_json(values["task"]), bool(values.get("crop", False)), values["cases"])


def read_case(part: Part, case_id: str) -> Case:
    """Read one case of a part on its native grids."""
    modalities = part.cases[case_id]["modalities"]
    images = {m: read_volume(_volume_path(part.folder, "images", case_id, m)) for m in modalities}
    return Case(case_id, images, _truth(part, case_id))


def write_arrays(common: CommonCase, case_id: str, folder: Path, *, with_label: bool) -> None:
    """Write `arrays/<case>.image.npy` and, where wanted and there is one, `arrays/<case>.label.npy`."""
    _save(common.image, _array_path(folder / "arrays", case_id, "image"))
    if with_label and common.label is not None:
        _save(common.label, _array_path(folder / "arrays", case_id, "label"))


def frame_entry(common: CommonCase, case: Case) -> dict[str, Any]:
    """The entry of a case in `frames.json`: common grid, and native grid per modality."""
    native = {name: grid_to_json(volume.grid) for name, volume in case.images.items()}
    return {"common": grid_to_json(common.grid), "native": native}


def link(source: Path, target: Path) -> None:
    """Hard link, or copy where the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_train_view(
    data: Path,
    labelled: list[str],
    unlabelled: list[str],
    folder: Path,
    *,
    redrawn: Mapping[str, NDArray[np.uint8]] | None = None,
    notes: Any = None,
) -> None:
    """Make the folder that a method is trained from; masks of unlabelled cases are not in it.

    Args:
        data: a misaligned train part.
        labelled: ids whose masks the view holds.
        unlabelled: ids that it holds without masks.
        folder: where the view goes (replaced as a whole).
        redrawn: label maps [K, X, Y, Z] that take the place of the true ones, of every labelled case.
        notes: what was drawn for them, written to `annotations.json`.

    Raises:
        DataError: a case is not in the part, or is to be labelled and has no mask.
    """
    part, frames = read_part(data), read_json(data / "frames.json")
    _check_ids(part, labelled, unlabelled)
    ids = [*labelled, *unlabelled]
    samples = {i: {"available": _available(part, i), "grid": frames[i]["common"]} for i in ids}
    view = {"task": part.task.to_json(), "labelled": labelled, "unlabelled": unlabelled, "samples": samples}
    with fresh_folder(folder) as temporary:
        for case_id in samples:
            link(_array_path(data / "arrays", case_id, "image"), _array_path(temporary, case_id, "image"))
        for case_id in labelled:
            target = _array_path(temporary, case_id, "label")
            if redrawn is None:
                link(_array_path(data / "arrays", case_id, "label"), target)
            else:
                _save(redrawn[case_id], target)
        if notes is not None:
            write_json(notes, temporary / "annotations.json")
        write_json(view, temporary / "view.json")


def load_train_view(folder: Path) -> TrainView:
    """The training view in `folder`; arrays are memory-mapped, so the cost is that of the headers."""
    values = read_json(folder / "view.json")

    def sample(case_id: str, labelled: bool) -> Sample:
        held = values["samples"][case_id]
        image = _map(_array_path(folder, case_id, "image"))
        label = _map(_array_path(folder, case_id, "label")) if labelled else None
        return Sample(case_id, image, label, tuple(held["available"]), grid_from_json(held["grid"]))

    return TrainView(
        task=Task.from_json(values["task"]),
        labelled=tuple(sample(i, True) for i in values["labelled"]),
        unlabelled=tuple(sample(i, False) for i in values["unlabelled"]),
    )


def modality_subsets(folder: Path) -> list[tuple[str, ...]]:
    """Every set of modalities that leaves out one or more of some test case, largest first."""
    part = read_part(folder)
    names = part.task.modality_names
    sizes = range(len(names) - 1, 0, -1)
    sets = [given for size in sizes for given in combinations(names, size)]
    return [given for given in sets if any(_leaves_out(part, case, given) for case in part.cases)]


def load_reduced_views(folder: Path, given: tuple[str, ...], with_truth: bool = False) -> Iterator[TestView]:
    """Yield the test cases that have more than the modalities `given`, as if the others had never been taken.

    The common frame is made anew from what is given: that of a modality left out would tell where it lay.
    """
    part = read_part(folder)
    for case_id in part.cases:
        if _leaves_out(part, case_id, given):
            images = {m: read_volume(_volume_path(folder, "images", case_id, m)) for m in given}
            common = to_common(Case(case_id, images), part.task, crop=part.crop)
            sample = Sample(case_id, common.image, None, common.available, common.grid)
            native = {name: volume.grid for name, volume in images.items()}
            truth = {m: v for m, v in _truth(part, case_id).items() if m in given} if with_truth else None
            yield TestView(part.task, sample, native, truth)


def _leaves_out(part: Part, case_id: str, given: tuple[str, ...]) -> bool:
    return set(given) < set(part.cases[case_id]["modalities"])


def load_test_views(folder: Path, with_truth: bool = False) -> Iterator[TestView]:
    """Yield the cases of a misaligned test part one by one; masks are read only `with_truth` (the oracle)."""
    part, frames = read_part(folder), read_json(folder / "frames.json")
    for case_id in part.cases:
        entry = frames[case_id]
        image = _map(_array_path(folder / "arrays", case_id, "image"))
        available = tuple(_available(part, case_id))
        sample = Sample(case_id, image, None, available, grid_from_json(entry["common"]))
        native = {name: grid_from_json(grid) for name, grid in entry["native"].items()}
        yield TestView(part.task, sample, native, _truth(part, case_id) if with_truth else None)


def _truth(part: Part, case_id: str) -> dict[str, Volume]:
    ids = range(part.task.n_classes)
    labelled = part.cases[case_id]["labelled"]
    return {m: read_label_map(_volume_path(part.folder, "labels", case_id, m), ids) for m in labelled}


def _available(part: Part, case_id: str) -> list[bool]:
    return [name in part.cases[case_id]["modalities"] for name in part.task.modality_names]


def _check_ids(part: Part, labelled: list[str], unlabelled: list[str]) -> None:
    absent = [i for i in [*labelled, *unlabelled] if i not in part.cases]
    bare = [i for i in labelled if i in part.cases and not part.cases[i]["labelled"]]
    if absent or bare:
        raise DataError(
            "A label subset does not fit its data",
            where=str(part.folder),
            expected="cases of this part, and a mask for each labelled one",
            found=f"not in the part: {absent or 'none'}; without a mask: {bare or 'none'}",
            remedy="draw the split again from the current case list",
        )


def _save(array: NDArray[Any], path: Path) -> None:
    with replacing(path) as temporary, temporary.open("wb") as handle:  # by name, numpy appends `.npy`
        np.save(handle, array)


def _map(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def let_go(array: NDArray[Any]) -> None:
    """Let the system take the pages of a memory-mapped array from this process.

    The next look maps them again, mostly from the file cache. Without this a process holds every case that it
    has looked at. An array that is not mapped, and a system without `madvise`, are left alone.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _volume_path(folder: Path, kind: str, case_id: str, modality: str) -> Path:
    return folder / kind / f"{case_id}__{modality}.nii.gz"


def _array_path(folder: Path, case_id: str, kind: str) -> Path:
    return folder / f"{case_id}.{kind}.npy"
