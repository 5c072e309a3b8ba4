"""The small synthetic tasks of `parallax.trial.toys`, and what only tests need."""

from __future__ import annotations

import numpy as np

from parallax.case import IGNORE, Sample
from parallax.trial.toys import toy_grid, toy_sample, toy_task, toy_test_view, toy_view

__all__ = ["toy_dice", "toy_grid", "toy_sample", "toy_task", "toy_test_view", "toy_view", "without_labels"]


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
