"""Crops of memory-mapped cases. A batch is a pure function of (seed, stream, step)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from parallax.case import IGNORE, Sample
from parallax.data.store import let_go
from parallax.learn.augment import augment_intensity
from parallax.learn.batch import Batch

_ANCHORS = 128  # voxels kept per modality and class: variety enough, and memory apart from volume size
_MARGIN = 8  # a crop may leave a volume that fits into it by 1/8 of the patch


@dataclass(frozen=True)
class _Case:
    """What is remembered of a case beside its memory-mapped arrays."""

    sample: Sample
    counts: NDArray[np.int64] | None  # [K, 256] voxels per label value
    anchors: dict[int, list[NDArray[np.int16]]]  # modality -> one [n, 3] array per structure that it shows
    fill: NDArray[np.float32]  # [K] background intensity, for padding

    def usable(self, modality: int) -> bool:
        if self.counts is None:
            return self.sample.available[modality]
        known = int(self.counts[modality].sum() - self.counts[modality, IGNORE])
        return self.sample.available[modality] and known > 0


class CropSampler:
    """Draws batches of crops.

    Half of the crops of labelled volumes that exceed the patch are centred near a labelled voxel. A volume
    that fits into the patch is padded with its background and shifted at random.

    Args:
        samples: cases to draw from. If any of them has no label, batches have none.
        patch: size of a crop in voxels.
        batch: crops per batch.
        augment: whether intensities are changed and volumes that fit are shifted beyond their border.
        seed: seed of the run.
        stream: number of the stream (0 = labelled, 1 = unlabelled); streams of one seed are independent.
        paired: False draws each modality of an item from an independently drawn case and place.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        patch: tuple[int, int, int],
        batch: int,
        augment: bool,
        seed: int,
        stream: int,
        paired: bool = True,
    ) -> None:
        self._labelled = all(sample.label is not None for sample in samples)
        self._cases = [_remember(sample, patch, self._labelled) for sample in samples]
        self._patch, self._batch, self._augment = patch, batch, augment
        self._key, self._paired = [seed, stream], paired
        self._modalities = len(samples[0].available)

    def class_counts(self, n_classes: int) -> NDArray[np.int64]:
        """Voxels [C] of each class over all labelled cases and modalities."""
        total = np.zeros(n_classes, dtype=np.int64)
        for case in self._cases:
            if case.counts is not None:
                total += case.counts[:, :n_classes].sum(axis=0)
        return total

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        rng = np.random.default_rng([*self._key, step])
        size = (self._batch, self._modalities, *self._patch)
        image = np.zeros(size, dtype=np.float32)
        label = np.full(size, IGNORE, dtype=np.uint8) if self._labelled else None
        available = np.zeros(size[:2], dtype=bool)
        if self._paired:
            names = self._draw_paired(rng, image, label, available)
        else:
            names = self._draw_unpaired(rng, image, label, available)
        pixels, flags = torch.from_numpy(image), torch.from_numpy(available)
        if self._augment:
            augment_intensity(pixels, flags, rng)
        return Batch(pixels, None if label is None else torch.from_numpy(label).long(), flags, names)

    def _draw_paired(
        self,
        rng: np.random.Generator,
        image: NDArray[np.float32],
        label: NDArray[np.uint8] | None,
        available: NDArray[np.bool_],
    ) -> tuple[str, ...]:
        chosen = _draw_cases(rng, len(self._cases), self._batch)
        every = slice(None)
        for item, index in enumerate(chosen):
            case = self._cases[index]
            start = self._start(rng, case, item, list(case.anchors))
            _crop(case, every, start, image[item], None if label is None else label[item])
            available[item] = case.sample.available
        return tuple(self._cases[index].sample.case for index in chosen)

    def _draw_unpaired(
        self,
        rng: np.random.Generator,
        image: NDArray[np.float32],
        label: NDArray[np.uint8] | None,
        available: NDArray[np.bool_],
    ) -> tuple[str, ...]:
        names: list[list[str]] = [[] for _ in range(self._batch)]
        for modality in range(self._modalities):
            usable = [case for case in self._cases if case.usable(modality)]
            one = slice(modality, modality + 1)
            for item, index in enumerate(_draw_cases(rng, len(usable), self._batch)):
                case = usable[index]
                start = self._start(rng, case, item, [modality] if modality in case.anchors else [])
                _crop(case, one, start, image[item, one], None if label is None else label[item, one])
                available[item, modality] = True
                names[item].append(case.sample.case)
        return tuple("+".join(parts) for parts in names)

    def _start(
        self, rng: np.random.Generator, case: _Case, item: int, modalities: list[int]
    ) -> tuple[int, int, int]:
        """First voxel of a crop, in voxels of the volume (negative where the crop begins before it)."""
        low, high = _range(case.sample.image.shape[1:], self._patch, self._augment)
        start = rng.integers(low, high + 1)
        if modalities and self._wants_foreground(rng, item):
            structures = case.anchors[modalities[rng.integers(len(modalities))]]
            voxels = structures[rng.integers(len(structures))]
            centre = voxels[rng.integers(len(voxels))].astype(np.int64)
            jitter = rng.integers(-np.array(self._patch) // _MARGIN, np.array(self._patch) // _MARGIN + 1)
            larger = np.array(case.sample.image.shape[1:]) > np.array(self._patch)
            centred = np.clip(centre + jitter - np.array(self._patch) // 2, low, high)
            start = np.where(larger, centred, start)
        return (int(start[0]), int(start[1]), int(start[2]))

    def _wants_foreground(self, rng: np.random.Generator, item: int) -> bool:
        half = self._batch // 2
        coin = bool(rng.random() < 0.5)  # always drawn, so that the stream does not depend on the item
        return item >= self._batch - half or (item >= half and coin)


def _draw_cases(rng: np.random.Generator, cases: int, wanted: int) -> list[int]:
    """`wanted` indices, each case once before any comes twice."""
    if cases == 0:
        return []
    rounds = [rng.permutation(cases) for _ in range(-(-wanted // cases))]
    return [int(index) for index in np.concatenate(rounds)[:wanted]]


def _range(
    shape: tuple[int, ...], patch: tuple[int, int, int], shift: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    slack = np.array(shape) - np.array(patch)
    margin = np.array(patch) // _MARGIN * int(shift)
    low = np.where(slack > 0, 0, slack - margin)
    high = np.where(slack > 0, slack, margin)
    return low, high


def _crop(
    case: _Case,
    modalities: slice,
    start: tuple[int, int, int],
    image: NDArray[np.float32],
    label: NDArray[np.uint8] | None,
) -> None:
    """Fill image and label [K', X, Y, Z] with the crop; what lies outside the volume is background."""
    source, target, whole = [modalities], [slice(None)], True
    for first, extent, size in zip(start, image.shape[1:], case.sample.image.shape[1:], strict=True):
        begin, end = max(first, 0), min(first + extent, size)
        source.append(slice(begin, end))
        target.append(slice(begin - first, end - first))
        whole = whole and end - begin == extent
    if not whole:
        image[...] = case.fill[modalities, None, None, None]
    image[tuple(target)] = case.sample.image[tuple(source)]
    if label is not None and case.sample.label is not None and case.counts is not None:
        if not whole:
            label[[case.usable(k) for k in range(len(case.fill))[modalities]]] = 0
        label[tuple(target)] = case.sample.label[tuple(source)]
    _let_go(case.sample)


def _remember(sample: Sample, patch: tuple[int, int, int], labelled: bool) -> _Case:
    case = _looked_at(sample, patch, labelled)
    _let_go(sample)
    return case


def _let_go(sample: Sample) -> None:
    let_go(sample.image)
    if sample.label is not None:
        let_go(sample.label)


def _looked_at(sample: Sample, patch: tuple[int, int, int], labelled: bool) -> _Case:
    shape = sample.image.shape[1:]
    fits = any(size <= extent for size, extent in zip(shape, patch, strict=True))
    fill = sample.image.min(axis=(1, 2, 3)) if fits else np.zeros(len(sample.available))
    if not labelled or sample.label is None:
        return _Case(sample, None, {}, fill.astype(np.float32))
    counts = np.stack([np.bincount(np.ravel(label), minlength=IGNORE + 1) for label in sample.label])
    larger = any(size > extent for size, extent in zip(shape, patch, strict=True))
    anchors = _anchors(sample.label, counts) if larger else {}
    return _Case(sample, counts, anchors, fill.astype(np.float32))


def _anchors(label: NDArray[np.uint8], counts: NDArray[np.int64]) -> dict[int, list[NDArray[np.int16]]]:
    """Evenly spread voxels of each structure of each modality that shows any."""
    found: dict[int, list[NDArray[np.int16]]] = {}
    for modality, volume in enumerate(label):
        for value in np.flatnonzero(counts[modality, 1:IGNORE]) + 1:
            voxels = np.flatnonzero(volume == value)
            some = voxels[np.linspace(0, len(voxels) - 1, min(len(voxels), _ANCHORS)).astype(np.int64)]
            place = np.stack(np.unravel_index(some, volume.shape), axis=1).astype(np.int16)
            found.setdefault(modality, []).append(place)
    return found
