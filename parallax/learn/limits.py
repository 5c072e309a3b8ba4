"""Limits on the time and memory of one run: a method that goes past one is ended, and that is its result."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LOOK_EVERY_S = 0.25
_MIB = 2**20
# Threads, libraries and freed memory that is kept: allocated, and not held as far as `memory_mib` counts.
_UNUSED_MIB = 1024
_SHARE_OF_MACHINE = 0.9


@dataclass(frozen=True)
class Limits:
    """Most wall time and memory of one process; None means no limit, of memory 90 % of the machine's."""

    seconds: float | None = None
    memory_mib: float | None = None

    def passed(self, seconds: float, memory_mib: float) -> str:
        """Which limit is passed, as the reason of a failed run; empty where none is."""
        if self.seconds is not None and seconds > self.seconds:
            return f"LimitError: not done within {self.seconds:g} s (limits in the configuration)"
        if memory_mib > self.most_mib():
            text = f"LimitError: held {memory_mib:.0f} MiB of memory, more than {self.most_mib():.0f} MiB"
            return f"{text} (limits in the configuration)"
        return ""

    def most_mib(self) -> float:
        """The limit on memory."""
        if self.memory_mib is not None:
            return self.memory_mib
        import psutil

        return float(psutil.virtual_memory().total / _MIB * _SHARE_OF_MACHINE)


@contextmanager
def watched(limits: Limits, failed: Callable[[str], None]) -> Iterator[None]:
    """Run the block within `limits`; past one, `failed(reason)` is called and the process ends with status 0.

    A thread looks, so code that waits, loops or computes for ever is met, in C too as long as it lets go of
    the interpreter. What never does so is ended later without a result. Where an allocation would go far
    past the limit at once, it raises `MemoryError` (Linux).
    """
    done, ending = threading.Event(), threading.Lock()
    watcher = threading.Thread(target=_watch, args=(limits, failed, done, ending), daemon=True)
    watcher.start()
    if limits.seconds is not None:
        faulthandler.dump_traceback_later(1.5 * limits.seconds + 60, exit=True)
    try:
        with _no_larger_than(limits):
            yield
    finally:
        with ending:  # from here on the result is that of the block; a watcher that came first never lets go
            done.set()
        if limits.seconds is not None:
            faulthandler.cancel_dump_traceback_later()


def _watch(
    limits: Limits, failed: Callable[[str], None], done: threading.Event, ending: threading.Lock
) -> None:
    import psutil

    process, started = psutil.Process(), time.monotonic()
    while not done.wait(_LOOK_EVERY_S):
        reason = limits.passed(time.monotonic() - started, process.memory_info().rss / _MIB)
        if not reason:
            continue
        with ending:
            if done.is_set():
                return
            try:
                faulthandler.dump_traceback()  # where it was, for the log
                failed(reason)
            except BaseException:
                os._exit(1)
            os._exit(0)


@contextmanager
def _no_larger_than(limits: Limits) -> Iterator[None]:
    """Let an allocation fail that the watcher would see too late: one that fills the memory at once."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = int((limits.most_mib() + _UNUSED_MIB) * _MIB)
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([most, *known]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
