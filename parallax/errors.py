"""Errors that a user can act on: what went wrong, where, what was expected, what was found, what to do."""

from __future__ import annotations

import difflib
import errno
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn, Self

# What the system says where a disk, a quota or the size of a file is used up.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

#: Characters of a part of a message that may come from a file.
_MOST = 1000


class UserError(Exception):
    """A mistake of the user's that Parallax can name. Printed as one paragraph, without a traceback.

    Args:
        what: the mistake in one clause.
        where: the file, key or case that holds it.
        expected: what would have been right.
        found: what was there.
        remedy: what to do next.
    """

    def __init__(self, what: str, *, where: str, expected: str, found: str, remedy: str) -> None:
        self.what, self.where, self.expected, self.found, self.remedy = what, where, expected, found, remedy
        named = {"Where": where, "Expected": expected, "Found": found, "Remedy": remedy}
        parts = " ".join(f"{name}: {_plain(part)}." for name, part in named.items())
        super().__init__(f"{_plain(what)}. {parts}")

    def within(self, where: str) -> Self:
        """The same error, met inside `where`: a row of a list, a dataset of a configuration."""
        return type(self)(
            self.what,
            where=f"{where}, {self.where}",
            expected=self.expected,
            found=self.found,
            remedy=self.remedy,
        )


def printable(text: str) -> str:
    """The text as one line that steers no terminal: names of files may hold any character."""
    return "".join(c if c.isprintable() else " " if c in "\r\n\t" else ascii(c)[1:-1] for c in text)


def _plain(text: str) -> str:
    """The text as a paragraph holds it: what a file holds may be megabytes."""
    return printable(
        text if len(text) <= _MOST else f"{text[:_MOST]}... ({len(text) - _MOST} more characters)"
    )


class ConfigError(UserError):
    """The configuration of a run holds a key, a name or a value that cannot be used."""


class DataError(UserError):
    """A file of a dataset is absent, unreadable or holds values outside the task."""


class GeometryError(DataError):
    """Two volumes that must share a grid do not."""


class PluginError(UserError):
    """A file under datasets/, methods/ or baselines/ does not fulfil its contract."""


def no_room(error: BaseException | None) -> bool:
    """Whether a disk, a quota or the size of a file was used up: this error says so, or one that led to it.

    numpy gives no number: it says how many items were "requested and" how many written.
    """
    if isinstance(error, OSError) and (error.errno in _NO_ROOM or "requested and" in str(error)):
        return True
    return error is not None and no_room(error.__cause__ or error.__context__)


def end_refused(error: UserError) -> NoReturn:
    """Say the error in its one paragraph and end with status 2."""
    sys.stderr.write(f"{type(error).__name__}: {error}\n")
    sys.exit(2)


def run_script(main: Callable[[], None]) -> None:
    """Run the `main` of a script: a mistake of the user's is one paragraph and status 2, not a traceback."""
    try:
        main()
    except UserError as error:
        end_refused(error)
    except Exception as error:
        if not no_room(error):
            raise
        sys.stderr.write(f"No room on the disk: {error}. Nothing half-written is left. Remedy: make room and")
        sys.stderr.write(" start the run again.\n")
        sys.exit(1)


def counted(number: int, noun: str) -> str:
    """A number with its noun, which is given in the singular: `1 run`, `2 runs`, `0 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: the closest known one, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name[:_MOST], names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
