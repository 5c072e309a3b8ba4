"""Snakemake looks for jobs to start when one has ended, not all the time."""

import subprocess
import sys

QUICK = 25
SNAKEFILE = f"""
from parallax.run.scheduler import let_rest

onstart:
    CALL

rule all:
    input: expand("last{{i}}", i=range(2))

rule quick:
    output: "quick{{i}}"
    shell: "touch {{output}}"

rule last:
    input: expand("quick{{i}}", i=range({QUICK}))
    output: "last{{i}}"
    shell: "sleep 3; touch {{output}}"
"""


def _looks(folder, call):
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE.replace("CALL", call))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--verbose", "--workflow-profile", "none"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert (folder / "last0").exists()
    assert (folder / "last1").exists()
    return (done.stdout + done.stderr).count("Ready jobs: ")


def test_the_scheduler_rests_while_jobs_run(tmp_path):
    assert _looks(tmp_path / "calm", "let_rest(workflow)") <= QUICK + 5
    # If this fails, Snakemake rests by itself: parallax/run/scheduler.py can go.
    assert _looks(tmp_path / "restless", "pass") > 2 * QUICK
