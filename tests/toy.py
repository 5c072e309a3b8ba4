"""Small synthetic tasks and views for tests. Structures are bright balls; modalities differ in contrast."""

from __future__ import annotations

import numpy as np

from parallax.case import IGNORE, Grid, Modality, Pairing, Sample, Task, TestView, TrainView, Volume
from parallax.learn.batch import Batch
from parallax.learn.sampler import CropSampler

Shape = tuple[int, int, int]


def toy_task(n_modalities: int = 2, n_classes: int = 3, pairing: Pairing = Pairing.REGISTERED) -> Task:
    """A task with `n_classes` classes, background counted."""
    kinds = ["ct", "mr"]
    return Task(
        name="toy",
        modalities=tuple(Modality(f"M{k}", kinds[k % 2]) for k in range(n_modalities)),
        classes={f"ball{c}": c for c in range(1, n_classes)},
        pairing=pairing,
        spacing_mm=(2.0, 2.0, 2.0),
    )


def toy_grid(size: Shape) -> Grid:
    return Grid(size, np.diag([2.0, 2.0, 2.0, 1.0]))


def toy_sample(task: Task, case: str, size: Shape, *, labelled: bool = True, seed: int = 0) -> Sample:
    """One case; equal arguments give equal voxels."""
    rng = np.random.default_rng([seed, *case.encode()])
    label = _balls(task, size, rng)
    k = len(task.modalities)
    image = np.empty((k, *size), dtype=np.float32)
    for index in range(k):
        contrast = np.linspace(-1, 1, task.n_classes) * (1 if index % 2 == 0 else -1)
        image[index] = contrast[label] + rng.normal(0, 0.15, size)
    labels = np.repeat(label[None], k, axis=0)
    return Sample(case, image, labels if labelled else None, (True,) * k, toy_grid(size))


def toy_view(
    task: Task, n_labelled: int = 2, n_unlabelled: int = 2, size: Shape = (16, 16, 16), seed: int = 0
) -> TrainView:
    labelled = tuple(toy_sample(task, f"l{i}", size, seed=seed) for i in range(n_labelled))
    bare = tuple(toy_sample(task, f"u{i}", size, labelled=False, seed=seed) for i in range(n_unlabelled))
    return TrainView(task, labelled, bare)


def toy_test_view(
    task: Task,
    size: Shape = (16, 16, 16),
    *,
    case: str = "t0",
    with_truth: bool = False,
    missing: tuple[int, ...] = (),
    seed: int = 0,
) -> TestView:
    """A test case whose native grids are the common grid; modalities in `missing` are absent."""
    full = toy_sample(task, case, size, seed=seed)
    image = full.image.copy()
    image[list(missing)] = 0
    available = tuple(k not in missing for k in range(len(task.modalities)))
    names = [name for name, there in zip(task.modality_names, available, strict=True) if there]
    grid = toy_grid(size)
    truth = {name: Volume(full.label[0], grid.affine) for name in names} if full.label is not None else None
    sample = Sample(case, image, None, available, grid)
    return TestView(task, sample, dict.fromkeys(names, grid), truth if with_truth else None)


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


def _balls(task: Task, size: Shape, rng: np.random.Generator) -> np.ndarray:
    axes = np.meshgrid(*(np.arange(n) for n in size), indexing="ij")
    label = np.zeros(size, dtype=np.uint8)
    for c in range(1, task.n_classes):
        place = c / task.n_classes
        centre = [place * n + rng.uniform(-0.08, 0.08) * n for n in size]
        radius = min(size) * rng.uniform(0.21, 0.25)
        inside = sum((axis - m) ** 2 for axis, m in zip(axes, centre, strict=True)) <= radius**2
        label[inside] = c
    return label
