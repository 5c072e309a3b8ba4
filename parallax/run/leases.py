"""Leases of parts of a GPU, so that runs of several invocations on one machine do not pile up on one device.

A device has eight slots. Each is a file in a folder that the whole machine shares, and is held by a lock of
the kernel's on that file (`flock`): the lock goes with the process however that ends, so a killed run leaves
nothing behind. A run that shares its device with S - 1 others holds 8/S slots. Whoever takes slots takes the
door of the device first; a run that waits for more slots than are free keeps the door shut, so that nobody
slips in before it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from parallax.plugin import method_card

SLOTS = 8
#: Not the folder of temporary files that a user may move: all runs of the machine have to meet here.
FOLDER = Path("/tmp/parallax-gpu-leases")  # files in it are empty, and opened without following links
_POLL_S = 0.5


class Lease:
    """A part of a GPU that this process has to itself: 1/`share` of `device`."""

    def __init__(
        self, folder: Path, device: str, share: int, held: list[int], pause: Callable[[], None]
    ) -> None:
        self.device, self.share = device, share
        self._folder, self._held, self._pause = folder, held, pause

    def more(self) -> None:
        """Wait for twice the room on the same device; `share` must not be 1.

        What is held is given back first: two runs that both held on would wait for each other for ever.
        """
        self.release()
        self.share //= 2
        _, self._held = _wait(self._folder, (self.device,), SLOTS // self.share, self._pause)
        self._pause()  # a process that ended gives its memory back a moment after its locks

    def release(self) -> None:
        """Give the slots back."""
        _close(self._held)
        self._held = []


def leased(method: str, devices: Sequence[str], share: int) -> Lease | None:
    """A lease for a run of `method`; its device is then the only one that CUDA shows to this process.

    None without `devices`, and for controls, which train nothing. Call it before PyTorch looks for devices.
    Nobody gives the lease back: it ends with the process, as the memory on the device does.
    """
    if not devices or method_card(method).control:
        return None
    lease = take(devices, share, FOLDER)
    # By UUID, and for this process alone: libraries that know no device but the first find the right one.
    os.environ["CUDA_VISIBLE_DEVICES"] = lease.device
    sys.stderr.write(f"GPU {lease.device}, shared by up to {lease.share}\n")
    return lease


def take(devices: Sequence[str], share: int, folder: Path, pause: Callable[[], None] | None = None) -> Lease:
    """Wait for 1/`share` of one of `devices`; the first in their order that has the room.

    Args:
        devices: UUIDs.
        share: 1, 2, 4 or 8.
        folder: where the locks are, `FOLDER` outside of tests; made if it is absent.
        pause: called between two attempts (default: sleep half a second).
    """
    pause = pause or _sleep
    device, held = _wait(_shared(folder), devices, SLOTS // share, pause)
    return Lease(folder, device, share, held, pause)


def _wait(
    folder: Path, devices: Sequence[str], slots: int, pause: Callable[[], None]
) -> tuple[str, list[int]]:
    """The device and the descriptors of `slots` locked slots of it."""
    door: tuple[str, int] | None = None
    try:
        while True:
            for device in devices:
                held = _slots(folder, device, slots, inside=door is not None and door[0] == device)
                if held:
                    return device, held
            door = door or _first_door(folder, devices)
            pause()
    finally:
        if door is not None:
            os.close(door[1])


def _slots(folder: Path, device: str, slots: int, *, inside: bool) -> list[int]:
    """Descriptors of so many locked slots, or none at all; `inside` says that the door is ours already."""
    door = None if inside else _lock(_file(folder, device, "door"))
    if door is None and not inside:
        return []
    held: list[int] = []
    for number in range(SLOTS):
        slot = _lock(_file(folder, device, str(number))) if len(held) < slots else None
        held += [slot] if slot is not None else []
    if len(held) < slots:
        _close(held)
        held = []
    if door is not None:
        os.close(door)
    return held


def _first_door(folder: Path, devices: Sequence[str]) -> tuple[str, int] | None:
    for device in devices:
        door = _lock(_file(folder, device, "door"))
        if door is not None:
            return device, door
    return None


def _file(folder: Path, device: str, part: str) -> Path:
    return folder / f"{device.replace('/', '_')}.{part}"


def _lock(path: Path) -> int | None:
    """A descriptor with the lock on this file, or None where another has it."""
    import fcntl

    handle = _open(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    with suppress(PermissionError):  # a file of another user
        os.utime(handle)  # young files are not cleared away
    with suppress(FileNotFoundError):
        if os.fstat(handle).st_ino == path.stat().st_ino:
            return handle
    os.close(handle)  # cleared away between the two calls, so others lock another file
    return None


def _open(path: Path) -> int:
    # Reading is enough for a lock, and in such a folder nobody may create over a file of another user.
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)


def _shared(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):  # made by another user
        folder.chmod(0o1777)
    return folder


def _close(handles: list[int]) -> None:
    for handle in handles:
        os.close(handle)


def _sleep() -> None:
    time.sleep(_POLL_S)
