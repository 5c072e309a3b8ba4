"""One undisturbed run for all drills, and a count of the faults that were done."""

import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import runs

COUNTED = pytest.StashKey[Counter[str]]()


@dataclass(frozen=True)
class Undisturbed:
    """A finished run, how long it took, and how a second invocation in its folder fared meanwhile."""

    folder: Path
    seconds: float
    second_status: int
    second_said: str

    def copy(self, parent):
        """A copy to do harm to; times are kept, or Snakemake would make everything anew."""
        return shutil.copytree(self.folder, parent / runs.AWKWARD, symlinks=True)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """In a folder whose name is awkward; a second invocation is started while the first works."""
    folder = runs.place(tmp_path_factory.mktemp("faults"))
    started = time.monotonic()
    first = runs.start(folder)
    try:
        runs.wait_for((runs.results(folder) / "plan.json").is_file, first)  # written when the folder is taken
        (folder / "said.log").rename(folder / "first.log")
        second_status = runs.run(folder)
        second_said = runs.said(folder)
        assert first.poll() is None, "the first was done before the second could disturb it"
        assert first.wait(timeout=1500) == 0, (folder / "first.log").read_text()
    finally:
        runs.kill(first)
    return Undisturbed(folder, time.monotonic() - started, second_status, second_said)


@pytest.fixture
def count(request):
    """A function that counts one more fault of a kind; the counts stand at the end of what pytest says."""

    def add(kind, times=1):
        request.config.stash.setdefault(COUNTED, Counter())[kind] += times

    return add


def pytest_terminal_summary(terminalreporter, config):
    for kind, times in sorted(config.stash.get(COUNTED, Counter()).items()):
        terminalreporter.write_line(f"{times:>5} times: {kind}")
