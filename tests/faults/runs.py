"""A tiny run for the drills, started as a user starts one, what is compared of it, and how it is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIG = """
run: tiny
datasets:
  phantom_heart:
    options: {cases: 4, seed: 1, size: small}
    split: {seed: 0, train: 3, test: 1}
methods: [METHODS]
conditions: [{labels: [1.0]}]
budget: {steps: 60, patch: [32, 32, 16], widths: [4, 8], checkpoint_every_s: 0.01}
"""
#: Spaces, quotes of a shell and letters beyond ASCII: every run of these drills lies in such a folder.
AWKWARD = "Läufe d'été (日本)"


def config(methods="supervised, oracle"):
    """The configuration of the tiny run; the two methods are one that trains and a control."""
    return CONFIG.replace("METHODS", methods)


def place(parent):
    """A folder to run in, under an awkward name."""
    folder = parent / AWKWARD
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text(config(), encoding="utf-8")
    return folder


def command(folder, *targets):
    """The command of a run in `folder`; options go before the targets."""
    start = [sys.executable, "-m", "snakemake", "--cores", "2", "--snakefile", str(ROOT / "Snakefile")]
    start += ["--directory", str(folder), "--configfile", str(folder / "tiny.yaml")]
    options = [target for target in targets if target.startswith("-")]
    return [*start, *options, "--", *(target for target in targets if target not in options)]


def environment():
    """Where this checkout wins over an installed one."""
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def launch(command, folder):
    """Start a command with its own process group; what it says goes to `said.log` in `folder`."""
    with (folder / "said.log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def start(folder, *targets):
    """Start a run."""
    return launch(command(folder, *(targets or ("scores",))), folder)


def said(folder):
    """What the last run that was started there said."""
    return (folder / "said.log").read_text(encoding="utf-8", errors="replace")


def run(folder, *targets):
    """Run to the end; returns the exit status."""
    process = start(folder, *targets)
    try:
        return process.wait(timeout=1500)
    finally:
        kill(process)


def finish(folder, *targets):
    """Run to the end, which must be a good one."""
    assert run(folder, *targets) == 0, said(folder)


def wait_for(found, process, limit_s=600):
    """Wait until `found()` is true or the process is over; files may come and go while it looks."""
    started = time.monotonic()
    while process.poll() is None and not found():
        assert time.monotonic() - started < limit_s
        time.sleep(0.0005)


def kill(process):
    """SIGKILL for a process and all that it started; whether that ended it, or it was over before."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def results(folder):
    """Where the tiny run of this folder lies."""
    return folder / "results" / "tiny"


def scores(folder):
    """The bytes of the table of scores, in both its forms."""
    return [(results(folder) / name).read_bytes() for name in ("scores.csv", "scores.parquet")]
