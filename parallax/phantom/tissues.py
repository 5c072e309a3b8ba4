"""What tissues look like to a scanner: relaxation times, proton density and Hounsfield units.

Sources (the letters stand beside the rows):
    B  de Bazelaire et al., Radiology 2004 230:652 (abdomen, 1.5 T and 3 T)
    D  Dabir et al., JCMR 2014 16:69, and Granitz et al. 2018 (myocardium)
    P  Patz et al., JMRI 2007 (eye), and 7 T MR fingerprinting of the eye, PMC6519255
    S  Stanisz et al., MRM 2005 54:507 (muscle, blood, optic nerve)
    H  HU: measured on an unenhanced abdominal CT with public pseudo-labels; textbook portal-venous values
    X  no published value at hand: set between its neighbours so that the contrast has the right sign
Proton densities are relative and of kind X throughout. Published values scatter widely (Bojorquez, MRI 2017
35:69), which is why `draw_tissues` varies them from subject to subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from parallax.phantom.fields import log_normal


@dataclass(frozen=True)
class Tissue:
    """One tissue at 1.5 T.

    Attributes:
        t1_ms, t2_ms: relaxation times.
        pd: proton density relative to water.
        hu: Hounsfield units without contrast agent.
        hu_portal: Hounsfield units in the portal-venous phase.
        hu_sd: standard deviation of the mean HU between subjects.
        fat: whether its protons are fat (suppressed by fat saturation, opposed phase in balanced SSFP).
    """

    t1_ms: float
    t2_ms: float
    pd: float
    hu: float
    hu_portal: float
    hu_sd: float
    fat: bool = False


def tissue_table() -> dict[str, Tissue]:
    """Name to tissue, as sourced in the head of this module."""
    return {
        "air": Tissue(1, 1, 0.0, -1000, -1000, 0),
        "gas": Tissue(1, 1, 0.0, -950, -950, 10),
        "lung": Tissue(1200, 30, 0.12, -830, -820, 25),  # X, H
        "bone": Tissue(900, 12, 0.25, 480, 480, 60),  # X: cortex and marrow mixed at this voxel size
        "rib": Tissue(700, 30, 0.4, 240, 245, 50),  # X, H: thin cortex round marrow
        "marrow": Tissue(549, 49, 0.55, 180, 190, 35),  # B, H
        "disc": Tissue(1000, 60, 0.7, 85, 90, 8),  # X
        "fat": Tissue(343, 58, 0.90, -100, -100, 6, fat=True),  # B, H
        "muscle": Tissue(900, 38, 0.80, 50, 62, 5),  # B and S differ (27, 44): between, H
        "strand": Tissue(900, 60, 0.85, 10, 25, 8),  # X: small vessels and lymph nodes within fat
        "skin": Tissue(900, 35, 0.70, 30, 40, 5),  # X
        "liver": Tissue(586, 46, 0.80, 55, 112, 7),  # B, H
        "spleen": Tissue(1057, 79, 0.85, 46, 124, 6),  # B, H
        "kidney_cortex": Tissue(966, 87, 0.86, 32, 182, 8),  # B, H
        "kidney_medulla": Tissue(1412, 85, 0.90, 30, 152, 8),  # B, H
        "pancreas": Tissue(584, 46, 0.82, 36, 92, 8),  # B, H
        "adrenal": Tissue(800, 60, 0.82, 15, 70, 8),  # X, H
        "stomach_wall": Tissue(1000, 55, 0.80, 38, 82, 6),  # X, H
        "bowel_wall": Tissue(1000, 55, 0.80, 35, 80, 6),  # X, H
        "fluid": Tissue(2000, 260, 0.95, 10, 10, 4),  # X, H: gastric and bowel fluid
        "paste": Tissue(700, 70, 0.70, 40, 40, 10),  # X: bowel contents
        "bile": Tissue(2000, 300, 0.95, 8, 8, 4),  # X, H
        "blood": Tissue(1480, 250, 0.92, 42, 145, 5),  # S, H
        "myocardium": Tissue(970, 54, 0.82, 45, 100, 7),  # D, H
        "vitreous": Tissue(4000, 700, 0.98, 12, 12, 3),  # P
        "lens": Tissue(1500, 60, 0.75, 115, 115, 8),  # P
        "sclera": Tissue(1200, 35, 0.60, 45, 50, 5),  # X
        "eye_muscle": Tissue(1100, 52, 0.80, 55, 75, 6),  # P at 7 T scaled towards S
        "optic_nerve": Tissue(815, 77, 0.72, 35, 38, 5),  # S
        "nerve_sheath": Tissue(3000, 500, 0.95, 10, 10, 3),  # X: cerebrospinal fluid and dura in one voxel
        "lacrimal_gland": Tissue(1000, 80, 0.82, 45, 85, 6),  # X
        "mucosa": Tissue(1500, 120, 0.90, 40, 70, 6),  # X
        "brain": Tissue(850, 85, 0.78, 36, 40, 3),  # S
        "white_matter": Tissue(570, 74, 0.73, 30, 33, 3),  # S
    }


def draw_tissues(rng: np.random.Generator) -> Mapping[str, Tissue]:
    """One subject's tissues: T1, T2 and density vary by 5 %, HU by the tissue's own standard deviation."""
    drawn = {}
    for name, tissue in tissue_table().items():
        t1, t2, pd = log_normal(rng, 0.05, 3)
        shift = float(np.clip(rng.normal(), -2, 2)) * tissue.hu_sd
        drawn[name] = replace(
            tissue,
            t1_ms=tissue.t1_ms * float(t1),
            t2_ms=tissue.t2_ms * float(t2),
            pd=tissue.pd * float(pd),
            hu=tissue.hu + shift,
            hu_portal=tissue.hu_portal + shift,
        )
    return drawn
