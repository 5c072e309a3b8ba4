"""A fixed number of inputs out of a coverage-guided fuzzer; `make fuzz` runs it for longer."""

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from fuzz.seeds import dictionary, seeds
from fuzz.targets import TARGETS
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
RUNS = {"volumes": 400, "lists": 500, "config": 500, "table": 300, "metrics": 200}
#: Seconds by the clock, on a machine that may be busy; tests/test_bad_input.py bounds those of a processor.
PATIENCE_S = 100


def _has_wheels_here():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    (atheris,) = (r for r in map(Requirement, listed) if r.name == "atheris")
    return atheris.marker.evaluate()


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_fuzzer_starts_from_is_good(name, tmp_path):
    assert [
        seed for seed, content in seeds(name, tmp_path).items() if TARGETS[name](tmp_path, content) is None
    ] == []
    assert dictionary(name).isascii()


@pytest.mark.skipif(not _has_wheels_here(), reason="atheris has no wheel for this system and Python")
@pytest.mark.parametrize("name", TARGETS)
def test_the_fuzzer_finds_nothing(name, tmp_path):
    assert importlib.util.find_spec("atheris"), "atheris is pinned and not installed: `make test` installs it"
    command = [sys.executable, "-m", "fuzz.run", name, str(tmp_path), f"-runs={RUNS[name]}", "-seed=1"]
    limits = ["-rss_limit_mb=1024", f"-timeout={PATIENCE_S}"]
    # The peak memory of a process begins with that of its parent: a small shell, not the test runner.
    shell = ["sh", "-c", '"$@"; exit $?', "sh"]
    here = {"cwd": ROOT / "tests", "env": os.environ | {"PYTHONHASHSEED": "0"}}
    ended = subprocess.run(
        [*shell, *command, *limits], capture_output=True, text=True, errors="replace", check=False, **here
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert f"Done {RUNS[name]} runs" in ended.stderr
    assert len(list((tmp_path / "inputs").iterdir())) > len(seeds(name, tmp_path)), "nothing new was reached"
