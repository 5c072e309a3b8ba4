"""The CT and the MR scanner that one family of subjects is put through."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parallax.phantom.acquire import ct_scan, mr_scan
from parallax.phantom.canvas import Painted
from parallax.phantom.fields import Array

Range = tuple[float, float]
#: Draws the value (HU or MR signal) of each tissue.
Values = Callable[[np.random.Generator], Mapping[str, float]]


@dataclass(frozen=True)
class CtMr:
    """Ranges in which the quality of a family's scans is drawn, uniformly.

    Attributes:
        noise_hu: standard deviation of the CT noise.
        snr: of the MR image.
        bias: standard deviation of the logarithm of the MR bias field.
        bias_mm: length over which the bias field varies.
    """

    noise_hu: Range
    snr: Range
    bias: Range
    bias_mm: float = 60.0

    def scan(
        self,
        painted: Painted,
        hu: Values,
        signal: Values,
        rngs: tuple[np.random.Generator, np.random.Generator],
        wanted: Collection[str] | None = None,
        coil: Array | None = None,
    ) -> tuple[dict[str, NDArray[np.int16]], dict[str, str | float]]:
        """Both scans of one anatomy.

        Args:
            painted: the anatomy.
            hu, signal: CT and MR values of its tissues; drawn after the quality, before the image.
            rngs: sources of what is drawn for CT and for MR.
            wanted: modalities to scan; None = both. Each is the same whether or not the other is made.
            coil: how strongly the receiving coils see each voxel.

        Returns:
            Images by modality, and the drawn quality.
        """
        ct_rng, mr_rng = rngs
        noise_hu, snr, bias = (
            ct_rng.uniform(*self.noise_hu),
            mr_rng.uniform(*self.snr),
            mr_rng.uniform(*self.bias),
        )
        images = {}
        if wanted is None or "CT" in wanted:
            images["CT"] = ct_scan(painted, hu(ct_rng), ct_rng, noise_hu)
        if wanted is None or "MR" in wanted:
            images["MR"] = mr_scan(painted, signal(mr_rng), mr_rng, snr, bias, self.bias_mm, coil)
        return images, {"ct_noise_hu": float(noise_hu), "mr_snr": float(snr), "mr_bias": float(bias)}
