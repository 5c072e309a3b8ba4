"""Connected components of a structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def beside_largest(structure: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
    """All of a structure but its largest connected component.

    Args:
        structure: [X, Y, Z]; voxels that share a corner are connected.

    Returns:
        Mask [X, Y, Z] of what is not in the largest component, and the number of components.
    """
    from scipy import ndimage

    parts, count = ndimage.label(structure, structure=np.ones((3, 3, 3)))
    largest = 1 + int(np.bincount(parts.ravel())[1:].argmax()) if count else 0
    return (parts > 0) & (parts != largest), int(count)
