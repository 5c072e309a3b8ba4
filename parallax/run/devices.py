"""Which GPUs a run uses and how many runs share one: `--resources gpu=N gpu_share=S`, checked before any job.

Nothing here imports PyTorch: on a machine without a GPU it costs a look for `nvidia-smi` on the path.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parallax.errors import UserError

#: How many runs may share a device. Powers of two, as a run that does not fit takes twice the room.
SHARES = (1, 2, 4, 8)
_QUERY = ("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader")


class DeviceError(UserError):
    """More GPUs are asked for than there are, or a GPU is to be shared in a way that cannot be."""


@dataclass(frozen=True)
class Found:
    """The GPUs that this process may use, by UUID and in order; `why_none` where there is none."""

    devices: tuple[str, ...]
    why_none: str = ""


@dataclass(frozen=True)
class Gpus:
    """The GPUs that a run uses, and how many of its runs share each.

    Attributes:
        devices: UUIDs, in the order in which they are given out; empty means that PyTorch decides.
        share: 1, 2, 4 or 8.
        off: True where the run stays on the CPU though there may be GPUs (`gpu=0`).
        per_run: what a run takes of Snakemake's resource `gpu`; on a cluster, GPUs of its allocation.
    """

    devices: tuple[str, ...] = ()
    share: int = 1
    off: bool = False
    per_run: int = 0

    @property
    def slots(self) -> int:
        """How many runs there is room for."""
        return len(self.devices) * self.share

    def at_once(self, cores: int) -> int:
        """How many runs train at a time."""
        return min(cores, self.slots) if self.devices else cores

    def options(self) -> str:
        """Options of train.py and predict.py; none where PyTorch decides."""
        if self.off:
            return "--device cpu"
        return f"--devices {','.join(self.devices)} --gpu-share {self.share}" if self.devices else ""

    def line(self, cores: int) -> str:
        """One line for the terminal."""
        text = f"GPUs: {len(self.devices)}, up to {self.share} run(s) on each: {self.slots} at a time"
        return f"{text}, of which {cores} cores allow {cores}" if cores < self.slots else text


def chosen_gpus(asked: int | None, share: int | None, look: Callable[[], Found] | None = None) -> Gpus:
    """The GPUs of a run.

    Args:
        asked: N of `--resources gpu=N`; None where it was not given: all GPUs that there are.
        share: S of `gpu_share=S`; None means 1.
        look: finds the GPUs of this machine.

    Raises:
        DeviceError: if there are fewer than N, or S is not one of `SHARES`.
    """
    share = 1 if share is None else share
    if share not in SHARES:
        raise DeviceError(
            "A GPU cannot be shared so",
            where=f"--resources gpu_share={share}",
            expected=f"one of {', '.join(map(str, SHARES))} runs on a device",
            found=str(share),
            remedy="take the next smaller of these",
        )
    if asked == 0:
        return Gpus(off=True)
    found = (look or find_gpus)()
    if asked is not None and len(found.devices) < asked:
        raise DeviceError(
            "There are fewer GPUs than asked for",
            where=f"--resources gpu={asked}",
            expected=f"{asked} GPU(s) that this process may use",
            found=f"{len(found.devices)}: {found.why_none}" if found.why_none else str(len(found.devices)),
            remedy="ask for as many as there are, or leave gpu out; without a GPU a run trains on the CPU",
        )
    return Gpus(found.devices[:asked], share, per_run=1 if found.devices else 0)


def begin_gpus(workflow: Any) -> Gpus:
    """The GPUs of this invocation of Snakemake, which then starts as many runs as there is room for.

    Snakemake counts local jobs against `--resources gpu=N` and gives them no device: leases do that. A
    cluster gives out devices itself, so there (`--jobs`, not `--cores`) each run asks for one, and looks for
    it when it starts. Which executor runs, and whether it runs at all, Snakemake (9.27) knows only later.

    Raises:
        DeviceError: as `chosen_gpus`.
    """
    given = workflow.global_resources
    asked, share = (given[name].value if name in given else None for name in ("gpu", "gpu_share"))
    if workflow.resource_settings.nodes is not None:
        return Gpus(per_run=1 if asked else 0)
    gpus = chosen_gpus(asked, share)
    if gpus.devices:
        workflow.register_resource("gpu", gpus.slots)
    return gpus


def find_gpus(environment: Mapping[str, str] | None = None) -> Found:
    """The GPUs that `nvidia-smi` lists and `CUDA_VISIBLE_DEVICES` leaves, in the order of that variable.

    Numbers in the variable count in the order of `nvidia-smi` (`CUDA_DEVICE_ORDER=PCI_BUS_ID`).
    """
    given = os.environ if environment is None else environment
    if shutil.which(_QUERY[0]) is None:
        return Found((), "nvidia-smi is not on the path")
    if importlib.util.find_spec("fcntl") is None:
        return Found((), "GPUs are leased with file locks, which this system lacks")
    if not cuda_build():
        return Found((), "the PyTorch that is installed was built without CUDA")
    done = subprocess.run(_QUERY, capture_output=True, text=True, check=False)
    listed = tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
    if done.returncode != 0 or not listed:
        return Found((), f"nvidia-smi lists none: {' '.join((done.stdout + done.stderr).split())[:200]}")
    visible = given.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return Found(listed)
    left = visible_devices(visible, listed)
    return Found(left, "" if left else f"CUDA_VISIBLE_DEVICES={visible!r} leaves none of {len(listed)}")


def visible_devices(visible: str, listed: Sequence[str]) -> tuple[str, ...]:
    """What `CUDA_VISIBLE_DEVICES` leaves of the `listed` UUIDs; as in CUDA, nothing after an unknown entry.

    An entry is a number, the beginning of one UUID, or a part of a device (`MIG-...`), which is kept.
    """
    left: list[str] = []
    for entry in (part.strip() for part in visible.split(",")):
        if entry.startswith("MIG-"):
            device = entry
        elif entry.isdecimal():
            device = listed[int(entry)] if int(entry) < len(listed) else ""
        else:
            alike = [name for name in listed if entry and name.startswith(entry)]
            device = alike[0] if len(alike) == 1 else ""
        if not device or device in left:
            break
        left.append(device)
    return tuple(left)


def cuda_build() -> bool:
    """Whether the PyTorch that is installed can use a GPU; reads its version file, imports nothing of it."""
    package = importlib.util.find_spec("torch")
    if package is None or package.origin is None:
        return False
    spec = importlib.util.spec_from_file_location(
        "_torch_version", Path(package.origin).with_name("version.py")
    )
    if spec is None or spec.loader is None:
        return False
    version = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(version)
    return bool(getattr(version, "cuda", None))
