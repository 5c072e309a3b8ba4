"""Methods that misbehave, each trained and asked by the scripts of the workflow in processes of their own."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import runs

HEAD = '''"""A method of a drill."""
import time

import numpy as np

from parallax.case import Prediction
from parallax.learn.method import Cost, Method


class Faulty(Method):
    """Does one thing wrong."""

    name = "faulty"
    title = "Faulty"
    source = "a test"
    control = True  # needs no torch

    def fit(self, view, scratch):
        FIT
        return Cost(0, 0, 0, 0.0, 0.0, 0.0, "cpu")

    def save(self, folder):
        folder.mkdir(exist_ok=True)

    def load(self, folder):
        return

    def predict(self, view):
        PREDICT
        return Prediction({name: np.zeros(grid.shape, np.uint8) for name, grid in view.native.items()})
'''
MAPS = "return Prediction({{name: {} for name, grid in view.native.items()}})"
NAN = (
    "from parallax.data.frame import native_label_maps; k = len(view.sample.available); "
    "shape = (k, view.task.n_classes, *view.sample.grid.shape); "
    "return native_label_maps(np.full(shape, np.nan, np.float32), view)"
)
#: Fault: code in `fit`, code in `predict`, what the reason says.
FAULTS = {
    "raises in training": ("raise ValueError('no way')", "pass", "ValueError: no way"),
    "raises in prediction": ("pass", "raise ValueError('no way')", "ValueError: no way"),
    "hangs in training": ("time.sleep(3600)", "pass", "LimitError: not done within 8 s"),
    "loops in training": (
        "\n        while True:\n            pass",
        "pass",
        "LimitError: not done within 8 s",
    ),
    "hangs in prediction": ("pass", "time.sleep(3600)", "LimitError: not done within 8 s"),
    "eats memory bit by bit": (
        "\n        held = []\n        while True:\n            held.append(b'x' * 2**24)",
        "pass",
        "LimitError: held ",
    ),
    "eats memory at once": ("np.ones((2**40,), np.uint8)", "pass", "MemoryError: Unable to allocate"),
    "eats memory in prediction": ("pass", "np.ones((2**40,), np.uint8)", "MemoryError: Unable to allocate"),
    "returns NaN": ("pass", MAPS.format("np.full(grid.shape, np.nan)"), "expected label maps"),
    "scores that are NaN": ("pass", NAN, "class scores are NaN or infinite"),
    "wrong shape": ("pass", MAPS.format("np.zeros((2, 2, 2), np.uint8)"), "expected label maps"),
    "wrong classes": ("pass", MAPS.format("np.full(grid.shape, 200, np.uint8)"), "expected classes 0 to "),
    "a modality too few": ("pass", "return Prediction({})", "expected label maps"),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with room for one more method; the rest are links to this one."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("workflow", "profiles", "datasets", "methods", "results"):
        (folder / name).symlink_to(runs.ROOT / name)
    for name in ("Snakefile", "requirements.lock", "claims.yaml"):
        (folder / name).symlink_to(runs.ROOT / name)
    # plug-ins are found beside the package, wherever links lead
    shutil.copytree(runs.ROOT / "parallax", folder / "parallax", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "baselines").mkdir()
    for path in (runs.ROOT / "baselines").glob("*.py"):
        (folder / "baselines" / path.name).symlink_to(path)
    return folder


def _script(checkout, name, options, limit_s=600):
    given = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    given += [
        "--method",
        "faulty",
        "--budget",
        '{"steps": 1}',
        "--limit-s",
        f"{limit_s}",
        "--limit-mib",
        "700",
    ]
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    script = runs.ROOT / "workflow" / "scripts" / f"{name}.py"
    return subprocess.run(
        [sys.executable, str(script), *given], env=environment, capture_output=True, text=True, timeout=300
    )


#: The others take a minute of processor time: `make faults` does them.
ALWAYS = ("hangs in training", "eats memory at once", "scores that are NaN", "wrong classes")


@pytest.mark.parametrize(
    "fault", [fault if fault in ALWAYS else pytest.param(fault, marks=pytest.mark.faults) for fault in FAULTS]
)
def test_a_method_that_misbehaves_leaves_a_status_with_the_reason(
    undisturbed, checkout, tmp_path, fault, count
):
    fit, predict, reason = FAULTS[fault]
    limit_s = 8 if "LimitError: not done" in reason else 600
    method = HEAD.replace("FIT", fit).replace("PREDICT", predict)
    (checkout / "baselines" / "faulty.py").write_text(method)
    results = runs.results(undisturbed.folder)
    model, status, told = tmp_path / "model", tmp_path / "status.json", tmp_path / "predict_status.json"
    trained = {"view": results / "views/phantom_heart/aligned/f100-d0", "model": model, "status": status}
    trained |= {"cost": tmp_path / "cost.json", "scratch": tmp_path / "scratch" / "hash"}
    done = _script(checkout, "train", trained, limit_s)
    assert done.returncode == 0, done.stderr
    asked = {"data": results / "data/phantom_heart/aligned/test", "model": model, "status": status}
    asked |= {"out": tmp_path / "predictions", "predict-status": told}
    done = _script(checkout, "predict", asked, limit_s)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(told.read_text())
    assert outcome["status"] == "failed"
    assert reason in outcome["reason"]
    in_training = json.loads(status.read_text())["status"] == "failed"
    assert in_training == (predict == "pass")
    assert [path.name for path in (tmp_path / "predictions").iterdir()] == [".seal"]
    count(f"method: {fault}")


@pytest.mark.faults
def test_a_method_that_keeps_within_its_limits_is_left_alone(undisturbed, checkout, tmp_path):
    (checkout / "baselines" / "faulty.py").write_text(HEAD.replace("FIT", "pass").replace("PREDICT", "pass"))
    results = runs.results(undisturbed.folder)
    paths = {
        "view": results / "views/phantom_heart/aligned/f100-d0",
        "scratch": tmp_path / "scratch" / "hash",
    }
    paths |= {name: tmp_path / f"{name}.json" for name in ("model", "cost", "status")}
    assert _script(checkout, "train", paths).returncode == 0
    assert json.loads((tmp_path / "status.json").read_text()) == {"status": "ok", "reason": ""}
