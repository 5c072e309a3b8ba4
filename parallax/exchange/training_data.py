"""The data of a run as folders that nnU-Net and MONAI read, and phantoms with Croissant metadata.

A dataset becomes one folder where the modalities of every case share their grid and their label map, else
one for each modality: both tools want the channels of a case on one grid and one label map for all of them.
Files are copied as the run has them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from parallax.case import Task
from parallax.data.files import write_json
from parallax.data.seal import sha256
from parallax.data.store import Part
from parallax.data.volumes import read_grid, same_grid
from parallax.exchange.croissant import write_croissant
from parallax.exchange.finished import FinishedRun, new_folder

_IMAGES, _LABELS = {"train": "imagesTr", "test": "imagesTs"}, {"train": "labelsTr", "test": "labelsTs"}


@dataclass(frozen=True)
class Channels:
    """Modalities that make up one exported dataset, and its parts."""

    task: Task
    modalities: tuple[str, ...]
    parts: Mapping[str, Part]

    def cases(self, part: str) -> Iterator[tuple[str, str]]:
        """Cases that have all channels and a label map, each with the modality whose map it is."""
        for case_id, held in self.parts[part].cases.items():
            labelled = [name for name in self.modalities if name in held["labelled"]]
            if labelled and set(self.modalities) <= set(held["modalities"]):
                yield case_id, labelled[0]


def export_data(run: FinishedRun, out: Path) -> list[str]:
    """Write every dataset of a run at every misalignment into `out`; returns the names of the folders.

    Each holds imagesTr, labelsTr, imagesTs, labelsTs with `dataset.json` (nnU-Net), `datalist.json` (MONAI)
    and `cases.csv`; that of a phantom `croissant.json` too.
    """
    names: list[str] = []
    with new_folder(out) as folder:
        for dataset, misalignment in run.levels():
            parts = run.parts(dataset, misalignment)
            task = parts["train"].task
            for modalities in _channels(parts):
                name = "_".join((f"Dataset{len(names) + 1:03d}", dataset, misalignment, *modalities))
                _export(Channels(task, modalities, parts), folder / name, run, dataset)
                names.append(name)
    return names


def _channels(parts: Mapping[str, Part]) -> list[tuple[str, ...]]:
    names = tuple(parts["train"].task.modality_names)
    return [names] if _alike(parts, names) else [(name,) for name in names]


def _alike(parts: Mapping[str, Part], names: tuple[str, ...]) -> bool:
    cases = [(part, case_id) for part in parts.values() for case_id in part.cases]
    return all(_one_grid(part, case_id, names) and _one_mask(part, case_id, names) for part, case_id in cases)


def _one_grid(part: Part, case_id: str, names: tuple[str, ...]) -> bool:
    if set(part.cases[case_id]["modalities"]) != set(names):
        return False
    first, *others = (read_grid(part.image(case_id, name)) for name in names)
    return all(same_grid(first, other) for other in others)


def _one_mask(part: Part, case_id: str, names: tuple[str, ...]) -> bool:
    held = [name for name in names if name in part.cases[case_id]["labelled"]]
    return len({sha256(part.label_map(case_id, name)) for name in held}) <= 1


def _export(channels: Channels, folder: Path, run: FinishedRun, dataset: str) -> None:
    rows = [row for part in channels.parts for row in _copy_part(channels, part, folder)]
    cases = pd.DataFrame(rows)
    cases.to_csv(folder / "cases.csv", index=False, lineterminator="\n")
    write_json(_nnunet(channels, int((cases["part"] == "train").sum())), folder / "dataset.json")
    write_json(_monai(channels, cases, run.title(dataset)), folder / "datalist.json")
    if run.is_made(dataset):
        write_croissant(folder, run, dataset, cases)


def _copy_part(channels: Channels, part: str, folder: Path) -> Iterator[dict[str, str]]:
    source = channels.parts[part]
    for case_id, labelled in channels.cases(part):
        row = {"case": case_id, "part": part}
        for channel, modality in enumerate(channels.modalities):
            name = f"{_IMAGES[part]}/{case_id}_{channel:04d}.nii.gz"
            row |= _copied(source.image(case_id, modality), folder, name, f"image_{modality}")
        row |= _copied(
            source.label_map(case_id, labelled), folder, f"{_LABELS[part]}/{case_id}.nii.gz", "label"
        )
        yield row


def _copied(source: Path, folder: Path, name: str, column: str) -> dict[str, str]:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)  # no hard link: an export may be edited, the run may not
    return {column: name, f"{column}_sha256": sha256(target)}


def _nnunet(channels: Channels, training: int) -> dict[str, object]:
    kinds = {modality.name: modality.kind for modality in channels.task.modalities}
    # nnU-Net normalises a channel called CT as CT, any other by its own mean and deviation
    names = ["CT" if kinds[name] == "ct" else name for name in channels.modalities]
    return {
        "channel_names": {str(channel): name for channel, name in enumerate(names)},
        "labels": {"background": 0, **channels.task.classes},
        "numTraining": training,
        "file_ending": ".nii.gz",
    }


def _monai(channels: Channels, cases: pd.DataFrame, title: str) -> dict[str, object]:
    columns = [f"image_{modality}" for modality in channels.modalities]
    entries = {
        part: [
            {"case": row["case"], "image": _one_or_all([row[c] for c in columns]), "label": row["label"]}
            for row in held.to_dict("records")
        ]
        for part, held in cases.groupby("part")
    }
    return {
        "name": title,
        "modality": {str(channel): name for channel, name in enumerate(channels.modalities)},
        "labels": {"0": "background", **{str(v): k for k, v in channels.task.classes.items()}},
        "numTraining": len(entries.get("train", [])),
        "numTest": len(entries.get("test", [])),
        "training": entries.get("train", []),
        "test": entries.get("test", []),
    }


def _one_or_all(names: list[str]) -> str | list[str]:
    return names[0] if len(names) == 1 else names
