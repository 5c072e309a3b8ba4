"""Cases of a few voxels whose misalignment can be worked out on paper."""

import numpy as np

from parallax.case import Case, Grid, Volume

TURN = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])


def grid_of(shape, spacing_mm=(1.0, 1.0, 1.0), turn=None, first_mm=(0.0, 0.0, 0.0)):
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) * np.array(spacing_mm)
    affine[:3, 3] = first_mm
    return Grid(shape, affine)


def case_of(grid, label=None, image=None, **other):
    array = np.zeros(grid.shape, np.float32) if image is None else image
    volume = Volume(array, grid.affine)
    labels = {} if label is None else {"MR": Volume(label, grid.affine)}
    return Case("a", {"CT": volume, "MR": volume}, labels, **other)


def two_specks():
    """A label of two voxels at x = -3 and x = +3 mm."""
    label = np.zeros((9, 5, 5), np.uint8)
    label[[1, 7], 2, 2] = 1
    return case_of(grid_of((9, 5, 5), first_mm=(-4.0, -2.0, -2.0)), label)


def constant(*mm):
    return lambda axes: np.array(mm)[:, None, None, None] * np.ones([len(a) for a in axes])


def along_x(axes):
    """As far along y as the first index says, in mm."""
    x, _, _ = np.broadcast_arrays(*np.ix_(*axes))
    return np.stack([0.0 * x, 1.0 * x, 0.0 * x])
