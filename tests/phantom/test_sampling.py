"""Sizes: one subject at every size, thick slices where scanners make them, files that a run can read."""

import numpy as np
import pytest

from parallax.data.frame import to_common
from parallax.phantom.canvas import Canvas, centred_grid
from parallax.phantom.fields import stream
from parallax.phantom.geometry import half_space, rotation
from parallax.phantom.heart_anatomy import paint_heart
from parallax.phantom.sampling import abdomen_size, heart_size, orbit_size
from parallax.plugin import load_dataset

TABLES = {"heart": heart_size, "abdomen": abdomen_size, "orbit": orbit_size}


def _centres_mm(painted):
    affine = painted.grid.affine
    return [
        affine[:3, :3] @ np.argwhere(painted.label == k).mean(axis=0) + affine[:3, 3] for k in range(1, 8)
    ]


def test_one_subject_is_the_same_at_every_size():
    grids = [next(iter(heart_size(size).scans.values())).grid for size in ("small", "default", "fine")]
    painted = [paint_heart(grid, 0, 5, (1, 1, 1)) for grid in grids]
    volumes = [np.bincount(p.label.ravel())[1:8] * np.prod(p.grid.spacing_mm) for p in painted]
    for volume, one in zip(volumes[:2], painted[:2], strict=True):
        assert np.abs(volume / volumes[2] - 1).max() < 0.12
        assert np.abs(np.subtract(_centres_mm(one), _centres_mm(painted[2]))).max() < 2.0


@pytest.mark.parametrize("size", ["fine", "real"])
@pytest.mark.parametrize("family", TABLES)
def test_near_the_real_spacing_modalities_have_grids_of_their_own(family, size):
    scans = TABLES[family](size).scans
    assert len({how.spacing_mm for how in scans.values()}) == 2
    assert len({how.codes for how in scans.values()}) == 2
    mr = scans["MR" if "MR" in scans else "T2"]
    assert max(mr.spacing_mm) >= 1.6 * min(mr.spacing_mm)
    # parts of a thick slice are about as long as they are wide
    parts = np.array(mr.spacing_mm) / mr.split
    assert parts.max() <= 2.5 * parts.min()


def test_coronal_stacks_are_thick_from_front_to_back():
    assert np.argmax(abdomen_size("real", coronal=True).scans["MR"].spacing_mm) == 1
    assert np.argmax(abdomen_size("real").scans["MR"].spacing_mm) == 2


def test_a_thick_slice_averages_what_lies_in_it():
    grid = centred_grid((4, 4, 2), (1.0, 1.0, 8.0))
    canvas = Canvas(grid, "air", (1, 1, 8))
    brush = canvas.brush(rotation((0, 0, 0)), (0, 0, 0), 1.0, stream("t", 0, 0, "w"), (0.0, 20.0))
    brush.fill(half_space((0, 0, 2), (0, 0, 1)), "fat", 1)
    painted = canvas.finish()
    # the upper slice reaches from z = 0 to 8: three quarters of it are fat
    assert np.allclose(painted.mixed([0.0, 1.0])[:, :, 1], 0.75)
    assert np.allclose(painted.mixed([0.0, 1.0])[:, :, 0], 0.0)


def test_fine_scans_on_different_grids_reach_the_common_frame(tmp_path):
    dataset = load_dataset("phantom_orbit", {"cases": 1, "size": "fine"})
    dataset.stage(dataset.case_ids(), tmp_path)
    case = dataset.read(dataset.case_ids()[0], tmp_path)
    assert len({volume.array.shape for volume in case.images.values()}) == 2
    common = to_common(case, dataset.task)
    assert common.grid.spacing_mm == pytest.approx(dataset.task.spacing_mm)
    t1, _, t2 = common.label
    shared = 2 * ((t1 == t2) & (t1 > 0)).sum() / ((t1 > 0).sum() + (t2 > 0).sum())
    # the same anatomy through slices of 2.5 mm in two directions
    assert 0.7 < shared < 1.0
