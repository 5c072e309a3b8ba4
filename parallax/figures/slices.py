"""Axial slices of volumes, cut at a height in mm so that slices of several grids show the same anatomy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parallax.case import Volume


@dataclass(frozen=True)
class Slice:
    """One axial slice in RAS orientation: array [x, y], and the size of a pixel in mm."""

    array: NDArray[Any]
    spacing_mm: tuple[float, float]

    @property
    def height_to_width(self) -> float:
        """Ratio of the sides in mm."""
        (x, y), (dx, dy) = self.array.shape, self.spacing_mm
        return float(y * dy / (x * dx))


def _canonical(path: Path) -> Volume:
    """A volume with axes flipped and swapped into RAS order."""
    import nibabel

    from parallax.data.volumes import read_volume

    volume = read_volume(path)
    library: Any = nibabel
    image = library.as_closest_canonical(library.Nifti1Image(volume.array, volume.affine))
    return Volume(np.asarray(image.dataobj), np.asarray(image.affine, dtype=np.float64))


def foreground_height_mm(labels: Path) -> float:
    """Height (mm) of the axial slice with the most foreground."""
    volume = _canonical(labels)
    index = int((volume.array > 0).sum(axis=(0, 1)).argmax())
    return _heights(volume)[index]


def _heights(volume: Volume) -> list[float]:
    x, y, z = volume.array.shape
    return [float((volume.affine @ [x / 2, y / 2, k, 1])[2]) for k in range(z)]


def read_slice(path: Path, height_mm: float) -> Slice:
    """The axial slice nearest to a height; with modalities that line up, the same anatomy."""
    volume = _canonical(path)
    index = int(np.abs(np.asarray(_heights(volume)) - height_mm).argmin())
    spacing = volume.spacing_mm
    return Slice(volume.array[:, :, index], (spacing[0], spacing[1]))
