"""From a training view to an nnU-Net workspace: NIfTI files, fingerprint, plans and preprocessed cases."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.case import IGNORE, Budget, Grid, Sample, Task, TrainView
from parallax.data.files import write_bytes
from parallax.data.seal import damaged, seal, seal_path
from parallax.errors import DataError
from parallax.learn.nnunet_environment import nnunet_environment, workers_in_process

#: Name of the one dataset in a workspace, of its plans and of the configuration that is trained.
DATASET, PLANS, CONFIGURATION = "Dataset001_parallax", "nnUNetPlans", "3d_fullres"

# nnU-Net draws 1e8 foreground intensities for the percentiles of its CT normalisation; this many take 0.1 s.
_INTENSITY_SAMPLES = 1_000_000


# Of the preprocessed cases; another one makes a workspace that a killed run left be prepared again.
_FORM = 2


@dataclass(frozen=True)
class NnunetCases:
    """The labelled cases of one nnU-Net.

    Attributes:
        task: the task.
        channels: indices of the modalities that are its input channels.
        reference: index of the modality whose masks it learns.
        samples: labelled cases that have all of `channels` and a mask of `reference`.
    """

    task: Task
    channels: tuple[int, ...]
    reference: int
    samples: tuple[Sample, ...]


def nnunet_cases(view: TrainView, channels: tuple[int, ...], reference: int) -> NnunetCases:
    """Choose the labelled cases that hold every channel and a mask of the reference modality; may be none."""
    usable = [
        sample
        for sample in view.labelled
        if all(sample.available[k] for k in channels) and has_label(sample, reference)
    ]
    return NnunetCases(view.task, channels, reference, tuple(usable))


def has_label(sample: Sample, modality: int) -> bool:
    """Whether any voxel of this modality is labelled (background counts)."""
    return sample.label is not None and bool((np.asarray(sample.label[modality]) != IGNORE).any())


def prepare_workspace(cases: NnunetCases, budget: Budget, workspace: Path) -> str:
    """Export, fingerprint, plan and preprocess with nnU-Net's own classes, in this process.

    A workspace that was prepared from the same voxels and budget is kept (with its checkpoint), any other is
    removed first. Returns a digest of what it was prepared from. Raises `DataError` when there is no case.
    """
    if not cases.samples:
        names = [cases.task.modality_names[k] for k in cases.channels]
        raise DataError(
            "nnU-Net has no case to learn from",
            where=f"labelled cases of {cases.task.name}",
            expected=f"at least one with {' and '.join(names)} and a mask of {_reference_name(cases)}",
            found="none",
            remedy="raise the label fraction, or use the preset `paper`, which needs one modality at a time",
        )
    digest = _digest(cases, budget)
    marker, prepared = workspace / "prepared.txt", workspace / "preprocessed"
    kept = marker.exists() and marker.read_text(encoding="utf-8") == digest
    if kept and seal_path(prepared).exists() and not damaged(prepared):
        return digest
    shutil.rmtree(workspace, ignore_errors=True)
    _export(cases, workspace / "raw" / DATASET)
    with nnunet_environment(workspace, planning=True, log=workspace / "nnunet.log"):
        _plan_and_preprocess(budget)
    seal(prepared)
    write_bytes(marker, digest.encode())
    return digest


def plans_of(workspace: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The plans and the dataset description that a prepared workspace holds."""
    folder = workspace / "preprocessed" / DATASET
    plans = json.loads((folder / f"{PLANS}.json").read_text(encoding="utf-8"))
    dataset = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    return plans, dataset


def nnunet_spacing(grid: Grid) -> list[float]:
    """Spacing (mm) in nnU-Net's axis order Z, Y, X, rounded as a NIfTI header does."""
    return [float(np.float32(value)) for value in reversed(grid.spacing_mm)]


def _reference_name(cases: NnunetCases) -> str:
    return cases.task.modality_names[cases.reference]


def _digest(cases: NnunetCases, budget: Budget) -> str:
    settings = asdict(replace(budget, checkpoint_every_s=0.0))
    values = [_FORM, version("nnunetv2"), cases.task.to_json(), cases.channels, cases.reference, settings]
    digest = hashlib.sha256(json.dumps(values).encode())
    for sample in cases.samples:
        digest.update(sample.case.encode())
        for array in _arrays(cases, sample):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _arrays(cases: NnunetCases, sample: Sample) -> list[NDArray[Any]]:
    return [*(sample.image[k] for k in cases.channels), _mask(cases, sample)]


def _mask(cases: NnunetCases, sample: Sample) -> NDArray[np.uint8]:
    assert sample.label is not None  # nnunet_cases keeps labelled cases only
    mask = np.array(sample.label[cases.reference], dtype=np.uint8)
    mask[mask == IGNORE] = cases.task.n_classes  # nnU-Net wants its ignore label right after the last class
    return mask


def _export(cases: NnunetCases, folder: Path) -> None:
    folder.mkdir(parents=True)
    entries, ignored = {}, False
    for index, sample in enumerate(cases.samples):
        *images, mask = _arrays(cases, sample)
        paths = [f"c{index:04d}_{channel:04d}.nii" for channel in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            _write(image, sample.grid, folder / path)
        _write(mask, sample.grid, folder / f"c{index:04d}.nii")
        entries[f"c{index:04d}"] = {"images": paths, "label": f"c{index:04d}.nii"}
        ignored |= bool((mask == cases.task.n_classes).any())
    description = _dataset_json(cases, entries, ignored)
    (folder / "dataset.json").write_text(json.dumps(description, indent=2), encoding="utf-8")


def _write(array: NDArray[Any], grid: Grid, path: Path) -> None:
    import nibabel as nib

    image = nib.Nifti1Image(np.asarray(array), grid.affine)
    image.to_filename(path)


def _dataset_json(cases: NnunetCases, entries: Mapping[str, Any], ignored: bool) -> dict[str, Any]:
    labels = {"background": 0, **cases.task.classes}
    if ignored:
        labels["ignore"] = cases.task.n_classes
    kinds = [cases.task.modalities[k].kind for k in cases.channels]
    return {
        "channel_names": {str(i): "CT" if kind == "ct" else "MRI" for i, kind in enumerate(kinds)},
        "labels": labels,
        "numTraining": len(entries),
        "file_ending": ".nii",
        "overwrite_image_reader_writer": "NibabelIO",
        "dataset": dict(entries),
    }


def _plan_and_preprocess(budget: Budget) -> None:
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
    from nnunetv2.preprocessing.preprocessors import default_preprocessor

    from parallax.learn.nnunet_cases import PlainPreprocessor
    from parallax.learn.nnunet_planner import BudgetPlanner

    with workers_in_process(fingerprint_extractor, default_preprocessor):
        extractor = fingerprint_extractor.DatasetFingerprintExtractor(DATASET, num_processes=1)
        extractor.show_progress_bar = False
        extractor.num_foreground_voxels_for_intensitystats = _INTENSITY_SAMPLES
        extractor.run(overwrite_existing=True)
        BudgetPlanner(DATASET, budget).plan_experiment()
        preprocessor = PlainPreprocessor(verbose=False)
        preprocessor.show_progress_bar = False
        preprocessor.run(DATASET, CONFIGURATION, PLANS, 1)
