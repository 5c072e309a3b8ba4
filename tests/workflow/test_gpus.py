"""The whole workflow on made-up GPUs, and its answer where there is none."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
ONE = "runs/phantom_heart/shifted/f050-d0/supervised/paper-s0"
SETTINGS = ["run=made", "methods=supervised,empty", "datasets=phantom_heart"]


def _snakemake(folder, *arguments, **environment):
    config = ["--configfile", str(ROOT / "config" / "smoke.yaml"), "--config", *SETTINGS]
    command = [*SNAKEMAKE, "--directory", str(folder), "--workflow-profile", "none", *config, *arguments]
    variables = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=variables, check=False)


@pytest.fixture
def made_up(tmp_path):
    """Variables under which every Python process believes in two GPUs."""
    paths = [str(Path(__file__).with_name("fake_gpus")), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "MADE_UP_LEASES": str(tmp_path / "leases")}


def test_gpus_that_are_not_there_end_the_run_before_any_job(tmp_path):
    done = _snakemake(tmp_path, "--resources", "gpu=1", CUDA_VISIBLE_DEVICES="")
    assert done.returncode != 0
    assert not (tmp_path / "results").exists()
    assert "DeviceError: There are fewer GPUs than asked for. Where: --resources gpu=1." in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_gpu_jobs_ask_for_none(tmp_path):
    done = _snakemake(tmp_path, "-n", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"gpu=\d", done.stdout)) == {"gpu=0"}


def test_methods_take_a_gpu_and_controls_none(tmp_path, made_up):
    done = _snakemake(tmp_path, "-n", **made_up)
    assert done.returncode == 0, done.stderr
    # train and predict of each
    assert Counter(re.findall(r"gpu=\d", done.stdout)) == {"gpu=0": 2, "gpu=1": 2}


def test_a_run_that_shares_a_gpu_and_lacks_memory_ends_well(tmp_path, made_up):
    wanted = f"results/made/{ONE}/status.json"
    done = _snakemake(tmp_path, "--resources", "gpu=1", "gpu_share=2", "--", wanted, **made_up)
    assert done.returncode == 0, done.stderr
    note = "device memory ran out where 2 runs share it; again with 1"
    assert json.loads((tmp_path / wanted).read_text())["out_of_memory"] == [note]
    log = f"results/made/logs/{ONE.removeprefix('runs/')}/train.log"
    assert f"{log}:GPU memory: supervised, seed 0: {note}" in done.stdout  # on the terminal
    assert "GPU GPU-made-up-1, shared by up to 2\n" in (tmp_path / log).read_text()
    assert "GPUs: 1, up to 2 run(s) on each: 2 at a time" in done.stdout
    other = _snakemake(tmp_path, "-n", "--resources", "gpu=2", "gpu_share=1", "--", wanted, **made_up)
    assert (
        "Nothing to be done" in other.stdout + other.stderr
    )  # a setting of the machine trains nothing again
