"""One invocation of the workflow: the lock on its folder, the plan for progress, and the last words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from parallax.run.costs import Estimator
from parallax.run.devices import Gpus
from parallax.run.forecast import ahead_line
from parallax.run.plan import Run
from parallax.run.setup import Setup, read_setup
from parallax.run.terminal import calm


def begin(setup: Setup, cores: int, waiting: Mapping[str, Run], gpus: Gpus, costs: Estimator) -> None:
    """Take the folder of the run for this process, and write the plan that progress is counted against.

    `waiting` are the runs that this invocation trains, by path, on `gpus` if there are any. What they will
    take is said where `costs` knows: on CPUs.

    The lock is the kernel's, so it goes with the process however that ends: a killed run needs no unlocking.
    Exits with status 2 when another invocation works in the same folder.
    """
    root = Path(setup.root)
    root.mkdir(parents=True, exist_ok=True)
    _hold(root / ".lock")
    plan = {
        "runs": [run.path for run in setup.plan.runs],
        "skipped": setup.skipped(),
        "started": time.time(),
        "cores": cores,
        "at_once": gpus.at_once(cores),
        "waiting": list(waiting),
    }
    temporary = root / ".plan.json.tmp"
    temporary.write_text(json.dumps(plan), encoding="utf-8")
    temporary.replace(root / "plan.json")
    calm()
    print(
        f"Parallax: {len(setup.plan.runs)} runs, {len(setup.plan.skipped)} skipped; folder {root.as_posix()}"
    )
    if gpus.devices:
        print(f"  {gpus.line(cores)}")
    elif waiting and not gpus.per_run:
        print(f"  {ahead_line(costs, waiting.values())}")


def end(setup: Setup) -> None:
    """Print the main table and where everything lies."""
    _keep_wall(Path(setup.root))
    show(setup)


def failed(setup: Setup) -> None:
    """Say where the logs of a failed job are, and that nothing finished is lost."""
    _keep_wall(Path(setup.root))
    print(
        f"Some jobs failed: logs under {setup.root}/logs. What is finished stays; run the same command again."
    )


def show(setup: Setup) -> None:
    """Print the main table of a finished run and where everything lies; nothing where there are no tables."""
    root = Path(setup.root)
    if not (root / "tables").is_dir():
        return
    script = Path(__file__).parents[2] / "workflow" / "scripts" / "tables.py"
    command = [sys.executable, str(script), "--scores", f"{setup.root}/scores.parquet"]
    command += ["--costs", f"{setup.root}/costs.csv", "--notes", json.dumps(setup.notes()), "--print", "main"]
    subprocess.run(command, check=False)
    for name, what in _PLACES:
        if (root / name).exists():
            print(f"  {what:<22} {(root / name).as_posix()}")


def just_shown(setup: Setup) -> bool:
    """Whether an invocation of the workflow ended, and so printed the table, a moment ago."""
    wall = Path(setup.root) / "wall.json"
    return wall.is_file() and time.time() - wall.stat().st_mtime < _JUST_S


def _keep_wall(root: Path) -> None:
    """Add the wall time of this invocation to those before it: a run may take several."""
    plan, path = json.loads((root / "plan.json").read_text(encoding="utf-8")), root / "wall.json"
    spent = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    spent.append({"wall_s": round(time.time() - plan["started"], 1), "cores": plan["cores"]})
    path.write_text(json.dumps(spent), encoding="utf-8")


_JUST_S = 15.0
_PLACES = (
    ("report/index.html", "report"),
    ("tables", "tables"),
    ("figures", "figures"),
    ("scores.csv", "scores, one row a case"),
    ("manifest.json", "how it was run"),
)


def _hold(path: Path) -> IO[str]:
    try:
        import fcntl
    except ImportError:  # no such lock on Windows
        return path.open("a", encoding="utf-8")
    handle = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(
            f"Another run works in {path.parent.as_posix()}. Wait for it, or stop it first.", file=sys.stderr
        )
        sys.stderr.flush()
        os._exit(2)
    # The file stays open, and so locked, as long as the process lives: nobody closes a detached descriptor.
    os.dup(handle.fileno())
    return handle


def _main() -> None:
    """Show the results of a configuration again, where Snakemake found nothing to do and said nothing."""
    setup = read_setup(Path(sys.argv[1]))
    if not just_shown(setup):
        show(setup)


if __name__ == "__main__":
    _main()
