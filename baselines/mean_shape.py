"""Control that sees no image of the test case: the mean of the labelled masks, laid over its frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parallax.case import IGNORE, Prediction, Sample, TestView, TrainView
from parallax.data.frame import native_label_maps
from parallax.learn.method import Cost, Method

Shape = tuple[int, int, int]


class MeanShape(Method):
    """The most frequent class of each voxel over the labelled cases, frames centred on each other.

    Where background and a structure (or two structures) are equally frequent, the higher id wins.
    """

    name = "mean_shape"
    title = "Mean shape (control)"
    source = "control of this suite"
    adapter = "native"
    presets = {"paper": {}}
    control = True
    no_released = "a control has no publication"
    # nobody's organs are the mean of other people's: 1 says that the case was among those trained on
    bands = {"paper": {"dice": (0.0, 0.999)}}

    maps: NDArray[np.uint8]  # [K, X, Y, Z]

    def fit(self, view: TrainView, scratch: Path) -> Cost:
        """Count classes over the labelled cases; a modality without masks borrows those of another."""
        shapes = np.array([sample.image.shape[1:] for sample in view.labelled])
        x, y, z = (int(n) for n in shapes.max(axis=0))
        known = [_labelled(view.labelled, k) for k in range(len(view.task.modalities))]
        fallback = next((cases for cases in known if cases), [])
        self.maps = np.stack([_mode(cases or fallback, view.task.n_classes, (x, y, z)) for cases in known])
        return Cost(0, 0, 0, 0.0, 0.0, 0.0, "none")

    def save(self, folder: Path) -> None:
        """Write the map."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "maps.npy", self.maps)

    def load(self, folder: Path) -> None:
        """Read the map."""
        self.maps = np.load(folder / "maps.npy", allow_pickle=False)

    def predict(self, view: TestView) -> Prediction:
        """The map, centred on the common frame of the case."""
        _, x, y, z = view.sample.image.shape
        maps = np.stack([_centred(volume, (x, y, z)) for volume in self.maps])
        ids = np.arange(view.task.n_classes).reshape(1, -1, 1, 1, 1)
        return native_label_maps((maps[:, None] == ids).astype(np.float32), view)


def _labelled(samples: tuple[Sample, ...], modality: int) -> list[NDArray[np.uint8]]:
    labels = [sample.label[modality] for sample in samples if sample.label is not None]
    return [label for label in labels if (label != IGNORE).any()]


def _mode(labels: list[NDArray[np.uint8]], n_classes: int, shape: Shape) -> NDArray[np.uint8]:
    # one class at a time: two volumes in memory, however many cases and classes there are
    best = np.zeros(shape, dtype=np.uint16)
    winner = np.zeros(shape, dtype=np.uint8)
    for value in range(n_classes):
        count = np.zeros(shape, dtype=np.uint16)
        for label in labels:
            count += _centred(label, shape) == value
        better = (count >= best) & (count > 0)
        best[better], winner[better] = count[better], value
    return winner


def _centred(volume: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """Cut or pad (with background) about the centre."""
    result = np.zeros(shape, dtype=np.uint8)
    source, target = [], []
    for have, want in zip(volume.shape, shape, strict=True):
        common, skip, pad = min(have, want), max(have - want, 0) // 2, max(want - have, 0) // 2
        source.append(slice(skip, skip + common))
        target.append(slice(pad, pad + common))
    result[tuple(target)] = volume[tuple(source)]
    return result
