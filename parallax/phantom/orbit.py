"""The signals of the orbit phantom: T1, fat-suppressed T1 after gadolinium, and fat-suppressed T2 MR."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from parallax.case import Grid
from parallax.phantom.acquire import enhanced, mr_scan, spin_echo
from parallax.phantom.canvas import SPLIT, Split, axes_mm
from parallax.phantom.fields import Array, log_normal, stream
from parallax.phantom.orbit_anatomy import FAMILY, Disease, orbit_disease, paint_orbits
from parallax.phantom.subject import Subject
from parallax.phantom.tissues import Tissue, draw_tissues


def _tissues(rng: np.random.Generator, disease: Disease) -> dict[str, Tissue]:
    tissues = dict(draw_tissues(rng))
    muscle = tissues["eye_muscle"]
    # Oedema: T2 rises by 6 ms in every enlarged muscle and by up to 38 ms more with activity.
    oedema = (6.0 + 38.0 * disease.activity) * (disease.severity > 0)
    tissues["eye_muscle"] = replace(
        muscle, t1_ms=muscle.t1_ms * (1 + 0.12 * disease.activity), t2_ms=muscle.t2_ms + oedema
    )
    tissues["vessel"] = replace(tissues["blood"])
    return tissues


def _contrasts(tissues: Mapping[str, Tissue], rng: np.random.Generator) -> Mapping[str, dict[str, float]]:
    """Signal of each tissue in T1, fat-suppressed T1 after gadolinium, and fat-suppressed T2."""
    uptake = {
        "eye_muscle": 0.28,
        "lacrimal_gland": 0.34,
        "mucosa": 0.4,
        "vessel": 0.5,
        "skin": 0.12,
        "muscle": 0.06,
    }
    dose = float(log_normal(rng, 0.15))
    after = {name: enhanced(t, dose * uptake.get(name, 0.0)) for name, t in tissues.items()}
    weak, strong = float(rng.uniform(0.12, 0.2)), float(rng.uniform(0.18, 0.28))
    signal = {
        "T1": {name: spin_echo(t, 600.0, 12.0) for name, t in tissues.items()},
        "T1c": {name: spin_echo(t, 600.0, 12.0, weak) for name, t in after.items()},
        "T2": {name: spin_echo(t, 4000.0, 85.0, strong) for name, t in tissues.items()},
    }
    for contrast in signal.values():
        contrast["vessel"] *= 0.6  # flow void
    return signal


def _coil(grid: Grid) -> Array:
    """A head coil sees the face 1.5 times as well as what lies 75 mm behind it."""
    return np.asarray(np.exp(axes_mm(grid)[1] / 180)[None, :, None], dtype=np.float32)


def orbit_subject(
    grid: Grid, seed: int, subject: int, split: Split = SPLIT, wanted: Collection[str] | None = None
) -> Subject:
    """T1, T1c and T2 of one subject; labels 1..9.

    Args:
        grid: RAS; its origin is the centre of the view.
        seed: of the data set.
        subject: number of the subject, from 0.
        split: parts per voxel in which the anatomy is painted.
        wanted: modalities to scan; None = all. Each is the same whichever others are made.
    """
    painted, disease = paint_orbits(grid, seed, subject, split), orbit_disease(seed, subject)
    rng = stream(FAMILY, seed, subject, "tissues")
    signal = _contrasts(_tissues(rng, disease), rng)
    images, facts = {}, {"disease": "tao" if disease.severity > 0 else "healthy"}
    numbers: dict[str, float] = {"severity": disease.severity, "activity": disease.activity}
    for modality, values in signal.items():
        own = stream(FAMILY, seed, subject, modality)
        snr, bias = float(own.uniform(16, 26)), float(own.uniform(0.05, 0.16))
        numbers[f"{modality}_snr"] = snr
        if wanted is None or modality in wanted:
            images[modality] = mr_scan(painted, values, own, snr, bias, 60.0, _coil(painted.grid))
    return Subject(grid, images, painted.label, {**facts, **numbers})
