"""Two invocations at once, results that cannot be written, a clock that was set back."""

import os
import shutil
import subprocess
import time
from contextlib import contextmanager

import pytest
import runs


def test_of_two_invocations_at_once_one_is_told_and_the_other_is_not_disturbed(undisturbed, count):
    assert undisturbed.second_status == 2
    assert "Another run works in results/tiny. Wait for it, or stop it first." in undisturbed.second_said
    assert "Traceback" not in undisturbed.second_said
    count("two invocations at once")


@contextmanager
def _read_only(folder):
    """A folder that nobody may write to; root is held off by a mount, as permissions do not."""
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    mounts = ["mount", "--bind", folder, folder], ["mount", "-o", "remount,bind,ro", folder]
    failed = (subprocess.run(mount, capture_output=True).returncode for mount in mounts)
    if shutil.which("mount") is None or any(failed):
        pytest.skip("root may write everywhere, and may mount nothing here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_results_that_cannot_be_written_are_named_before_any_job(tmp_path, count):
    folder = runs.place(tmp_path)
    with _read_only(folder / "results"):
        status = runs.run(folder)
        assert list((folder / "results").iterdir()) == []
    text = runs.said(folder)
    assert status == 2, text
    assert "The results cannot be written" in text
    assert "Remedy: change its permissions" in text
    assert "Traceback" not in text
    count("read-only results")


def test_after_the_clock_was_set_back_the_scores_are_the_same(undisturbed, tmp_path, count):
    """A quarter of the files come from the future, so that inputs are younger than what was made of them."""
    folder = undisturbed.copy(tmp_path)
    tomorrow = time.time() + 86400
    files = sorted(path for path in runs.results(folder).rglob("*") if path.is_file())
    for path in files[::4]:
        os.utime(path, (tomorrow, tomorrow))
    runs.finish(folder)
    assert runs.scores(folder) == runs.scores(undisturbed.folder)
    count("clock set back")
