"""Respiratory misalignment: each slice of one modality was taken in another state of breathing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from parallax.case import Case, Grid
from parallax.perturb.displacement import (
    Array,
    Axes,
    Field,
    box,
    draw_seed,
    measure,
    needs_pair,
    slice_axis,
    structures,
    warp,
)
from parallax.perturb.drawn import Drawn

#: Motion of the lowest structures over that of the diaphragm: kidneys follow it by 0.6 to 0.7 (Song et al.,
#: JMRI 2011, PMC4539151).
LOW_GAIN = (0.6, 0.7)
#: Anterior-posterior over superior-inferior motion of the liver; 0.43 (2.3 over 5.3 mm) in 53 patients under
#: abdominal compression (Radiation Oncology, doi 10.1186/s13014-016-0762-z).
AP_RATIO = (0.2, 0.45)
#: Standard deviation of a breath-hold's offset along each in-plane axis, over the shift at the diaphragm.
OFFSET_RATIO = 0.2
SLICES_PER_BREATH_HOLD = 8


@dataclass(frozen=True)
class RespiratoryParameters(Drawn):
    """A shift for each slice: growing towards the diaphragm, with a jump from one breath-hold to the next.

    Attributes:
        moved: the modality that moves.
        shift_si_mm, shift_ap_mm: shift at the superior end of the structures, towards S and A.
        low_gain: share of that shift at their inferior end; linear in between, constant beyond.
        low_mm, high_mm: heights (S, mm) of the two ends.
        offset_sd_mm: standard deviation of the in-plane offset of a breath-hold, along each in-plane axis.
        offset_seed: from which the offsets are drawn again.
        slices_per_breath_hold: slices that share an offset.
        target_rms_mm: RMS displacement that was asked for.
        realised_mean_mm, realised_rms_mm, realised_p95_mm: measured on the applied field over the structures.
        measured_over: `label` or `foreground`; empty where nothing moves.
    """

    shift_si_mm: float = 0.0
    shift_ap_mm: float = 0.0
    low_gain: float = 1.0
    low_mm: float = 0.0
    high_mm: float = 0.0
    offset_sd_mm: float = 0.0
    offset_seed: int = 0
    slices_per_breath_hold: int = SLICES_PER_BREATH_HOLD
    target_rms_mm: float = 0.0
    realised_mean_mm: float = 0.0
    realised_rms_mm: float = 0.0
    realised_p95_mm: float = 0.0
    measured_over: str = ""

    @property
    def identity(self) -> bool:
        """Whether nothing moves."""
        return self.target_rms_mm == 0


def draw(rng: np.random.Generator, case: Case, *, moved: str, target_rms_mm: float) -> RespiratoryParameters:
    """Draw direction (in- or expiration), ratios and offsets; the RMS over the structures is the target.

    Raises:
        ConfigError: the level is negative, or the case has no second modality for `moved` to move against.
    """
    needs_pair(case, moved, target_rms_mm)
    if target_rms_mm == 0:
        return none(moved)
    grid, (mask, _) = case.images[moved].grid, structures(case, moved)
    low_mm, high_mm = _ends_mm(mask, grid)
    shift_si_mm = target_rms_mm if rng.random() < 0.5 else -target_rms_mm
    start = RespiratoryParameters(
        moved,
        shift_si_mm=shift_si_mm,
        shift_ap_mm=shift_si_mm * float(rng.uniform(*AP_RATIO)),
        low_gain=float(rng.uniform(*LOW_GAIN)),
        low_mm=low_mm,
        high_mm=high_mm,
        offset_sd_mm=OFFSET_RATIO * target_rms_mm,
        offset_seed=draw_seed(rng),
        target_rms_mm=target_rms_mm,
    )
    # linear in the three lengths
    drawn = _scaled(start, target_rms_mm / measure(field(start, grid), case, moved).rms_mm)
    return replace(drawn, **measure(field(drawn, grid), case, moved).to_json())


def none(moved: str) -> RespiratoryParameters:
    """No motion."""
    return RespiratoryParameters(moved)


def shifts_mm(parameters: RespiratoryParameters, grid: Grid) -> Array:
    """How far each slice of the grid is shifted, in RAS mm: [slices, 3]."""
    p, axis = parameters, slice_axis(grid)
    n = grid.shape[axis]
    centre = (np.array(grid.shape) - 1) / 2
    index = np.tile(centre, (n, 1))
    index[:, axis] = np.arange(n)
    height = index @ grid.affine[2, :3] + grid.affine[2, 3]
    gain = np.interp(height, [p.low_mm, p.high_mm], [p.low_gain, 1.0])
    breathing = gain[:, None] * np.array([0.0, p.shift_ap_mm, p.shift_si_mm])
    blocks = np.arange(n) // p.slices_per_breath_hold
    draws = np.random.default_rng(p.offset_seed).standard_normal((blocks[-1] + 1, 2)) * p.offset_sd_mm
    in_plane = np.delete(grid.affine[:3, :3] / np.array(grid.spacing_mm), axis, axis=1)
    shifts: Array = breathing + (draws @ in_plane.T)[blocks]
    return shifts


def field(parameters: RespiratoryParameters, grid: Grid) -> Field:
    """The field that `apply` follows: a slice shows what lay opposite to its shift."""
    shifts, axis = shifts_mm(parameters, grid), slice_axis(grid)

    def evaluate(axes: Axes) -> Array:
        shape = [3, 1, 1, 1]
        shape[1 + axis] = len(axes[axis])
        constant = -shifts[axes[axis]].T.reshape(shape)
        return np.broadcast_to(constant, (3, *(len(a) for a in axes))).copy()

    return evaluate


def apply(case: Case, parameters: RespiratoryParameters) -> Case:
    """Shift image and label of one modality slice by slice; no motion returns `case` itself."""
    if parameters.identity:
        return case
    moved = parameters.moved
    return warp(case, moved, field(parameters, case.images[moved].grid))


def _scaled(parameters: RespiratoryParameters, scale: float) -> RespiratoryParameters:
    p = parameters
    return replace(
        p,
        shift_si_mm=scale * p.shift_si_mm,
        shift_ap_mm=scale * p.shift_ap_mm,
        offset_sd_mm=scale * p.offset_sd_mm,
    )


def _ends_mm(mask: np.ndarray[Any, np.dtype[np.bool_]], grid: Grid) -> tuple[float, float]:
    """Heights (S, mm) of the lowest and the highest structure voxel, from the filled planes of each axis."""
    corners = np.array(np.meshgrid(*([ticks[0], ticks[-1]] for ticks in box(mask)))).reshape(3, -1)
    heights = grid.affine[2, :3] @ corners + grid.affine[2, 3]
    return float(heights.min()), float(heights.max())
