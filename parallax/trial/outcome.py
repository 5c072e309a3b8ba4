"""A check of the contract and how it went."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from parallax.errors import UserError

if TYPE_CHECKING:
    from parallax.trial.trial import Trial


class Status(StrEnum):
    """How a check went."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """How one check went for one preset.

    Attributes:
        check: name of the check.
        status: how it went.
        detail: what was found, or why it was skipped.
        remedy: what to do about a failure.
        preset: the preset that was tried; empty where the check is of the file as a whole.
    """

    check: str
    status: Status
    detail: str
    remedy: str = ""
    preset: str = ""


class NotKeptError(Exception):
    """The method breaks the contract: what was found, and a remedy where that of the check is too general."""

    def __init__(self, detail: str, remedy: str = "") -> None:
        self.detail, self.remedy = detail, remedy
        super().__init__(detail)


class NotApplicableError(Exception):
    """The check says nothing about this method; the text is the reason."""


@dataclass(frozen=True)
class Check:
    """One point of the contract.

    Attributes:
        name: a few words, as the table shows them.
        remedy: what to do about a failure.
        keep: looks, and returns what it found; raises `NotKeptError`, `NotApplicableError` or whatever the
            method raises.
        needs: names of checks that have to pass first, because this one would fail of the same cause.
    """

    name: str
    remedy: str
    keep: Callable[[Trial], str]
    needs: tuple[str, ...] = ()

    def __call__(self, trial: Trial) -> Outcome:
        """How it went; what the method raises is a failure, not an error."""
        try:
            with trial.watched():
                return Outcome(self.name, Status.PASSED, self.keep(trial))
        except NotApplicableError as reason:
            return Outcome(self.name, Status.SKIPPED, str(reason))
        except NotKeptError as broken:
            return Outcome(self.name, Status.FAILED, broken.detail, broken.remedy or self.remedy)
        except Exception as error:
            return Outcome(self.name, Status.FAILED, last_line(error), self.remedy)


def check(
    name: str, *, remedy: str, needs: tuple[str, ...] = ()
) -> Callable[[Callable[[Trial], str]], Check]:
    """Make a `Check` of a function."""
    return lambda keep: Check(name, remedy, keep, needs)


def require(held: bool, detail: str, remedy: str = "") -> None:
    """Raise `NotKeptError` unless `held`."""
    if not held:
        raise NotKeptError(detail, remedy)


def last_line(error: Exception) -> str:
    """`KeyError: 'alpha'` and where in the method's own file it was raised, as far as that can be told."""
    text = str(error)
    if isinstance(error, UserError):  # its remedy is for a run; here that of the check counts
        text = f"{error.what} ({error.where}; {error.found})"
    text = " ".join(f"{type(error).__name__}: {text}".split())
    return f"it raised {text[:400]}{_place(error)}"


def _place(error: Exception) -> str:
    # the innermost line of a plug-in: what lies deeper is torch or the engine
    place, trace = "", error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__", "")).startswith("parallax_plugin_"):
            place = f" ({trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place
