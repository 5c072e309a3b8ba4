"""The signals of the abdomen phantom: CT in three contrast phases and fat-suppressed T2 MR."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from parallax.case import Grid
from parallax.phantom.abdomen_anatomy import FAMILY, PHASES, paint_abdomen
from parallax.phantom.acquire import spin_echo
from parallax.phantom.canvas import SPLIT, Painted, Split, axes_mm
from parallax.phantom.fields import Array, balanced_choice, stream
from parallax.phantom.scanner import CtMr
from parallax.phantom.subject import Subject
from parallax.phantom.tissues import draw_tissues

SCANNERS = CtMr(noise_hu=(9, 16), snr=(16, 26), bias=(0.05, 0.2), bias_mm=110.0)


def _ct_values(phase: str, rng: np.random.Generator) -> Mapping[str, float]:
    tissues = draw_tissues(rng)
    weight = {"plain": 0.0, "arterial": 0.35, "portal": 1.0}[phase]
    hu = {name: tissue.hu + weight * (tissue.hu_portal - tissue.hu) for name, tissue in tissues.items()}
    blood = {
        "plain": (42.0, 42.0, 42.0),
        "arterial": (300 + rng.normal(0, 30), 70 + rng.normal(0, 10), 80 + rng.normal(0, 10)),
        "portal": (150 + rng.normal(0, 10), 142 + rng.normal(0, 12), 165 + rng.normal(0, 10)),
    }[phase]
    if phase == "arterial":
        hu["kidney_cortex"], hu["spleen"], hu["pancreas"] = 190.0, hu["spleen"] + 45, hu["pancreas"] + 35
    names = ("blood_artery", "blood_vein", "blood_portal")
    return hu | {"visceral_fat": hu["fat"] - 4} | dict(zip(names, blood, strict=True))


def _mr_values(rng: np.random.Generator) -> Mapping[str, float]:
    """T2-weighted turbo spin echo, spectral fat saturation; flowing blood loses its signal."""
    suppression = float(rng.uniform(0.3, 0.45))
    tr_ms, te_ms = float(rng.uniform(2000, 4000)), float(rng.uniform(60, 95))
    signal = {name: spin_echo(t, tr_ms, te_ms, suppression) for name, t in draw_tissues(rng).items()}
    blood = signal["blood"]
    return signal | {
        "visceral_fat": signal["fat"],
        "blood_artery": blood * float(rng.uniform(0.02, 0.06)),
        "blood_vein": blood * float(rng.uniform(0.4, 0.55)),
        "blood_portal": blood * float(rng.uniform(0.35, 0.5)),
    }


def _coil(grid: Grid) -> Array:
    """Array coils on chest and back see the surface better than the depth, by half at 140 mm."""
    x, y, _ = axes_mm(grid)
    out = (x[:, None, None] / 140) ** 2 + (y[None, :, None] / 120) ** 2
    return np.asarray(1 + 0.5 * np.minimum(out, 1.2), dtype=np.float32)


def scan_abdomen(
    painted: Painted,
    phase: str,
    rngs: tuple[np.random.Generator, np.random.Generator],
    wanted: Collection[str] | None = None,
) -> tuple[dict[str, NDArray[np.int16]], dict[str, str | float]]:
    """CT in one contrast phase and T2 MR of one anatomy.

    Args:
        painted: the anatomy, in tissues of the table and `blood_{artery,vein,portal}`, `visceral_fat`.
        phase: `plain`, `arterial` or `portal`.
        rngs: sources of what is drawn for CT and for MR.
        wanted: modalities to scan; None = all. Each is the same whichever others are made.

    Returns:
        Images by modality, and what was drawn.
    """
    coil = _coil(painted.grid)
    images, quality = SCANNERS.scan(painted, partial(_ct_values, phase), _mr_values, rngs, wanted, coil)
    return images, {"phase": phase, **quality}


def abdomen_subject(
    grid: Grid, seed: int, subject: int, split: Split = SPLIT, wanted: Collection[str] | None = None
) -> Subject:
    """CT (one of three contrast phases) and T2 MR of one subject; labels are AMOS values.

    Args:
        grid: RAS; its origin is the centre of the view.
        seed: of the data set.
        subject: number of the subject, from 0.
        split: parts per voxel in which the anatomy is painted.
        wanted: modalities to scan; None = all. Each is the same whichever others are made.
    """
    painted = paint_abdomen(grid, seed, subject, split)
    phase = balanced_choice(FAMILY, seed, subject, "phase", PHASES)
    rngs = stream(FAMILY, seed, subject, "CT"), stream(FAMILY, seed, subject, "MR")
    images, facts = scan_abdomen(painted, phase, rngs, wanted)
    return Subject(grid, images, painted.label, facts)
