"""Seals: size and SHA-256 of every file of an output, written last, and compared before the output is read.

The seal of a folder is `.seal` in it, that of a file NAME is `.NAME.seal` beside it. What does not
match its seal is never read as valid: whoever would read it refuses it (`check`), and the next start of the
run removes what has other sizes (`remove_damaged`), so that it is made again. A seal also names the seals of
what the output was made of (`made_of`): times of files say this wrongly once a clock was set back. Files that
were never sealed, such as a table that somebody brings along, are taken as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from parallax.data.files import replacing_folder, to_disk, write_json
from parallax.errors import DataError

_NAME = ".seal"  # no `.json`: whoever lists the JSON files of a folder does not want it
# Folders of a run without sealed outputs: checkpoints carry a digest of their own, raw files are staged anew.
_UNSEALED = ("logs", "benchmarks", "scratch", "raw")


class SealError(DataError):
    """A file of a run is not what was written there."""


def seal_path(output: Path) -> Path:
    """Where the seal of a folder or a file lies."""
    return output / _NAME if output.is_dir() else output.with_name(f".{output.name}{_NAME}")


def seal(*outputs: Path) -> None:
    """Seal finished outputs, each a folder or a file; an earlier seal is replaced."""
    for output in outputs:
        files = {name: [path.stat().st_size, sha256(path)] for name, path in _files(output)}
        write_json({"files": files}, seal_path(output))
        if not output.is_dir():  # a folder comes with its seal, a file without would be taken as it is
            to_disk(output)
        to_disk(seal_path(output))


def made_of(outputs: Iterable[Path], *inputs: Path) -> None:
    """Note in the seals of these outputs which versions of `inputs` they were made of."""
    versions = {path.as_posix(): sha256(seal_path(path)) for path in inputs if seal_path(path).exists()}
    for output in outputs:
        path = seal_path(output)
        write_json({**json.loads(path.read_text(encoding="utf-8")), "made_of": versions}, path)


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that is sealed and takes the place of `folder` when the block succeeds."""
    with replacing_folder(folder) as temporary:
        yield temporary
        seal(temporary)


def check(*outputs: Path) -> None:
    """Raise `SealError` unless every file of these outputs has the digest that it was sealed with."""
    for output in outputs:
        for error in _faults(output, _read_digest):
            raise error


def damaged(output: Path) -> SealError | None:
    """What is wrong with the size of a file of this output; no file is opened but the seal."""
    return next(_faults(output, _stat_size), None)


def digests(output: Path) -> dict[str, str]:
    """SHA-256 by path within a sealed output, as they were sealed."""
    return {name: str(digest) for name, (_, digest) in _read(seal_path(output)).items()}


def sealed_outputs(root: Path) -> Iterator[Path]:
    """All outputs under the folder of a run that have a seal; of a file, also where only its seal is left."""
    for folder, folders, files in os.walk(root):
        if _NAME in files:
            folders.clear()
            yield Path(folder)
            continue
        folders[:] = [name for name in folders if not (folder == str(root) and name in _UNSEALED)]
        for name in files:
            if name.endswith(_NAME):
                yield Path(folder) / name.removeprefix(".").removesuffix(_NAME)


def remove_damaged(root: Path) -> list[SealError]:
    """Remove the outputs under `root` of which a file has another size than it was sealed with; say which.

    So go outputs that were made of another version of an input; paths of inputs are relative to here.
    """
    found, version = [], cache(sha256)
    for output in list(sealed_outputs(root)):
        error = (damaged(output) or _outdated(output, version)) if output.exists() else None
        if error is None and output.exists():
            continue
        if error is not None:
            found.append(error)
        seal_path(output).unlink(missing_ok=True)  # that of a file which was removed says nothing
        if output.is_dir():
            shutil.rmtree(output)
        else:
            output.unlink(missing_ok=True)
    return found


def settle_times(root: Path, now: float | None = None) -> int:
    """Set times of outputs that lie in the future to now; how many there were.

    They do where the clock was set back. Snakemake refuses to make anything of a file that is younger.
    """
    now, settled = time.time() if now is None else now, 0
    for output in sealed_outputs(root):
        for path in (output, output / ".snakemake_timestamp"):
            with suppress(OSError):
                if path.stat().st_mtime > now:
                    os.utime(path, (now, now))
                    settled += 1
    return settled


def sha256(path: Path) -> str:
    """Digest of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _files(output: Path) -> Iterator[tuple[str, Path]]:
    """Path within the output, and path, of each of its files; seals and what is being written left out."""
    if not output.is_dir():
        yield output.name, output
        return
    for path in sorted(output.rglob("*")):
        if path.is_file() and path.name != _NAME and path.suffix != ".tmp":
            yield path.relative_to(output).as_posix(), path


def _faults(output: Path, look: Callable[[Path], int | str]) -> Iterator[SealError]:
    """What differs between a sealed output and its seal; `look` finds a file's size or digest."""
    seal_file = seal_path(output)
    if not seal_file.exists():
        return
    try:
        sealed = _read(seal_file)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        yield _error(seal_file, output, "a seal: sizes and SHA-256", f"{type(error).__name__}: {error}")
        return
    folder = output if output.is_dir() else output.parent
    for name, values in sealed.items():
        path = folder / name
        try:
            found = look(path)
        except OSError as error:
            yield _error(path, output, "a file that can be read", type(error).__name__)
            continue
        if found not in values:
            unit = "bytes" if isinstance(found, int) else "SHA-256"
            expected = values[0] if isinstance(found, int) else values[1]
            yield _error(path, output, f"{unit} {expected}", str(found))


def _outdated(output: Path, version: Callable[[Path], str]) -> SealError | None:
    """The first input that has another version than this output was made of; absent ones say nothing."""
    for name, sealed in json.loads(seal_path(output).read_text(encoding="utf-8")).get("made_of", {}).items():
        path = seal_path(Path(name))
        if path.exists() and version(path) != sealed:
            return _error(output, output, f"made of the version {sealed} of {name}", version(path))
    return None


def _read_digest(path: Path) -> str:
    return sha256(path)


def _stat_size(path: Path) -> int:
    return path.stat().st_size


def _read(path: Path) -> Mapping[str, tuple[int, str]]:
    files = json.loads(path.read_text(encoding="utf-8"))["files"]
    return {str(name): (int(size), str(digest)) for name, (size, digest) in files.items()}


def _error(path: Path, output: Path, expected: str, found: str) -> SealError:
    return SealError(
        "A file of the run is not what was written there",
        where=path.as_posix(),
        expected=expected,
        found=found,
        remedy=f"delete {output.as_posix()} and start the run again: it is made anew",
    )
