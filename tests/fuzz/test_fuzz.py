"""A fixed number of inputs out of a coverage-guided fuzzer; `make fuzz` runs it for longer."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

RUNS = {"nifti": 200, "manifest": 300, "config": 100, "metrics": 100}


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed (docs/bad-input.md)"
)
@pytest.mark.parametrize("target", RUNS)
def test_the_fuzzer_finds_nothing(target, tmp_path):
    command = [
        sys.executable,
        "-m",
        "fuzz.targets",
        target,
        f"-runs={RUNS[target]}",
        "-seed=1",
        "-max_len=400",
        "-len_control=0",
    ]
    options = [f"-artifact_prefix={tmp_path}/", "-rss_limit_mb=1024", "-timeout=10"]
    ended = subprocess.run(
        [*command, *options], capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert f"Done {RUNS[target]} runs" in ended.stderr
