"""Histograms of real and made images in common axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from panels import COLOURS
from scipy import ndimage

BODY_HU = np.arange(-1050.0, 600.0, 15.0)
ORGAN_HU = np.arange(-100.0, 300.0, 8.0)
SHARES = np.linspace(0.02, 1.2, 80)


@dataclass(frozen=True)
class Curves:
    """One panel: name of a curve to its values, counted in common bins."""

    title: str
    bins: NDArray[np.float64]
    values: Mapping[str, NDArray[Any]]
    unit: str = "HU"


def body_hu(image: NDArray[Any]) -> NDArray[Any]:
    """The voxels [N] of the body in a CT [X, Y, Z], slice by slice, with the air that it encloses."""
    inside = np.zeros(image.shape, bool)
    for z in range(image.shape[2]):
        solid = ndimage.binary_opening(image[:, :, z] > -300, iterations=2)
        parts, n = ndimage.label(solid)
        if n:
            largest = 1 + int(np.argmax(ndimage.sum_labels(solid, parts, range(1, n + 1))))
            inside[:, :, z] = ndimage.binary_fill_holes(parts == largest)
    return image[inside]


def scaled(image: NDArray[Any]) -> NDArray[np.float64]:
    """The voxels [N] of an MR image over its 99.5th percentile."""
    return np.asarray(image / np.percentile(image, 99.5), dtype=np.float64).ravel()


def draw_histograms(curves: Sequence[Curves], path: Path) -> None:
    """Two rows of panels; each curve has the area 1, made images are dashed."""
    import matplotlib.style
    from matplotlib.figure import Figure

    from parallax.figures.curves import style_file

    with matplotlib.style.context(style_file()):
        figure = Figure(figsize=(12, 6.4), layout="constrained")
        for axes, held in zip(figure.subplots(2, -(-len(curves) // 2)).flat, curves, strict=False):
            for number, (name, values) in enumerate(held.values.items()):
                density, edges = np.histogram(values, bins=held.bins, density=True)
                line = "-" if name.startswith("real") else "--"
                axes.plot((edges[1:] + edges[:-1]) / 2, density, label=name, ls=line, color=COLOURS[number])
            axes.set(title=held.title, xlabel=held.unit, ylabel="density", yticks=[])
            axes.legend(fontsize=7.5)
        figure.savefig(path, dpi=110, metadata={"Software": None})
