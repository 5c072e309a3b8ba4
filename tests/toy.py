"""The small synthetic tasks of `parallax.trial.toys`, and what only tests need."""

from __future__ import annotations

import numpy as np

from parallax.case import IGNORE, Sample, TrainView
from parallax.learn.batch import Batch
from parallax.learn.sampler import CropSampler
from parallax.trial.toys import Shape, toy_grid, toy_sample, toy_task, toy_test_view, toy_view

__all__ = [
    "toy_batches",
    "toy_dice",
    "toy_grid",
    "toy_sample",
    "toy_task",
    "toy_test_view",
    "toy_view",
    "without_labels",
]


def toy_dice(prediction: np.ndarray, truth: np.ndarray, n_classes: int) -> float:
    """Mean Dice over the structures."""
    scores = []
    for c in range(1, n_classes):
        a, b = prediction == c, truth == c
        scores.append(2 * (a & b).sum() / max(a.sum() + b.sum(), 1))
    return float(np.mean(scores))


def without_labels(sample: Sample, modality: int) -> Sample:
    """The same case with the mask of one modality unknown."""
    assert sample.label is not None
    label = sample.label.copy()
    label[modality] = IGNORE
    return Sample(sample.case, sample.image, label, sample.available, sample.grid)


def toy_batches(view: TrainView, size: Shape = (16, 16, 16)) -> tuple[Batch, Batch]:
    """Two labelled and two unlabelled crops, always the same."""
    labelled, bare = (
        CropSampler(cases, patch=size, batch=2, augment=False, seed=0, stream=stream).batch(0)
        for stream, cases in enumerate((view.labelled, view.unlabelled))
    )
    return labelled, bare
