"""Signal equations against values worked out by hand, and scans of a plain cube."""

import numpy as np
import pytest

from parallax.phantom.acquire import balanced_ssfp, ct_scan, enhanced, mr_scan, spin_echo
from parallax.phantom.canvas import Canvas, centred_grid
from parallax.phantom.fields import stream
from parallax.phantom.geometry import ellipsoid, rotation
from parallax.phantom.tissues import Tissue, draw_tissues, tissue_table

WATER = Tissue(t1_ms=1000.0, t2_ms=100.0, pd=0.8, hu=0.0, hu_portal=0.0, hu_sd=0.0)


def test_spin_echo_by_hand():
    # 0.8 * (1 - e^-1) * e^-1
    assert spin_echo(WATER, 1000.0, 100.0) == pytest.approx(0.8 * 0.632121 * 0.367879, rel=1e-5)


def test_balanced_ssfp_by_hand():
    # flip 90 degrees: PD / (1 + T1/T2)
    assert balanced_ssfp(WATER, 90.0) == pytest.approx(0.8 / 11, rel=1e-6)


def test_contrast_agent_by_hand():
    # 1/T1' = 1/1 s + 4.5/(mmol/l s) * 1 mmol/l = 5.5/s
    assert enhanced(WATER, 1.0).t1_ms == pytest.approx(1000 / 5.5)


def test_fat_is_suppressed_and_has_opposite_phase():
    fat = tissue_table()["fat"]
    assert spin_echo(fat, 600, 12, 0.2) == pytest.approx(0.2 * spin_echo(fat, 600, 12))
    assert balanced_ssfp(fat, 60.0) < 0


def test_bright_blood_stands_out_from_myocardium():
    table = tissue_table()
    assert 2 < balanced_ssfp(table["blood"], 60) / balanced_ssfp(table["myocardium"], 60) < 4


def test_tissues_vary_but_little():
    drawn, table = draw_tissues(stream("t", 0, 0, "x")), tissue_table()
    ratios = np.array([drawn[name].t1_ms / table[name].t1_ms for name in table])
    assert ratios.std() > 0.01
    assert np.abs(np.log(ratios)).max() <= 0.1 + 1e-9


def _ball():
    grid = centred_grid((24, 24, 16), (3.0, 3.0, 3.0))
    canvas = Canvas(grid, "air")
    brush = canvas.brush(rotation((0, 0, 0)), (0, 0, 0), 1.0, stream("t", 0, 0, "w"), (0.0, 20.0))
    brush.fill(ellipsoid((0, 0, 0), (20, 20, 20)), "liver", 1)
    return canvas.finish()


def test_ct_has_the_hounsfield_units_and_the_noise_asked_for():
    ball = _ball()
    image = ct_scan(ball, {"air": -1000, "liver": 55}, stream("t", 0, 0, "ct"), noise_hu=20)
    core = image[8:16, 8:16, 5:11].astype(float)
    assert core.mean() == pytest.approx(55, abs=4)
    assert 14 < core.std() < 27
    assert image[0, 0].mean() == pytest.approx(-1000, abs=25)  # the noise is cut at -1024


def test_mr_has_the_signal_to_noise_ratio_asked_for():
    ball = _ball()
    image = mr_scan(ball, {"air": 0.0, "liver": 1.0}, stream("t", 0, 0, "mr"), snr=20, bias=0.0)
    core, background = image[8:16, 8:16, 5:11].astype(float), image[:, :, 0].astype(float)
    # Rayleigh: the mean of pure noise is sigma * sqrt(pi / 2)
    assert core.mean() / (background.mean() / np.sqrt(np.pi / 2)) == pytest.approx(20, rel=0.15)


def test_modalities_do_not_share_their_texture():
    ball = _ball()
    ct = ct_scan(ball, {"air": -1000, "liver": 55}, stream("t", 0, 0, "CT"), noise_hu=20)
    mr = mr_scan(ball, {"air": 0.0, "liver": 1.0}, stream("t", 0, 0, "MR"), snr=20, bias=0.0)
    core = (slice(8, 16), slice(8, 16), slice(5, 11))
    assert abs(np.corrcoef(ct[core].ravel(), mr[core].ravel())[0, 1]) < 0.2
