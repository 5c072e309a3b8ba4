"""From tissues to scans: signal equations, partial volume, noise, bias field and beam hardening."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from parallax.case import Grid
from parallax.phantom.canvas import Painted, axes_mm
from parallax.phantom.fields import Array, smooth_field
from parallax.phantom.tissues import Tissue

#: Relaxivity of gadolinium chelates at 1.5 T, per mmol/l and second.
RELAXIVITY = 4.5
#: Standard deviation of the kernel that makes the grains of texture: full width at half maximum 3 mm.
TEXTURE_MM = 1.3
#: Standard deviation of the CT point spread in the slice: full width at half maximum 0.8 mm.
PSF_MM = 0.35


def enhanced(tissue: Tissue, gadolinium_mmol: float) -> Tissue:
    """The tissue with contrast agent: 1/T1' = 1/T1 + r1 * C."""
    return replace(tissue, t1_ms=1.0 / (1.0 / tissue.t1_ms + RELAXIVITY * gadolinium_mmol / 1000.0))


def spin_echo(tissue: Tissue, tr_ms: float, te_ms: float, fat_factor: float = 1.0) -> float:
    """PD (1 - exp(-TR/T1)) exp(-TE/T2), with fat scaled by `fat_factor` (fat saturation)."""
    signal = tissue.pd * (1 - np.exp(-tr_ms / tissue.t1_ms)) * np.exp(-te_ms / tissue.t2_ms)
    return float(signal * (fat_factor if tissue.fat else 1.0))


def balanced_ssfp(tissue: Tissue, flip_deg: float) -> float:
    """PD sin(a) / ((1 + cos a) + (1 - cos a) T1/T2); negative for fat.

    At the usual TE = TR/2 of 1.5 T fat and water have opposite phase, so their fractions cancel within a
    voxel: that draws the dark rim between epicardial fat and blood.
    """
    a = np.deg2rad(flip_deg)
    signal = tissue.pd * np.sin(a) / ((1 + np.cos(a)) + (1 - np.cos(a)) * tissue.t1_ms / tissue.t2_ms)
    return float(-signal if tissue.fat else signal)


def _mixed(painted: Painted, values: Mapping[str, float]) -> Array:
    return painted.mixed([values[name] for name in painted.names])


def _texture(rng: np.random.Generator, grid: Grid) -> Array:
    """Unit variance, grains of about 3 mm whatever the voxel."""
    width = [TEXTURE_MM / s for s in grid.spacing_mm]
    field = ndimage.gaussian_filter(rng.standard_normal(grid.shape, dtype=np.float32), width, truncate=3.0)
    return np.asarray(field / field.std(), dtype=np.float32)


def _sharpness(image: Array, grid: Grid) -> Array:
    """The point spread of a body kernel; nothing to see on voxels above 2 mm."""
    width = [PSF_MM / s for s in grid.spacing_mm[:2]]
    return np.asarray(ndimage.gaussian_filter(image, (*width, 0.0)), dtype=np.float32)


def _beam_hardening(hu: Array, spacing_mm: tuple[float, float, float], strength: float) -> Array:
    """Dark bands between bones: -k sqrt(Px Py) (1 - bone), P the bone path (mm) along a row or column."""
    bone = np.clip((hu - 200.0) / 400.0, 0.0, 1.0)
    along_x = bone.sum(axis=0, keepdims=True) * spacing_mm[0]
    along_y = bone.sum(axis=1, keepdims=True) * spacing_mm[1]
    return np.asarray(-strength * np.sqrt(along_x * along_y) * (1 - bone), dtype=np.float32)


def ct_scan(
    painted: Painted,
    hu: Mapping[str, float],
    rng: np.random.Generator,
    noise_hu: float,
    hardening: float = 0.5,
) -> NDArray[np.int16]:
    """A CT image in HU.

    Args:
        painted: the anatomy.
        hu: Hounsfield units of each of its tissues.
        rng: source of texture and noise.
        noise_hu: standard deviation of the noise, which is band-pass as after filtered back-projection.
        hardening: HU per mm of bone.
    """
    image = _sharpness(_mixed(painted, hu), painted.grid)
    image += _beam_hardening(image, painted.grid.spacing_mm, hardening)
    soft = np.exp(-(((image - 40.0) / 250.0) ** 2))
    image += 4.0 * soft * _texture(rng, painted.grid)
    white = rng.standard_normal(image.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(white, 0.5) - ndimage.gaussian_filter(white, 1.5)
    image += noise_hu / noise.std() * noise
    return np.asarray(np.clip(np.rint(image), -1024, 3071), dtype=np.int16)


def mr_scan(
    painted: Painted,
    signal: Mapping[str, float],
    rng: np.random.Generator,
    snr: float,
    bias: float,
    bias_mm: float = 60.0,
    coil: Array | None = None,
) -> NDArray[np.int16]:
    """An MR magnitude image in arbitrary units.

    Args:
        painted: the anatomy.
        signal: signed signal of each of its tissues; signs cancel within a voxel.
        rng: source of texture, bias field, gain and noise.
        snr: 90th percentile of the image over the standard deviation of the Rician noise.
        bias: standard deviation of the logarithm of the bias field.
        bias_mm: length over which the bias field varies.
        coil: how strongly the receiving coils see each voxel, an array that can be broadcast to the image.
    """
    image = np.abs(_mixed(painted, signal))
    image *= 1 + np.float32(0.04) * _texture(rng, painted.grid)
    image *= np.float32(1) if coil is None else coil
    image *= np.exp(np.float32(bias) * smooth_field(rng, axes_mm(painted.grid), bias_mm))
    level = float(np.percentile(image, 90))
    real, imaginary = rng.standard_normal((2, *image.shape), dtype=np.float32) * np.float32(level / snr)
    image = np.sqrt((image + real) ** 2 + imaginary**2)
    gain = 600.0 * float(np.exp(rng.normal(0.0, 0.3))) / level
    return np.asarray(np.clip(np.rint(gain * image), 0, 32767), dtype=np.int16)
