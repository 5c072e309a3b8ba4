"""Small copies of volumes for a browser: cut to where the structures are, thinned, 8 bits a voxel."""

from __future__ import annotations

import base64
import gzip
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.case import Volume

#: Longest side of a copy in voxels.
MOST_VOXELS = 96
_MARGIN_MM = 20.0
_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class Cut:
    """Which voxels of a grid are kept: along each axis from, to, and every so many."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]
    every: tuple[int, int, int]

    def of(self, volume: Volume) -> Volume:
        """The voxels that are kept, where they were in space."""
        box = tuple(slice(*ends) for ends in zip(self.start, self.stop, self.every, strict=True))
        affine = volume.affine.copy()
        affine[:3, 3] = (volume.affine @ [*self.start, 1])[:3]
        affine[:3, :3] = volume.affine[:3, :3] * np.array(self.every)
        return Volume(volume.array[box], affine)

    def share_outside(self, labels: NDArray[Any]) -> float:
        """Share of the foreground voxels that lie outside the box; 0 where there are none."""
        box = tuple(slice(*ends) for ends in zip(self.start, self.stop, strict=True))
        total = int(np.count_nonzero(labels))
        return 1 - int(np.count_nonzero(labels[box])) / total if total else 0.0


def cut_for(truth: Volume) -> Cut:
    """The whole grid where it is small, else the box of all structures with a margin of 20 mm.

    A box that is still longer than `MOST_VOXELS` along an axis is thinned along it.
    """
    shape = np.array(truth.array.shape)
    start, stop = np.zeros(3, dtype=int), shape
    inside = np.argwhere(truth.array > 0)
    if shape.max() > MOST_VOXELS and len(inside):
        margin = np.ceil(_MARGIN_MM / np.array(truth.spacing_mm)).astype(int)
        start = np.maximum(inside.min(axis=0) - margin, 0)
        stop = np.minimum(inside.max(axis=0) + 1 + margin, shape)
    every = -(-(stop - start) // MOST_VOXELS)
    return Cut(_three(start), _three(stop), _three(every))


def image_bytes(image: Volume) -> bytes:
    """NIfTI, gzip: 0 to 255 between the half and the 99.5th percentile. The same for the same voxels."""
    low, high = np.percentile(image.array, _PERCENTILES)
    scaled = np.clip((image.array - low) / max(float(high - low), 1e-6), 0, 1)
    return _packed(Volume(np.round(scaled * 255).astype(np.uint8), image.affine))


def label_bytes(labels: Volume) -> bytes:
    """NIfTI, gzip, one byte a voxel; its intent is `label`, so that NiiVue can draw outlines."""
    return _packed(Volume(labels.array.astype(np.uint8), labels.affine), "label")


def script(content: bytes) -> tuple[str, str]:
    """Name and text of a script that hands a volume to the page: a page on a disk may read no other files."""
    name = hashlib.sha256(content).hexdigest()[:20]
    return name, f'volume("{name}","{base64.b64encode(content).decode("ascii")}")\n'


def _packed(volume: Volume, intent: str = "none") -> bytes:
    import nibabel

    image = nibabel.Nifti1Image(volume.array, volume.affine, dtype=np.uint8)
    image.header.set_intent(intent)
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)


def _three(values: NDArray[Any]) -> tuple[int, int, int]:
    x, y, z = (int(value) for value in values)
    return x, y, z
