"""A scored run on disk, two balls in two modalities, for the tests of scoring, figures and the report."""

import json
from pathlib import Path

import numpy as np

from parallax.case import Volume
from parallax.data.volumes import write_volume
from parallax.score.runs import read_run_info, score_run
from parallax.score.table import to_frame, write_parquet

SHAPE = (20, 18, 12)
AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])
RUN = {
    "dataset": "toy", "pairing": "same_subject", "misalignment": "shifted", "label_fraction": 0.1,
    "label_draw": 0, "method": "nnunet", "preset": "paper", "adapter": "native", "seed": 0,
}  # fmt: skip


def ball(shift=0):
    """A label map with a large and a small structure, moved by whole voxels along x."""
    index = np.indices(SHAPE) - np.array([9 + shift, 9, 6])[:, None, None, None]
    radius = np.sqrt((index**2).sum(axis=0))
    return ((radius <= 5).astype(np.uint8) + (radius <= 2)).astype(np.uint8)


def write_test_part(folder: Path, task, cases=("a", "b"), moved=2):
    """Test part in which MR is moved by voxels, two of them (4 mm) where nothing else is said."""
    for case in cases:
        for modality, shift in (("CT", 0), ("MR", moved)):
            image = Volume((100.0 * ball(shift)).astype(np.float32), AFFINE)
            write_volume(image, folder / "images" / f"{case}__{modality}.nii.gz")
            write_volume(Volume(ball(shift), AFFINE), folder / "labels" / f"{case}__{modality}.nii.gz")
    entry = {"modalities": ["CT", "MR"], "labelled": ["CT", "MR"]}
    described = {"task": task.to_json(), "cases": dict.fromkeys(cases, entry)}
    (folder / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    transforms = {case: {"realised_rms_mm": 4.0, "rotation_deg": [3.0, 0.0, 4.0]} for case in cases}
    (folder / "transforms.json").write_text(json.dumps(transforms), encoding="utf-8")


def write_predictions(folder: Path, shifts, cases=("a", "b")):
    """Label maps whose shift by modality is given; a modality left out has no file."""
    for case in cases:
        for modality, shift in shifts.items():
            write_volume(Volume(ball(shift), AFFINE), folder / f"{case}__{modality}.nii.gz")


def write_run(root: Path, task):
    """`results/<run>` with one method, scored: data, predictions and scores.parquet."""
    data = root / "data" / "toy" / "shifted" / "test"
    write_test_part(data, task)
    folder = root / "runs/toy/shifted/f010-d0/nnunet/paper-s0/predictions"
    write_predictions(folder, {"CT": 1, "MR": 2})
    rows = score_run(data, folder, {"status": "ok"}, read_run_info(RUN))
    write_parquet(to_frame(rows), root / "scores.parquet")
    return root
