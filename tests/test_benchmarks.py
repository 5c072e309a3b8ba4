"""Benchmarks still run: what they measure is no business of a test."""

import subprocess
import sys

import pytest

from parallax.plugin import plugin_root


@pytest.mark.weekly
@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("training", ("--steps", "2", "--turns", "1"), "nnU-Net's trainer"),
        ("step_parts", ("--steps", "4"), "rest of a step"),
    ],
)
def test_a_benchmark_prints_its_table(name, options, told):
    command = [sys.executable, plugin_root() / "benchmarks" / f"{name}.py", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
