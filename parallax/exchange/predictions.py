"""Predicted label maps as NIfTI files that say what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import pandas as pd

import parallax
from parallax.exchange.finished import FinishedRun, new_folder

_DESCRIPTION_BYTES = 79  # of the 80 of the field `descrip` of a NIfTI header
_COMMENT = 6  # code of a header extension that is text


def export_predictions(run: FinishedRun, out: Path) -> int:
    """Write every predicted label map into `out/DATASET/MISALIGNMENT/LABELS/METHOD/PRESET-sSEED/`.

    `descrip` in the header names method, preset, seed, labels and misalignment; a comment extension says the
    same as JSON, with case, modality and commit. `predictions.csv` lists all. Returns how many there are.
    """
    rows = []
    with new_folder(out) as folder:
        for source, about in _predictions(run):
            target = folder / source.relative_to(run.folder / "runs").parent.parent / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(source, target, about)
            rows.append({"file": target.relative_to(folder).as_posix(), **about})
        pd.DataFrame(rows).to_csv(folder / "predictions.csv", index=False, lineterminator="\n")
    return len(rows)


def _predictions(run: FinishedRun) -> Iterator[tuple[Path, dict[str, str]]]:
    for source in sorted(run.folder.glob("runs/*/*/*/*/*/predictions/*.nii.gz")):
        dataset, misalignment, labels, method, cell = source.relative_to(run.folder / "runs").parts[:5]
        preset, _, seed = cell.rpartition("-s")
        case, _, modality = source.name.removesuffix(".nii.gz").rpartition("__")
        yield (
            source,
            {
                "method": method,
                "preset": preset,
                "seed": seed,
                "labels": labels,
                "misalignment": misalignment,
                "dataset": dataset,
                "case": case,
                "modality": modality,
                "parallax": parallax.__version__,
                "commit": str(run.manifest["commit"]),
                "run": run.name,
            },
        )


def _write(source: Path, target: Path, about: dict[str, str]) -> None:
    image = nib.Nifti1Image.from_filename(source)
    short = "{method}:{preset} seed {seed} {labels} {misalignment} (Parallax {parallax})".format(**about)
    image.header["descrip"] = short.encode()[:_DESCRIPTION_BYTES]
    image.header.extensions.append(nib.nifti1.Nifti1Extension(_COMMENT, json.dumps(about).encode()))
    image.to_filename(target)
