"""What every family of misalignment draws: plain values that are saved and replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Drawn:
    """Parameters of one family for one case.

    Attributes:
        moved: the modality that is changed.
    """

    moved: str

    def to_json(self) -> dict[str, Any]:
        """Plain values; floats keep every bit, so that a replay gives identical voxels."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)
