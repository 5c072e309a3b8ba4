"""One invocation of the workflow: the lock on its folder, the plan for progress, and the last words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from parallax.run.setup import Setup
from parallax.run.terminal import calm


def begin(setup: Setup, cores: int) -> None:
    """Take the folder of the run for this process, and write the plan that progress is counted against.

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
    }
    temporary = root / ".plan.json.tmp"
    temporary.write_text(json.dumps(plan), encoding="utf-8")
    temporary.replace(root / "plan.json")
    calm()
    print(
        f"Parallax: {len(setup.plan.runs)} runs, {len(setup.plan.skipped)} skipped; folder {root.as_posix()}"
    )


def end(setup: Setup) -> None:
    """Print the main table and where everything lies."""
    root = Path(setup.root)
    _write_wall(root)
    table = root / "tables"
    if not table.is_dir():
        return
    script = Path(__file__).parents[2] / "workflow" / "scripts" / "tables.py"
    command = [sys.executable, str(script), "--scores", f"{setup.root}/scores.parquet"]
    command += ["--costs", f"{setup.root}/costs.csv", "--notes", json.dumps(setup.notes()), "--print", "main"]
    subprocess.run(command, check=False)
    for name, what in _PLACES:
        if (root / name).exists():
            print(f"  {what:<22} {(root / name).as_posix()}")


def failed(setup: Setup) -> None:
    """Say where the logs of a failed job are, and that nothing finished is lost."""
    print(
        f"Some jobs failed: logs under {setup.root}/logs. What is finished stays; run the same command again."
    )


def _write_wall(root: Path) -> None:
    plan = json.loads((root / "plan.json").read_text(encoding="utf-8"))
    wall = {"wall_s": time.time() - plan["started"], "cores": plan["cores"]}
    (root / "wall.json").write_text(json.dumps(wall), encoding="utf-8")


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
