"""One invocation of the workflow: the lock on its folder, the plan for progress, and the last words."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from parallax.data.files import read_json, write_json
from parallax.data.seal import SealError, remove_damaged, settle_times
from parallax.errors import counted, no_room
from parallax.run.costs import Estimator
from parallax.run.devices import Gpus
from parallax.run.forecast import ahead_line
from parallax.run.plan import Run
from parallax.run.setup import Setup, read_setup
from parallax.run.terminal import calm
from parallax.run.verify import failed_runs


def begin(setup: Setup, cores: int, waiting: Mapping[str, Run], gpus: Gpus, costs: Estimator) -> None:
    """Take the folder of the run for this process, and write the plan that progress is counted against.

    `waiting` are the runs that this invocation trains, by path, on `gpus` if there are any. What they will
    take is said where `costs` knows: on CPUs.

    The lock is the kernel's, so it goes with the process however that ends: a killed run needs no unlocking.
    Exits with status 2 when another invocation works in the same folder.
    """
    root = Path(setup.root)
    plan = {
        "runs": [run.path for run in setup.plan.runs],
        "skipped": setup.skipped(),
        "started": time.time(),
        "cores": cores,
        "at_once": gpus.at_once(cores),
        "waiting": list(waiting),
    }
    try:
        root.mkdir(parents=True, exist_ok=True)
        held = lock(root)
        if held is not None:
            write_json(plan, root / "plan.json")
    except OSError as error:
        _leave(
            f"The results cannot be written: {error}. Expected: a folder {setup.root} that this user may "
            f"write to. Remedy: {'make room' if no_room(error) else 'change its permissions'}, or run in "
            "another folder (snakemake --directory)."
        )
    if held is None:
        _leave(f"Another run works in {setup.root}. Wait for it, or stop it first.")
    calm()
    print(
        f"Parallax: {counted(len(setup.plan.runs), 'run')}, {len(setup.plan.skipped)} skipped;"
        f" folder {root.as_posix()}"
    )
    if gpus.devices:
        print(f"  {gpus.line(cores)}")
    elif waiting and not gpus.per_run:
        print(f"  {ahead_line(costs, waiting.values())}")


def end(setup: Setup) -> None:
    """Print the main table and where everything lies; exits with status 1 where a method failed."""
    _keep_wall(Path(setup.root))
    show(setup)
    _exit_if_failed(setup)


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


def _exit_if_failed(setup: Setup) -> None:
    """Say which methods failed, and why, and exit with status 1; nothing where none did."""
    scores = Path(setup.root) / "scores.parquet"
    if not scores.is_file():
        return
    from parallax.score.table import read_table

    reasons = failed_runs(read_table(scores))
    if reasons:
        print("\n".join(["", *reasons[:_SHOWN], *(["..."] if reasons[_SHOWN:] else [])]), file=sys.stderr)
        print(f"Failed: {len(reasons)}. All else is done; the tables count the failures.", file=sys.stderr)
        sys.exit(1)


def just_shown(setup: Setup) -> bool:
    """Whether an invocation of the workflow ended, and so printed the table, a moment ago."""
    wall = Path(setup.root) / "wall.json"
    return wall.is_file() and time.time() - wall.stat().st_mtime < _JUST_S


def _keep_wall(root: Path) -> None:
    """Add the wall time of this invocation to those before it: a run may take several."""
    plan, path, spent = read_json(root / "plan.json"), root / "wall.json", []
    with suppress(OSError, ValueError):  # none yet, or cut short by a power failure
        spent = json.loads(path.read_text(encoding="utf-8"))
    spent.append({"wall_s": round(time.time() - plan["started"], 1), "cores": plan["cores"]})
    try:
        write_json(spent, path)
    except OSError as error:  # jobs may have found no room even for their logs
        if not no_room(error):
            raise
        print(f"No room on the disk: {error}.")


_JUST_S = 15.0
_SHOWN = 10  # reasons
_PLACES = (
    ("report/index.html", "report"),
    ("tables", "tables"),
    ("figures", "figures"),
    ("scores.csv", "scores, one row a case"),
    ("manifest.json", "how it was run"),
)


def lock(root: Path) -> int | None:
    """A descriptor that holds the folder of a run while it is open; None where another process does."""
    handle = os.open(root / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        import fcntl
    except ImportError:  # no such lock on Windows
        return handle
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle  # a bare descriptor: nobody closes it before the process ends


def mend(setup: Setup, arguments: Sequence[str]) -> None:
    """Remove damaged outputs, so that Snakemake makes them again; to be called before it looks for files.

    Sizes alone are compared here: what has the right size and other content is refused by whoever reads it.
    Nothing is done in a dry run, for which Snakemake has no better sign at this point than its `arguments`,
    and in a folder where another invocation works.
    """
    root = Path(setup.root)
    if any(_DRY.fullmatch(argument) for argument in arguments) or not root.is_dir():
        return
    with suppress(OSError):  # a folder that cannot be written: `begin` says so
        held = lock(root)
        if held is not None:
            for error in remove_damaged(root):
                print(_mended(error), file=sys.stderr, flush=True)
            if settled := settle_times(root):
                print(
                    f"The clock was set back: {settled} times in the future are set to now.",
                    file=sys.stderr,
                )
            os.close(held)


def _mended(error: SealError) -> str:
    return f"{error.where}: expected {error.expected}, found {error.found}. It is removed and made again."


def _leave(text: str) -> NoReturn:
    """End the process here: an exit from within Snakemake would wait for its threads."""
    print(text, file=sys.stderr, flush=True)
    os._exit(2)


# -n, --dry-run and their like, also where short options are joined (-np)
_DRY = re.compile("-[a-zA-Z]*n[a-zA-Z]*|--dry-?run")


def _main() -> None:
    """Show the results of a configuration again, where Snakemake found nothing to do and said nothing."""
    setup = read_setup(Path(sys.argv[1]))
    if not just_shown(setup):
        show(setup)
    _exit_if_failed(setup)


if __name__ == "__main__":
    _main()
