"""Sizes of organs against published ones, and apart from each other between subjects."""

import csv
from pathlib import Path

import numpy as np
import pytest

from parallax.phantom import abdomen_anatomy, heart_anatomy, orbit_anatomy
from parallax.phantom.canvas import axes_mm, centred_grid

TABLE = Path(__file__).parents[1] / "golden" / "volumes.csv"
PAINT = {"heart": heart_anatomy.paint_heart, "abdomen": abdomen_anatomy.paint_abdomen}
GRIDS = {
    "heart": centred_grid((48, 48, 32), (3.0, 3.0, 3.75)),
    "abdomen": centred_grid((64, 48, 32), (4.5, 5.0, 6.0)),
}
SUBJECTS = 12


def _rows(family):
    with TABLE.open(encoding="utf-8", newline="") as handle:
        return [row for row in csv.DictReader(handle) if row["family"] == family]


@pytest.fixture(scope="module")
def volumes_ml():
    """Family to [subjects, 16] volumes; a voxel counts whole (split 1), which favours no structure."""
    found = {}
    for family, grid in GRIDS.items():
        labels = [PAINT[family](grid, 0, i, (1, 1, 1)).label for i in range(SUBJECTS)]
        voxel_ml = np.prod(grid.spacing_mm) / 1000
        found[family] = np.stack([np.bincount(x.ravel(), minlength=16) for x in labels]) * voxel_ml
    return found


@pytest.mark.parametrize("family", GRIDS)
def test_volumes_scatter_within_the_published_range(volumes_ml, family):
    for row in _rows(family):
        ml = volumes_ml[family][:, int(row["value"])]
        low, middle, high = (float(row[k]) for k in ("low_ml", "middle_ml", "high_ml"))
        # the mean within half of the way to the ends; of 12 subjects one or two may lie outside
        assert 0.5 * (low + middle) < ml.mean() < 0.5 * (middle + high), (row["structure"], ml.mean())
        assert ((ml >= low) & (ml <= high)).mean() > 0.8, (row["structure"], np.sort(ml))
        assert ml.std() > 0.08 * ml.mean(), row["structure"]


@pytest.fixture(scope="module")
def orbits():
    """Of each side of 12 subjects: whether it is diseased, and sizes of what it holds."""
    grid = centred_grid((104, 76, 48), (1.0, 1.0, 1.0))
    x, y, _ = axes_mm(grid)
    rows = []
    for subject in range(SUBJECTS):
        label = orbit_anatomy.paint_orbits(grid, 0, subject, (1, 1, 1)).label
        ill = orbit_anatomy.orbit_disease(0, subject).severity > 0
        for side in (label * (x > 0)[:, None, None], label * (x < 0)[:, None, None]):
            ml = np.bincount(side.ravel(), minlength=10) / 1000
            pole = y[(side == orbit_anatomy.GLOBE).any(axis=(0, 2))].min()
            rows.append((ill, ml, np.isin(side[:, y < pole], (3, 4, 5, 6, 8)).sum() / 1000))
    return rows


def test_orbits_have_the_published_sizes(orbits):
    globe = np.array([ml[orbit_anatomy.GLOBE] for _, ml, _ in orbits])
    # ICRP 89: an eye weighs 7.5 g
    assert globe.mean() == pytest.approx(7.5, rel=0.15)
    for ill, gland, muscle in ((False, (0.5, 0.9), (1.1, 3.1)), (True, (0.5, 1.25), (2.8, 7.3))):
        # glands: PMID 24448234, 27729751; muscle behind the globe: 2.1 +- 0.5 and 4.3 +- 1.5 ml
        glands = [ml[orbit_anatomy.GLAND] for sick, ml, _ in orbits if sick == ill]
        muscles = [behind for sick, _, behind in orbits if sick == ill]
        assert gland[0] < np.mean(glands) < gland[1]
        assert muscle[0] < np.mean(muscles) < muscle[1], (np.mean(muscles), np.sort(muscles))
