"""The reduced quick run on a real Slurm of this machine; one training is preempted and another killed.

    python tests/cluster/drill.py            # about two and a half minutes of processor time

Runs tests/cluster/reduced.yaml once without Slurm and once through `sbatch` with workflow/profiles/slurm, and
compares the score tables byte by byte. Exit status: 0 equal, 1 not, 2 where no Slurm can be started here.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import torch
from one_machine_slurm import Slurm, reason_to_refuse, slurm

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "cluster" / "reduced.yaml"
STEPS_BEFORE = 20  # of 80: far enough that a training that began anew would show
COMPARED = ("runs/**/weights.pt", "scores.csv", "scores.parquet", "tables/statistics.csv", "tables/ranks.csv")
MAIN = "tables/main.csv"
# The main table has these beside the scores; no two runs share them.
COSTS = ["train_s", "peak_memory_mib"]
# A cluster has accounting and hours; here are neither.
SOON = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2")
SOON = (*SOON, "--seconds-between-status-checks", "2", "--slurm-keep-successful-logs")
_EQUAL = f"equal to the local run, byte by byte: {', '.join(COMPARED)}, and {MAIN} but for {', '.join(COSTS)}"
_PATIENCE_S = 600.0
_DIGEST_BYTES = 32  # behind each checkpoint


class DrillError(Exception):
    """Something did not happen as it should; the message says what."""


@dataclass(frozen=True)
class Interrupted:
    """A training that was interrupted: the step it had kept, and the first that it kept afterwards."""

    method: str
    how: str
    kept: int
    first_after: int


def snakemake(folder: Path, environment: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    """Start the reduced run in `folder`; its terminal goes to `terminal.log` there."""
    folder.mkdir()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", str(CONFIG), "--directory", str(folder), *options, "--", "tables"]
    environment = environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / "terminal.log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


def finish(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait for a run. Raises `DrillError` with the end of its terminal where it failed."""
    try:
        status = process.wait(timeout=_PATIENCE_S)
    finally:
        end(process)
    if status:
        text = (folder / "terminal.log").read_text(errors="replace")
        raise DrillError(f"the run in {folder} failed; its terminal ends with:\n{text[-3000:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a run with all that it started on this machine itself; nothing where it is over."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def drill(folder: Path) -> tuple[list[Interrupted], list[list[str]]]:
    """Both runs and the accidents; returns what was interrupted, and the jobs of Slurm (the fields below)."""
    finish(snakemake(folder / "local", dict(os.environ), "--cores", "1"), folder / "local")
    with slurm(folder / "slurm") as running:
        there = folder / "through-slurm"
        profile = str(ROOT / "workflow" / "profiles" / "slurm")
        process = snakemake(there, running.environment, "--profile", profile, *SOON)
        try:
            happened = accidents(running, process, there)
            finish(process, there)
            jobs = running.jobs("JobID,State,RestartCnt,NodeList,tres-per-job,Comment")
        finally:
            end(process)
    return happened, jobs


def accidents(running: Slurm, process: subprocess.Popen[bytes], folder: Path) -> list[Interrupted]:
    """Preempt one training and kill another, neither waiting for what happens to the other."""
    with ThreadPoolExecutor() as pool:
        happening = [pool.submit(preempt, running, process, folder), pool.submit(kill, process, folder)]
        try:
            return [accident.result() for accident in happening]
        except BaseException:
            end(process)  # both wait as long as the run goes on
            raise


def preempt(running: Slurm, process: subprocess.Popen[bytes], folder: Path) -> Interrupted:
    """Let a job of a partition that goes first take the node of a training, as another user's would."""
    wait_for_step(process, folder, "supervised", lambda step: step >= STEPS_BEFORE)
    jobs = running.jobs("JobID,NodeList,Comment")
    job, node = next((job, node) for job, node, what in jobs if "_supervised_" in what)
    urgent = ("--partition=urgent", f"--nodelist={node}", f"--output={folder}/urgent.log", "--wrap=sleep 5")
    running.ask("sbatch", *urgent)
    wait_for(process, lambda: [job, "PENDING"] in running.jobs("JobID,State"), "the requeued training")
    running.ask("scontrol", "update", f"JobId={job}", "StartTime=now")  # else Slurm lets it wait for a while
    return interrupted(process, folder, "supervised", "preempted")


def kill(process: subprocess.Popen[bytes], folder: Path) -> Interrupted:
    """End a training with SIGKILL, as the kernel does where memory is short."""
    wait_for_step(process, folder, "mean_teacher", lambda step: step >= STEPS_BEFORE)
    (training,) = trainings(folder, "mean_teacher")
    training.kill()
    return interrupted(process, folder, "mean_teacher", "killed")


def interrupted(process: subprocess.Popen[bytes], folder: Path, method: str, how: str) -> Interrupted:
    """What the training that was ended had kept, and what the next one keeps first."""
    wait_for(process, lambda: not trainings(folder, method), f"the end of the training of {method}")
    kept = kept_step(folder, method)
    return Interrupted(method, how, kept, wait_for_step(process, folder, method, lambda step: step != kept))


def trainings(folder: Path, method: str) -> list[psutil.Process]:
    """Processes that train `method` in this run; the shells around them carry the same words."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = process.cmdline()
            if "--scratch" in line and method in line and process.cwd() == str(folder):
                found.append(process)
    return found


def kept_step(folder: Path, method: str) -> int:
    """The step of the checkpoint of this method; 0 where there is none (yet, or any more)."""
    for path in folder.glob(f"results/*/scratch/*/*/*/{method}/*/*/checkpoint.pt"):
        with suppress(FileNotFoundError):
            content = io.BytesIO(path.read_bytes()[:-_DIGEST_BYTES])
            return int(torch.load(content, map_location="cpu", weights_only=True)["state"]["step"])
    return 0


def wait_for_step(
    process: subprocess.Popen[bytes], folder: Path, method: str, wanted: Callable[[int], bool]
) -> int:
    """Wait until the checkpoint of `method` is at a step that is `wanted`; returns it."""
    seen = [0]

    def reached() -> bool:
        seen.append(kept_step(folder, method))
        return seen[-1] > 0 and wanted(seen[-1])

    wait_for(process, reached, f"a checkpoint of {method}")
    return seen[-1]


def wait_for(process: subprocess.Popen[bytes], found: Callable[[], bool], what: str) -> None:
    """Wait for something while the run goes on. Raises `DrillError` where it ends, or takes too long."""
    started = time.monotonic()
    while not found():
        if process.poll() is not None:
            raise DrillError(f"the run ended with status {process.returncode} before {what}")
        if time.monotonic() - started > _PATIENCE_S:
            raise DrillError(f"no sign of {what} after {_PATIENCE_S:g} s")
        time.sleep(0.05)


def differing(folder: Path) -> list[str]:
    """Patterns whose files are not the same bytes in both runs, or are not there."""
    local, through = (contents(folder / run / "results" / "reduced") for run in ("local", "through-slurm"))
    return [pattern for pattern, files in local.items() if not files or files != through[pattern]]


def contents(run: Path) -> dict[str, dict[str, bytes]]:
    """By pattern, the files of a run with what is in them; the main table without what the run cost."""
    files = {pattern: sorted(run.glob(pattern)) for pattern in COMPARED}
    found = {
        pattern: {path.relative_to(run).as_posix(): path.read_bytes() for path in paths}
        for pattern, paths in files.items()
    }
    scores = pd.read_csv(run / MAIN, dtype=str).drop(columns=COSTS)
    return found | {MAIN: {MAIN: scores.to_csv().encode()}}


def faults(happened: list[Interrupted], jobs: list[list[str]], folder: Path) -> list[str]:
    """What did not go as it should, one sentence each."""
    found = [
        f"{pattern} differs between the run through Slurm and the local one" for pattern in differing(folder)
    ]
    anew = [each for each in happened if each.first_after <= each.kept]
    found += [f"{each.method} began anew: it kept step {each.first_after} after {each.kept}" for each in anew]
    states = {what: (state, int(restarts)) for _, state, restarts, *_, what in jobs if "train" in what}
    if not any(restarts for what, (_, restarts) in states.items() if "_supervised_" in what):
        found.append("the preempted training was not requeued")
    tries = [state for _, state, *_, what in jobs if "_mean_teacher_" in what and "train" in what]
    if sorted(tries) != ["COMPLETED", "FAILED"]:
        found.append(f"the killed training was tried with the outcomes {tries}, not FAILED and COMPLETED")
    return found


def main() -> None:
    """Run the drill in a temporary folder and print what was seen."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that every daemon is stopped too
    if reason := reason_to_refuse():
        print(reason, file=sys.stderr)
        sys.exit(2)
    with tempfile.TemporaryDirectory(prefix="parallax-slurm-") as name:
        folder = Path(name)
        try:
            happened, jobs = drill(folder)
            problems = faults(happened, jobs, folder)
        except DrillError as error:
            sys.exit(f"{error}")
        for fields in jobs:
            print("job {:>2}  {:<10} restarts {}  node {}  {:<12} {}".format(*fields))
        for each in happened:
            print(
                f"{each.method} {each.how} after step {each.kept}; the next step kept was {each.first_after}"
            )
        print("\n".join(problems) or _EQUAL)
        sys.exit(bool(problems))


if __name__ == "__main__":
    main()
