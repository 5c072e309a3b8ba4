"""An edit reruns what it must and nothing else; tests/faults has what follows a kill."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import runs

from parallax.data.seal import seal, seal_path

ROOT = Path(__file__).parents[2]
EXTRA = '''"""A control of a test."""
from pathlib import Path

from parallax.learn.method import Cost, Method


class Extra(Method):
    """Always background."""

    name = "extra"
    title = "Extra"
    source = "a test"
    control = True

    def fit(self, view, scratch):
        return Cost(0, 0, 0, 0.0, 0.0, 0.0, "none")

    def save(self, folder):
        folder.mkdir(exist_ok=True)

    def load(self, folder):
        return

    def predict(self, view):
        import numpy as np

        from parallax.case import Prediction

        return Prediction({name: np.zeros(grid.shape, np.uint8) for name, grid in view.native.items()})
'''


def _checkout(folder, methods):
    """A copy of what a run needs, so that a test may edit it."""
    for name in ("parallax", "workflow", "profiles", "datasets", "baselines", "methods"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "requirements.lock", "claims.yaml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "results").mkdir()
    shutil.copy(ROOT / "results" / "published.csv", folder / "results")
    (folder / "tiny.yaml").write_text(runs.config(methods))
    return folder


def _command(*arguments):
    return [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "tiny.yaml", *arguments]


def _run(folder, *arguments, status=0):
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        _command(*arguments), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def _planned(folder):
    """Folders of the runs that a dry run would train."""
    text = _run(folder, "-n", "--workflow-profile", "none", "--", "scores")
    blocks = text.split("rule train:")[1:]
    return {block.split("output: ")[1].split("/model")[0].split("/runs/")[1] for block in blocks}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = _checkout(tmp_path_factory.mktemp("reruns") / "a folder", "oracle, empty")
    _run(folder, "--", "scores")
    return folder


def _edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_comment_retrains_nothing_and_a_statement_its_own_runs(finished):
    method = finished / "baselines" / "empty.py"
    original = method.read_text()
    assert _planned(finished) == set()
    _edit(method, "class Empty", "# a comment\nclass Empty")
    assert _planned(finished) == set()
    _edit(method, "class Empty", "SOMETHING = 1\n\n\nclass Empty")
    assert _planned(finished) == {"phantom_heart/aligned/f100-d0/empty/paper-s0"}
    method.write_text(original)


def test_a_new_file_runs_and_nothing_else(finished):
    (finished / "baselines" / "extra.py").write_text(EXTRA)
    _edit(finished / "tiny.yaml", "[oracle, empty]", "[oracle, empty, extra]")
    assert _planned(finished) == {"phantom_heart/aligned/f100-d0/extra/paper-s0"}
    _run(finished, "--", "scores")
    assert "extra" in (finished / "results" / "tiny" / "scores.csv").read_text()


def test_a_failing_method_leaves_rows_and_stops_nobody(finished):
    method = finished / "baselines" / "extra.py"
    method.write_text(
        EXTRA.replace('return Cost(0, 0, 0, 0.0, 0.0, 0.0, "none")', 'raise ValueError("no way")')
    )
    if "extra" not in (finished / "tiny.yaml").read_text():
        _edit(finished / "tiny.yaml", "[oracle, empty]", "[oracle, empty, extra]")
    text = _run(finished, "--", "scores", status=1)
    assert "extra failed on phantom_heart: ValueError: no way" in text
    rows = (finished / "results" / "tiny" / "scores.csv").read_text().splitlines()
    failed = [row for row in rows if ",extra," in row]
    assert failed
    assert all("failed" in row and "ValueError: no way" in row for row in failed)
    assert any(",oracle," in row for row in rows)


def test_a_method_that_hangs_is_ended_at_its_limit_and_a_limit_retrains_nobody_else(finished):
    hangs = EXTRA.replace('return Cost(0, 0, 0, 0.0, 0.0, 0.0, "none")', "__import__('time').sleep(3600)")
    (finished / "baselines" / "extra.py").write_text(hangs)
    config = finished / "tiny.yaml"
    if "extra" not in config.read_text():
        _edit(config, "[oracle, empty]", "[oracle, empty, extra]")
    config.write_text(config.read_text() + "limits: {train_s: 5}\n")
    assert _planned(finished) == {"phantom_heart/aligned/f100-d0/extra/paper-s0"}
    text = _run(finished, "--", "scores", status=1)
    assert "extra failed on phantom_heart: LimitError: not done within 5 s" in text


def test_a_control_out_of_its_band_fails_the_run_and_no_table_is_made(finished):
    scores = finished / "results" / "tiny" / "scores.parquet"
    before, times = scores.read_bytes(), (scores.stat().st_atime_ns, scores.stat().st_mtime_ns)
    frame = pd.read_parquet(scores)
    frame.loc[(frame.method == "oracle") & (frame.metric == "dice"), "value"] = 0.9
    frame.to_parquet(scores, index=False)
    sealed = seal_path(scores).read_bytes()
    seal(scores)
    environment = os.environ | {"PYTHONPATH": str(finished), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        _command("--", "tables"), cwd=finished, env=environment, capture_output=True, text=True, check=False
    )
    scores.write_bytes(before)
    seal_path(scores).write_bytes(sealed)
    os.utime(scores, ns=times)
    assert done.returncode != 0
    assert "Control oracle is out of its band. Where: phantom_heart, aligned" in done.stdout + done.stderr
    assert not (finished / "results" / "tiny" / "tables").exists()
    assert not (finished / "results" / "tiny" / "controls.json").exists()
