"""Scratch checkpoints: whole or absent, checked when read, tied to the run that wrote them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from parallax.data.files import write_bytes

_CURRENT, _PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"
_DIGEST_BYTES = 32


def write_atomically(path: Path, values: Mapping[str, Any]) -> None:
    """`torch.save`, all of it or nothing."""
    write_bytes(path, _to_bytes(values))


def write_checkpoint(folder: Path, fingerprint: str, state: Mapping[str, Any]) -> None:
    """Keep `state` in `folder` as the newest checkpoint; the one before it stays as a fallback."""
    folder.mkdir(parents=True, exist_ok=True)
    content = _to_bytes({"fingerprint": fingerprint, "state": dict(state)})
    if (folder / _CURRENT).exists():
        (folder / _CURRENT).replace(folder / _PREVIOUS)
    write_bytes(folder / _CURRENT, content + hashlib.sha256(content).digest())


def read_checkpoint(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The newest intact state that a run with this fingerprint wrote into `folder`, or None."""
    for name in (_CURRENT, _PREVIOUS):
        state = _read(folder / name, fingerprint)
        if state is not None:
            return state
    return None


def _read(path: Path, fingerprint: str) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    whole = path.read_bytes()
    content, digest = whole[:-_DIGEST_BYTES], whole[-_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        return None
    values = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if values["fingerprint"] != fingerprint:
        return None
    state: dict[str, Any] = values["state"]
    return state


def _to_bytes(values: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(dict(values), buffer)
    return buffer.getvalue()
