"""The run through a real Slurm, where one can be started here; elsewhere skipped with what is missing."""

import subprocess
import sys
from pathlib import Path

import one_machine_slurm
import pytest

HERE = Path(__file__).parent


def test_a_run_through_slurm_with_accidents_equals_the_local_run_byte_by_byte():
    if reason := one_machine_slurm.reason_to_refuse():
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, str(HERE / "drill.py")], capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal to the local run, byte by byte: runs/**/weights.pt, scores.csv" in done.stdout


def test_missing_packages_are_named_and_nothing_is_started(monkeypatch):
    known = dict.fromkeys(one_machine_slurm.NEEDED, "/usr/bin/x") | {"munged": None, "sbatch": None}
    monkeypatch.setattr(one_machine_slurm.shutil, "which", lambda name, path: known[name])
    monkeypatch.setattr(sys, "platform", "linux")
    assert one_machine_slurm.reason_to_refuse() == (
        "Slurm is not installed: apt-get install --no-install-recommends slurm-client munge"
    )
