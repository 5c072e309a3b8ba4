"""What happens when the memory of a device runs out: the run goes on from its checkpoint, with more room."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from parallax.errors import UserError

T = TypeVar("T")

# What CUDA and its libraries say where PyTorch has no error of its own for it.
_TEXTS = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


class DeviceMemoryError(UserError):
    """A run does not fit on the device, though it had all of it."""


class Room(Protocol):
    """The part of a device that a run has to itself, 1/`share`."""

    share: int

    def more(self) -> None:
        """Wait for twice as much; only where `share` is not 1."""
        ...


def out_of_memory(error: Exception) -> bool:
    """Whether this error, or the one that it was raised from, says that a device has no memory left."""
    torch = sys.modules.get("torch")  # a method that did not import it has used no device
    if torch is None:
        return False
    if isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in _TEXTS):
        return True
    return isinstance(error.__cause__, Exception) and out_of_memory(error.__cause__)


def retried(attempt: Callable[[], T], room: Room | None, note: Callable[[str], None]) -> T:
    """The result of `attempt`, which is made again with twice the room each time that memory ran out.

    Args:
        attempt: trains or segments; resumes by itself from what an earlier attempt left.
        room: what the run has of its device; None where it shares the device with nobody that we know.
        note: called with each thing that a user should know.

    Raises:
        DeviceMemoryError: if it does not fit on the whole device.
    """
    while True:
        try:
            return attempt()
        except Exception as error:
            if room is None or not out_of_memory(error):
                raise
            said = " ".join(str(error).split())[:240].rstrip(".")
        # The error is gone here, and with it the frames that kept the tensors of the failed attempt.
        _free()
        if room.share == 1:
            note("device memory ran out on a whole device: the run does not fit")
            raise _does_not_fit(said)
        note(f"device memory ran out where {room.share} runs share it; again with {room.share // 2}")
        room.more()


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _does_not_fit(said: str) -> DeviceMemoryError:
    return DeviceMemoryError(
        "The run does not fit on the device",
        where="a device that no other run shares",
        expected="enough memory",
        found=said,
        remedy="a smaller budget.patch, budget.batch or budget.widths, or precision bfloat16",
    )


def packed(device: str, room: Room | None) -> str:
    """The name of a device, with how many runs may have shared it: times are no measure of speed then."""
    return device if room is None or room.share == 1 else f"{device}, shared by up to {room.share}"


def with_notes(outcome: Mapping[str, Any], notes: list[str], key: str) -> dict[str, Any]:
    """`outcome` with `notes` under `key`, unchanged where there are none."""
    return {**outcome, key: notes} if notes else dict(outcome)
