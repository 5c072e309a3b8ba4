"""Which boundary each scan shows, over all subjects: contrast between two tissues in units of the noise."""

import numpy as np
import pytest

CLEAR, WEAK, NONE = (3.0, np.inf), (1.0, 3.0), (0.0, 1.0)

# Family, two tissues, scan (modality and stratum) to what is seen of their boundary.
TABLE = [
    ("heart", "blood_left", "myocardium", {"CT unenhanced": NONE, "CT opacified": CLEAR, "MR": CLEAR}),
    ("heart", "blood_right", "myocardium", {"CT unenhanced": NONE, "CT washout": NONE, "MR": CLEAR}),
    ("heart", "blood_right", "myocardium", {"CT opacified": CLEAR}),
    ("heart", "blood_left", "blood_right", {"CT unenhanced": NONE, "CT washout": CLEAR, "MR": WEAK}),
    ("heart", "fat", "blood_left", {"CT unenhanced": CLEAR, "CT opacified": CLEAR, "MR": NONE}),
    ("heart", "lung", "fat", {"CT unenhanced": CLEAR, "CT washout": CLEAR}),
    ("abdomen", "liver", "spleen", {"CT plain": NONE, "CT portal": NONE, "MR": CLEAR}),
    ("abdomen", "pancreas", "bowel_wall", {"CT plain": NONE, "CT portal": WEAK, "MR": CLEAR}),
    ("abdomen", "kidney_cortex", "liver", {"CT plain": WEAK, "CT portal": CLEAR, "MR": CLEAR}),
    ("abdomen", "blood_vein", "muscle", {"CT plain": NONE, "CT portal": CLEAR, "MR": CLEAR}),
    ("abdomen", "gas", "visceral_fat", {"CT plain": CLEAR, "CT portal": CLEAR}),
    ("abdomen", "bile", "fluid", {"CT plain": NONE, "CT portal": NONE}),
    ("orbit", "eye_muscle", "fat", {"T1": CLEAR, "T1c": CLEAR, "T2": CLEAR}),
    ("orbit", "vitreous", "fat", {"T1": CLEAR, "T1c": WEAK, "T2": CLEAR}),
    ("orbit", "lacrimal_gland", "muscle", {"T1": WEAK, "T1c": CLEAR, "T2": CLEAR}),
    ("orbit", "lacrimal_gland", "fat", {"T1": CLEAR, "T1c": CLEAR, "T2": CLEAR}),
]


def _contrast(one, modality, tissues):
    """|difference of means| over the mean scatter of the two; None where a tissue is too thin."""
    parts = [one.subject.images[modality][one.pure(tissue)] for tissue in tissues]
    if min(map(len, parts)) < 8:
        return None
    scatter = np.sqrt(np.mean([part.astype(float).var() for part in parts]))
    return abs(float(parts[0].mean() - parts[1].mean())) / scatter


def _found(several, scan, tissues):
    modality, _, stratum = scan.partition(" ")
    facts = (one.subject.facts for one in several)
    chosen = [
        one for one, fact in zip(several, facts, strict=True) if not stratum or stratum in fact.values()
    ]
    values = [_contrast(one, modality, tissues) for one in chosen]
    return [value for value in values if value is not None]


@pytest.mark.parametrize(
    ("family", "a", "b", "scan", "band"),
    [(family, a, b, scan, band) for family, a, b, seen in TABLE for scan, band in seen.items()],
)
def test_boundary_is_seen_as_designed(made, family, a, b, scan, band):
    values = _found(made[family], scan, (a, b))
    assert values
    assert band[0] <= np.mean(values) < band[1], np.round(values, 1)
