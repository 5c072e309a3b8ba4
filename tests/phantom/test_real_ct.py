"""The histogram of made CT beside real CT; skips without the real scans."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

REAL = Path(__file__).parents[3] / "shared" / "real-data"
TRUNK = REAL / "permissive" / "totalsegmentator" / "ct_trunk_3mm.nii.gz"
LIVER = REAL / "sharealike" / "chaos-ct" / "chaos_ct3_256.nii.gz"
pytestmark = pytest.mark.skipif(not (TRUNK.is_file() and LIVER.is_file()), reason="real-data is absent")

VOXEL_MM = np.array((4.5, 5.0, 6.0))


def _coarse(path, slices):
    """A real scan on voxels as large as the phantom's."""
    import nibabel

    image = nibabel.as_closest_canonical(nibabel.load(path))
    spacing = np.array(image.header.get_zooms()[:3])
    array = np.asarray(image.dataobj)[:, :, slices].astype(np.float32)
    blurred = ndimage.gaussian_filter(array, 0.42 * (VOXEL_MM / spacing - 1))
    return ndimage.zoom(blurred, spacing / VOXEL_MM, order=1)


def _shares(image):
    """Shares of the body's voxels in 25 bins from -200 to 300 HU; what lies outside counts at the ends."""
    body = np.zeros(image.shape, dtype=bool)
    for z in range(image.shape[2]):
        pieces, count = ndimage.label(ndimage.binary_opening(image[:, :, z] > -300, iterations=2))
        if count:
            largest = pieces == np.argmax(np.bincount(pieces.ravel())[1:]) + 1
            body[:, :, z] = ndimage.binary_fill_holes(largest)
    counts, _ = np.histogram(np.clip(image[body], -200, 299), np.arange(-200, 301, 20))
    return counts / body.sum()


def _overlap(a, b):
    return float(np.minimum(a, b).sum())


def test_histogram_is_nearer_to_a_real_scan_of_its_phase_than_two_patients_are(subjects):
    # kidneys to dome of the liver of the unenhanced scan; the liver of the portal-venous one
    real = {
        "plain": _shares(_coarse(TRUNK, slice(66, 107))),
        "portal": _shares(_coarse(LIVER, slice(0, 70))),
    }
    between_patients = _overlap(real["plain"], real["portal"])
    for phase, shares in real.items():
        chosen = [s for s in subjects["abdomen"] if s.facts["phase"] == phase]
        pooled = np.mean([_shares(s.images["CT"]) for s in chosen], axis=0)
        # chance to be no better than another patient: two real scans of other phases share 0.49; 0.7 is the
        # overlap of scans whose tissue shares differ by 30 % of the voxels
        assert _overlap(pooled, shares) > max(0.7, between_patients), phase
