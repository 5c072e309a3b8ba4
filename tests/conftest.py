"""Fixtures that several rooms of the tests share."""

from pathlib import Path

import numpy as np
import pytest
from balls import ball_volumes, centred_affine
from hypothesis import HealthCheck, settings

from parallax.case import Case, Modality, Pairing, Task

# The same examples at every run and on a machine that is busy; `make fuzz` draws others, and more of them.
settings.register_profile(
    "always",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "longer", settings.get_profile("always"), derandomize=False, max_examples=2000, print_blob=True
)
settings.load_profile("always")


@pytest.fixture(scope="session", autouse=True)
def _no_verdict_of_other_runs(tmp_path_factory):
    """Label maps that a run in this checkout found good are read again, and tests leave nothing there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("parallax.data.checked.CACHE", tmp_path_factory.mktemp("cache") / "checked.json")
        yield


@pytest.fixture(scope="session")
def real_data():
    """Real scans beside the checkout; they are not part of the project, so tests of them may be skipped."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "real-data"
    if not folder.is_dir():
        pytest.skip(f"no real scans at {folder}")
    return folder


@pytest.fixture(scope="session")
def two_modality_task():
    """CT and MR of one patient, two structures, 2 mm."""
    return Task(
        name="toy",
        modalities=(Modality("CT", "ct"), Modality("MR", "mr")),
        classes={"large": 1, "small": 2},
        pairing=Pairing.SAME_SUBJECT,
        spacing_mm=(2.0, 2.0, 2.0),
        severity_mm=(0.0, 2.0, 6.0),
        nsd_tolerance_mm={"large": 2.0, "small": 1.0},
    )


@pytest.fixture
def ball_case():
    """A case in two modalities on different grids: CT at 2 mm RAS, MR oblique, LAS and anisotropic."""
    angle = np.deg2rad(12)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    ct_shape, mr_shape = (32, 30, 28), (48, 46, 20)
    ct = ball_volumes(centred_affine(np.diag([2.0, 2.0, 2.0]), ct_shape), ct_shape, np.int16)
    mr = ball_volumes(centred_affine(turn @ np.diag([-1.4, 1.4, 3.0]), mr_shape), mr_shape)
    return Case("a", {"CT": ct[0], "MR": mr[0]}, {"CT": ct[1], "MR": mr[1]})
