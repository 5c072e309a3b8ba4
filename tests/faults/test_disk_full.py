"""A disk that is really full: a small tmpfs where root may mount one, and a limit on the size of files."""

import os
import resource
import shutil
import subprocess
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import runs
import torch
from matplotlib.figure import Figure
from tidy import row

from parallax.case import Volume
from parallax.data.files import write_json, write_text
from parallax.data.seal import fresh_folder, seal
from parallax.data.store import write_arrays
from parallax.data.volumes import write_volume
from parallax.errors import no_room, run_script
from parallax.figures.curves import save_figure
from parallax.learn.checkpoint import write_atomically, write_checkpoint
from parallax.score.gather import write_costs
from parallax.score.table import to_frame, write_parquet, write_rows

NOISE = np.random.default_rng(0).normal(size=(64, 64, 64)).astype(np.float32)  # 1 MiB that does not compress


def _folder(path):
    with fresh_folder(path) as folder:
        (folder / "half.bin").write_bytes(NOISE.tobytes())


def _figure(path):
    figure = Figure(figsize=(4, 4), dpi=100)
    figure.subplots().imshow(NOISE.reshape(512, 512))
    save_figure(figure, path)


def _arrays(path):
    write_arrays(type("C", (), {"image": NOISE, "label": None})(), "a", path, with_label=False)


def _seal(path):
    path.mkdir(exist_ok=True)
    for number in range(700):
        (path / f"{number}{'x' * 150}").touch()
    seal(path)


ROWS = [row(case=f"case {number}") for number in range(4000)]
WRITES = {
    "JSON": lambda path: write_json(NOISE[:8].tolist(), path),
    "text": lambda path: write_text("x" * 10**6, path),
    "NIfTI": lambda path: write_volume(Volume(NOISE, np.eye(4)), path.with_suffix(".nii.gz")),
    "array": _arrays,
    "parquet": lambda path: write_parquet(pd.DataFrame({"value": NOISE.ravel()}), path),
    "CSV of scores": lambda path: write_rows(ROWS, path),
    "CSV of costs": lambda path: write_costs([{"dataset": "d" * 1000}] * 1000, path),
    "checkpoint": lambda path: write_checkpoint(path, "f", {"net": torch.from_numpy(NOISE)}),
    "weights": lambda path: write_atomically(path, {"net": torch.from_numpy(NOISE)}),
    "folder": _folder,
    "figure": _figure,
    "seal": _seal,
}


@contextmanager
def _tmpfs(folder, size):
    """A file system of this size in `folder`; skips where this user may mount none."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def _small_files(limit):
    """No file may grow beyond this size; Python ignores the signal, so that the write itself fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _left(folder):
    """Files with their sizes; links and folders are no harm."""
    return {
        path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.stat().st_size
    }


@pytest.mark.parametrize("kind", WRITES)
def test_on_a_full_disk_nothing_half_written_is_left(tmp_path, kind, count):
    WRITES[kind](tmp_path / "out")  # there is nothing else wrong with it
    with _tmpfs(tmp_path / "full", "96k") as disk:
        (disk / "kept").write_text("an older file")
        with pytest.raises((OSError, RuntimeError)) as caught:
            WRITES[kind](disk / "out")
        left = _left(disk)
    assert no_room(caught.value)
    assert left == {"kept": b"an older file"}
    count("disk full")


@pytest.mark.parametrize("kind", WRITES)
def test_where_files_may_not_grow_nothing_half_written_is_left(tmp_path, kind, count):
    with _small_files(64 * 1024), pytest.raises((OSError, RuntimeError)) as caught:
        WRITES[kind](tmp_path / "out")
    assert no_room(caught.value)
    assert _left(tmp_path) == {}
    count("limit on the size of files")


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path):
    path = tmp_path / "scores.parquet"
    write_parquet(to_frame(ROWS[:2]), path)
    before = path.read_bytes()
    with _small_files(1024), pytest.raises(OSError, match="large"):
        WRITES["parquet"](path)
    assert path.read_bytes() == before
    assert len(pd.read_parquet(path)) == 2


def test_a_script_without_room_says_so_in_one_paragraph(tmp_path, capsys):
    with _small_files(64 * 1024), pytest.raises(SystemExit) as ended:
        run_script(lambda: WRITES["array"](tmp_path))
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("No room on the disk: ")
    assert said.endswith("Remedy: make room and start the run again.\n")


@pytest.mark.faults
@pytest.mark.parametrize("kib", [4, 16, 150, 400, 900, 1500])
def test_a_run_on_a_full_disk_says_so_and_finishes_when_there_is_room(undisturbed, tmp_path, kib, count):
    folder = runs.place(tmp_path)
    with _tmpfs(folder / "results", f"{kib}k") as disk:
        assert runs.run(folder) == 1
        assert "No room on the disk" in runs.said(folder)
        assert "Traceback" not in runs.said(folder)
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        runs.finish(folder)
        assert runs.scores(folder) == runs.scores(undisturbed.folder)
    count("a run on a disk that becomes full")


@pytest.mark.faults
def test_a_run_on_a_disk_without_any_room_ends_before_any_job(tmp_path, count):
    folder = runs.place(tmp_path)
    with _tmpfs(folder / "results", "8k") as disk:
        (disk / "other").write_bytes(bytes(8192))
        assert runs.run(folder) == 2
    assert "The results cannot be written: [Errno 28]" in runs.said(folder)
    assert "Remedy: make room" in runs.said(folder)
    assert "Traceback" not in runs.said(folder)
    count("a run on a disk without any room")
