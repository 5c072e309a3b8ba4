"""The signals of the heart phantom: CT angiography in three contrast regimes and balanced SSFP MR."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

import numpy as np

from parallax.case import Grid
from parallax.phantom.acquire import balanced_ssfp
from parallax.phantom.canvas import SPLIT, Split
from parallax.phantom.fields import balanced_choice, stream
from parallax.phantom.heart_anatomy import FAMILY, REGIMES, paint_heart
from parallax.phantom.scanner import CtMr
from parallax.phantom.subject import Subject
from parallax.phantom.tissues import draw_tissues

SCANNERS = CtMr(noise_hu=(20, 32), snr=(10, 18), bias=(0.1, 0.25))


def _ct_values(regime: str, rng: np.random.Generator) -> Mapping[str, float]:
    hu = {name: tissue.hu for name, tissue in draw_tissues(rng).items()}
    noise = rng.normal
    left, right = 350 + noise(0, 35), 240 + noise(0, 45)
    if regime == "washout":
        right = 125 + noise(0, 15)
    if regime == "unenhanced":
        left = 48 + noise(0, 6)
        right = left - 4
    else:
        hu["myocardium"] = 100 + noise(0, 8)
        hu["liver"], hu["muscle"] = 75 + noise(0, 6), 60 + noise(0, 4)
    return hu | {
        "blood_left": left,
        "blood_right": right,
        "blood_vena_cava": right + (60 if regime == "opacified" else 0),
        "blood_unmixed": 0.5 * (right + 60) if regime != "unenhanced" else right,
    }


def _mr_values(rng: np.random.Generator) -> Mapping[str, float]:
    tissues = draw_tissues(rng)
    signal = {name: balanced_ssfp(tissue, 60.0) for name, tissue in tissues.items()}
    blood = signal["blood"]
    veins = blood * float(rng.uniform(0.82, 0.95))  # less saturated with oxygen: shorter T2
    return signal | {
        "blood_left": blood,
        "blood_right": veins,
        "blood_vena_cava": veins,
        "blood_unmixed": veins,
    }


def heart_subject(
    grid: Grid, seed: int, subject: int, split: Split = SPLIT, wanted: Collection[str] | None = None
) -> Subject:
    """CT (one of three contrast regimes) and bSSFP MR of one subject; labels 1..7.

    Args:
        grid: RAS; its origin is the centre of the view.
        seed: of the data set.
        subject: number of the subject, from 0.
        split: parts per voxel in which the anatomy is painted.
        wanted: modalities to scan; None = all. Each is the same whichever others are made.
    """
    painted = paint_heart(grid, seed, subject, split)
    regime = balanced_choice(FAMILY, seed, subject, "regime", REGIMES)
    rngs = stream(FAMILY, seed, subject, "CT"), stream(FAMILY, seed, subject, "MR")
    images, quality = SCANNERS.scan(painted, partial(_ct_values, regime), _mr_values, rngs, wanted)
    return Subject(grid, images, painted.label, {"regime": regime, **quality})
