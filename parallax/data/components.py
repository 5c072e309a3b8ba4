"""Connected components of a structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def beside_largest(structure: NDArray[np.bool_], kept: int = 1) -> tuple[NDArray[np.bool_], int]:
    """All of a structure but its largest connected components.

    Args:
        structure: [X, Y, Z]; voxels that share a corner are connected.
        kept: how many of the largest are left out.

    Returns:
        Mask [X, Y, Z] of what is in none of the `kept` largest components, and the number of components.
    """
    from scipy import ndimage

    parts, count = ndimage.label(structure, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=1)
    sizes[0] = structure.size + 1  # the background is never beside
    largest = np.argsort(-sizes, kind="stable")[: kept + 1]
    return ~np.isin(parts, largest), int(count)
