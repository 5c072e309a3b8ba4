"""The figures that set phantoms beside real scans: what needs no real scan."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from parallax.case import Volume

STUDIES = Path(__file__).resolve().parents[1] / "studies"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(STUDIES)
    yield lambda name: importlib.import_module(name)
    for name in ("panels", "histograms", "phantoms_beside_real"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_right_side_of_the_patient_is_on_the_left(study, sign):
    array = np.zeros((6, 5, 4), np.int16)
    array[5 if sign > 0 else 0, 4, 3] = 1  # right, front, top
    volume = Volume(array, np.diag([sign, 1.0, 2.0, 1.0]))
    panels = study("panels")
    axial, size = panels.slice_of(volume, "axial", 0.99)
    assert (axial.shape, size, axial[0, 0]) == ((5, 6), (1.0, 1.0), 1)
    coronal, size = panels.slice_of(volume, "coronal", 0.99)
    assert (coronal.shape, size, coronal[0, 0]) == ((4, 6), (1.0, 2.0), 1)
    sagittal, _ = panels.slice_of(volume, "sagittal", 0.99)
    assert (sagittal.shape, sagittal[0, 0]) == ((4, 5), 1)


def test_a_page_holds_its_panels_at_one_scale(study, tmp_path):
    panels = study("panels")
    volume = Volume(np.ones((6, 5, 4), np.int16), np.diag([2.0, 2.0, 3.0, 1.0]))
    one = panels.Panel("one", volume, "axial", 0.5, (0.0, 2.0), volume)
    path = tmp_path / "new" / "page.png"
    panels.draw_page([[one, one], [one]], (20.0, 20.0), 5.0, "page", path)
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_missing_scans_are_named(study, tmp_path, capsys):
    assert study("phantoms_beside_real").main(["--real", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "phantoms-beside-real.md" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
