"""Slices of scans at one physical scale, with scale bar and orientation marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parallax.case import Volume
from parallax.data.layouts import reorder_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Plane to: axis that is cut, axis to the left (reversed), axis upwards, marks left, right, top, bottom.
PLANES = {
    "axial": (2, 0, 1, ("R", "L", "A", "P")),
    "coronal": (1, 0, 2, ("R", "L", "S", "I")),
    "sagittal": (0, 1, 2, ("A", "P", "S", "I")),
}
#: Colours of label ids (Okabe and Ito 2008), repeated.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")


@dataclass(frozen=True)
class Panel:
    """One slice to draw.

    Attributes:
        title: above the panel.
        image: any orientation.
        plane: a key of PLANES.
        at: which slice, as the share of the extent (0 to 1) along the axis that is cut, RAS.
        window: values shown as black and white.
        label: drawn in colour over the image; None = not.
        alpha: how far colours cover the image.
    """

    title: str
    image: Volume
    plane: str
    at: float
    window: tuple[float, float]
    label: Volume | None = None
    alpha: float = 0.55


def slice_of(volume: Volume, plane: str, at: float) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """A slice as it is looked at (rows from top, the patient's right on the left) and its pixel size (mm)."""
    ras = reorder_axes(volume, "RAS")
    cut, across, up, _ = PLANES[plane]
    index = min(int(at * ras.array.shape[cut]), ras.array.shape[cut] - 1)
    flat = np.take(ras.array, index, axis=cut)
    shown = flat[::-1, ::-1].T
    return np.asarray(shown, dtype=np.float32), (ras.spacing_mm[across], ras.spacing_mm[up])


def draw_panel(axes: Axes, panel: Panel, size_mm: tuple[float, float], bar_mm: float) -> None:
    """Draw a panel of this width and height, centred on its slice."""
    from matplotlib.colors import ListedColormap

    shown, (dx, dy) = slice_of(panel.image, panel.plane, panel.at)
    half = (shown.shape[1] * dx / 2, shown.shape[0] * dy / 2)
    extent = (-half[0], half[0], -half[1], half[1])
    low, high = panel.window
    axes.imshow(shown, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
    if panel.label is not None:
        ids, _ = slice_of(panel.label, panel.plane, panel.at)
        colours = ListedColormap([COLOURS[i % len(COLOURS)] for i in range(32)])
        masked = np.ma.masked_equal(ids, 0)
        axes.imshow(masked - 1, cmap=colours, vmin=-0.5, vmax=31.5, extent=extent, alpha=panel.alpha,
                    interpolation="nearest")  # fmt: skip
    axes.set(
        xlim=(-size_mm[0] / 2, size_mm[0] / 2), ylim=(-size_mm[1] / 2, size_mm[1] / 2), xticks=[], yticks=[]
    )
    axes.set_facecolor("black")
    axes.set_title(panel.title, fontsize=8.5, loc="left", fontweight="normal")
    _marks(axes, panel.plane, bar_mm, size_mm)


def _marks(axes: Axes, plane: str, bar_mm: float, size_mm: tuple[float, float]) -> None:
    spots = ((0.02, 0.5), (0.98, 0.5), (0.5, 0.97), (0.5, 0.03))
    for mark, (x, y) in zip(PLANES[plane][3], spots, strict=True):
        axes.text(x, y, mark, transform=axes.transAxes, color="#ffd34d", fontsize=8, ha="center", va="center")
    x, y = -0.46 * size_mm[0], -0.45 * size_mm[1]
    axes.plot([x, x + bar_mm], [y, y], color="white", lw=2, solid_capstyle="butt")
    axes.text(x, y + 0.025 * size_mm[1], f"{bar_mm:g} mm", color="white", fontsize=7)


def draw_page(
    rows: Sequence[Sequence[Panel]], size_mm: tuple[float, float], bar_mm: float, title: str, path: Path
) -> None:
    """Draw rows of panels at one scale into a PNG file."""
    import matplotlib.style
    from matplotlib.figure import Figure

    from parallax.figures.curves import style_file

    columns = max(len(row) for row in rows)
    with matplotlib.style.context(style_file()):
        figure = Figure(
            figsize=(3.0 * columns, (3.0 * size_mm[1] / size_mm[0] + 0.35) * len(rows) + 0.4),
            layout="constrained",
        )
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for row, line in zip(grid, rows, strict=True):
            for axes, panel in zip(row, line, strict=False):
                axes.set_axis_on()
                draw_panel(axes, panel, size_mm, bar_mm)
        figure.suptitle(title, fontsize=10.5, x=0.01, ha="left")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, metadata={"Software": None})
