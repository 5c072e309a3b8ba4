"""What a phantom family returns for one subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parallax.case import Grid


@dataclass(frozen=True)
class Subject:
    """One subject, all modalities in one frame (RAS, centred on the origin).

    Attributes:
        grid: the grid that all images share.
        images: modality name to int16 [X, Y, Z] (HU or arbitrary units).
        label: uint8 [X, Y, Z], values as the family defines them.
        facts: what was drawn (contrast regime, disease, noise), for stratified analyses.
    """

    grid: Grid
    images: Mapping[str, NDArray[np.int16]]
    label: NDArray[np.uint8]
    facts: Mapping[str, str | float]
