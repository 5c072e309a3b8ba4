"""The head round the orbits: face, bones, air cells, nose and brain; nothing of it is labelled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parallax.phantom.canvas import Brush
from parallax.phantom.fields import smooth_field
from parallax.phantom.geometry import Shape, ellipsoid, half_space, partitions, vector

_SIDES = (-1.0, 1.0)
#: Centres of the air cells between the orbits: x right and left, y, z.
_CELLS = tuple((side * x, y, z) for side in _SIDES for x, y, z in (
    (6, 6, 6), (6, 7, -8), (7, -5, 8), (7, -6, -6), (6, -17, 6), (8, -18, -8), (7, -29, 6), (8, -31, -8),
))  # fmt: skip


def paint_head(head: Brush, walls: Sequence[Shape], rng: np.random.Generator) -> None:
    """Everything round the orbits, before the orbits are carved out.

    Args:
        head: its pose.
        walls: the orbits with the bone that encloses them.
        rng: source of folds of the brain and of the air cells.
    """
    head.fill(ellipsoid((0, -70, 5), (72, 92, 95), power=2.5), "skin")
    head.fill(ellipsoid((0, -70, 5), (70, 88, 92), power=2.5), "fat")
    for side in _SIDES:
        head.fill(ellipsoid((side * 59, -24, -4), (9, 27, 44), power=2.5), "muscle")
        socket = ellipsoid((side * 33, 27, 0), (19, 12, 13), power=2.5)
        head.fill(socket, "air")
        head.fill(ellipsoid((side * 37, 7, -24), (20, 9, 11), power=2.5), "muscle")
    head.fill(ellipsoid((0, -75, 5), (52, 80, 92), power=2.5), "bone")
    _brain(head, rng)
    for side in _SIDES:
        head.fill(ellipsoid((side * 29, -12, -34), (16.5, 21, 14.5), power=2.5), "mucosa")
        head.fill(ellipsoid((side * 29, -12, -34), (15.7, 20.2, 13.7), power=2.5), "air")
    head.fill(walls, "bone", over=["fat", "muscle", "brain", "white_matter", "fluid", "mucosa", "air"])
    for side in _SIDES:
        # marrow of the sphenoid's wing behind the orbit and of the cheek bone beside it
        head.fill(ellipsoid((side * 42, -29, -2), (4.5, 8, 12)), "marrow", over=["bone"])
        head.fill(ellipsoid((side * 51, 0, -6), (2.6, 8, 12)), "marrow", over=["bone", "fat"])
    _nose(head, rng)


def _brain(head: Brush, rng: np.random.Generator) -> None:
    """Frontal lobes above, temporal lobes behind: grey matter over white, folded, in fluid."""
    canvas = head.canvas
    lobes = [((0, -56, 57), (57, 63, 44))] + [((side * 44, -66, -6), (24, 29, 30)) for side in _SIDES]
    for centre, semi in lobes:
        head.fill(ellipsoid(centre, semi, power=2.5), "fluid", over=["bone"])
        head.fill(ellipsoid(centre, vector(semi) - 1.4, power=2.5), "brain", over=["bone", "fluid"])
    head.fill(ellipsoid((0, -56, 57), (1.2, 63, 44)), "fluid", over=["brain"])
    fold, depth = (smooth_field(rng, canvas.axes_mm, mm, canvas.reach_mm) for mm in (5.0, 7.0))
    grey = canvas.tissue == canvas.index("brain")
    sulcus = grey & (np.abs(fold) < 0.1)
    white = grey & (np.abs(fold) > 0.75) & (depth > -0.8)
    canvas.tissue[white] = canvas.index("white_matter")
    canvas.tissue[sulcus] = canvas.index("fluid")
    for centre, semi in lobes:
        core = ellipsoid(centre, vector(semi) - 13, power=2.5)
        head.fill(core, "white_matter", over=["brain", "fluid"])


def _nose(head: Brush, rng: np.random.Generator) -> None:
    """Air cells with thin walls and lining between the orbits, the nose before and below them."""
    block = ellipsoid((0, -13, 0), (13, 26, 17), power=4)
    head.fill(ellipsoid((0, -13, 0), (14, 27, 18), power=4), "bone")
    head.fill(block, "air")
    centres = [vector(cell) + rng.normal(0, 2.0, 3) for cell in _CELLS]
    head.fill(partitions(centres, 0.9) & block, "mucosa")
    head.fill(ellipsoid((0, -13, 0), (0.9, 26, 40), power=4), "mucosa")
    for side in _SIDES:
        # turbinates hang in the lower nose
        passage = ellipsoid((side * 6, -12, -26), (6, 27, 12), power=4)
        head.fill(passage, "air")
        head.fill(ellipsoid((side * 6.5, -12, -24), (2.4, 20, 6)), "mucosa")
    bridge = ellipsoid((0, 15, -12), (9, 15, 24)) & half_space((0, 5, 0), (0, 1, 0))
    head.fill(bridge, "skin")
    head.fill(ellipsoid((0, 13, 0), (4, 8, 12)), "bone", over=["skin"])
