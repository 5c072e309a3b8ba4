"""How every file of a run is written: all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parallax.errors import DataError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name in the same folder that takes the place of `path` when the block succeeds.

    A reader sees the old file or the new one; where the block or the disk fails, nothing is left. After a
    power failure a file may be cut short all the same: seals and the digests of checkpoints tell.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `folder`, whole, when the block succeeds."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if folder.exists():
            shutil.rmtree(folder)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def to_disk(path: Path) -> None:
    """Wait until the content of a file is on the disk, which takes tens of milliseconds."""
    with path.open("r+b") as handle:  # Windows flushes only what was opened for writing
        os.fsync(handle.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or none."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(text: str, path: Path) -> None:
    """Write a text file, all of it or nothing; lines end in a line feed on every system."""
    write_bytes(path, text.encode())


def write_json(values: Any, path: Path) -> None:
    """Write JSON (sorted as given, newline at the end), all of it or nothing."""
    write_text(json.dumps(values, indent=1) + "\n", path)


def read_json(path: Path) -> Any:
    """Read a JSON file; `DataError` where it is absent or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            "A file of the run cannot be read",
            where=str(path),
            expected="a JSON file",
            found=f"{type(error).__name__}: {error}",
            remedy="delete it and run the workflow again",
        ) from error
