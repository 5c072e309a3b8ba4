"""A tiny run for the drills of this folder, started as a user starts one, and what is compared of it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIG = """
run: tiny
datasets:
  phantom_heart:
    options: {cases: 4, seed: 1, size: small}
    split: {seed: 0, train: 3, test: 1}
methods: [supervised, oracle]
conditions: [{labels: [1.0]}]
budget: {steps: 30, patch: [32, 32, 16], widths: [4, 8], checkpoint_every_s: 0.05}
"""
#: Spaces, quotes of a shell and letters beyond ASCII: every run of these drills lies in such a folder.
AWKWARD = "Läufe d'été (日本)"


def place(folder, config=CONFIG):
    """A folder to run in."""
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text(config, encoding="utf-8")
    return folder


def command(folder, *targets):
    """The command of a run in `folder`; options go before the targets."""
    start = [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", str(ROOT / "Snakefile")]
    start += ["--directory", str(folder), "--configfile", str(folder / "tiny.yaml")]
    options = [target for target in targets if target.startswith("-")]
    return [*start, *options, "--", *(target for target in targets if target not in options)]


def environment():
    """Where this checkout wins over an installed one."""
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def start(folder, *targets):
    """Start a run with its own process group; what it says goes to `said.log`."""
    with (folder / "said.log").open("wb") as log:
        return subprocess.Popen(
            command(folder, *(targets or ("scores",))),
            cwd=ROOT,
            env=environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


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


def kill(process):
    """SIGKILL for a run and all that it started; nothing where it is over."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def scores(folder):
    """The bytes of the table of scores, in both its forms."""
    results = folder / "results" / "tiny"
    return [(results / name).read_bytes() for name in ("scores.csv", "scores.parquet")]
