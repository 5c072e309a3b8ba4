"""Runs cases one by one as they are named on standard input, each in a process of its own under limits.

A process is forked for each case, so that what it imports is paid for once and its memory is its own.
Prints one line of JSON a case.
"""

import contextlib
import gc
import io
import json
import os
import resource
import runpy
import signal
import sys
import time
import traceback
from pathlib import Path

from corpus import index
from parallax.cli import main
from parallax.data.checked import CACHE
from parallax.plugin import plugin_root

#: Seconds of a processor, so that a busy machine changes no answer.
LIMIT_S, LIMIT_MIB = 10, 1024
#: Seconds of a clock, after which a case hangs; a busy machine may give it a tenth of a processor.
_PATIENCE_S = 600
_SCRIPTS = plugin_root() / "workflow" / "scripts"
_PRELOADED = (
    "nibabel", "SimpleITK", "pandas", "pyarrow.parquet", "scipy.ndimage", "scipy.stats", "rich.table", "yaml",
    "parallax.run.setup", "parallax.run.costs", "parallax.run.forecast", "parallax.data.inspect",
    "parallax.score.compare", "parallax.report.write",
)  # fmt: skip


def run(command):
    """Exit status of a command in this process, and what it printed; a traceback is printed, not raised."""
    name, *arguments = command
    out = io.StringIO()
    sys.argv = [name, *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            if name == "parallax":
                main()
            else:
                runpy.run_path(str(_SCRIPTS / name), run_name="__main__")
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1 if end.code else 0
            out.write(end.code if isinstance(end.code, str) else "")
        except BaseException:
            status = 99
            traceback.print_exc(file=out)
    return status, out.getvalue()


def files_below(folder):
    """Path to time of change; which label maps were found good is remembered on purpose (data/checked.py)."""
    found = (path for path in sorted(folder.rglob("*")) if not path.is_dir() and path.name != CACHE.name)
    return {str(path): path.lstat().st_mtime_ns for path in found}


def attempt(case, folder):
    """The outcome of one case, made and run here and now."""
    command = case.build(folder)
    work = folder / "work"
    work.mkdir()
    os.chdir(work)
    before, start = files_below(folder), time.process_time()
    _limit_memory()
    status, printed = run(command)
    taken_s = time.process_time() - start
    after = files_below(folder)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return {"status": status, "printed": printed, "taken_s": taken_s, "changed": changed}


def _limit_memory():
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    if pages:
        most = pages * os.sysconf("SC_PAGE_SIZE") + LIMIT_MIB * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _in_child(case, folder, pipe):
    signal.alarm(_PATIENCE_S)
    outcome = attempt(case, folder)
    os.write(pipe, (json.dumps(outcome | {"printed": outcome["printed"][-20000:]}) + "\n").encode())


def _answer(outcome, usage):
    sys.stdout.write(json.dumps(outcome | {"peak_mib": usage.ru_maxrss / 1024}) + "\n")
    sys.stdout.flush()


def serve():
    for name in _PRELOADED:
        __import__(name)
    cases = {case.id: case for case in index.every_case()}
    gc.freeze()
    for line in sys.stdin:
        name, folder = json.loads(line)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            _in_child(cases[name], Path(folder), write)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as stream:
            text = stream.read()
        _, wait_status, usage = os.wait4(child, 0)
        outcome = json.loads(text) if text else {"status": None, "printed": f"ended with {wait_status}"}
        _answer(outcome, usage)


if __name__ == "__main__":
    serve()
