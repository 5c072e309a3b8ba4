"""What the columns of a table are sorted by in a browser: their numbers, where they hold numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from parallax.tables.layout import DASH

_NUMBER = re.compile(r"[<>]?\s*([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?:\s*([GMk])\b)?")
_SIZE = {"G": 1e9, "M": 1e6, "k": 1e3}
#: Below every number: a dash, `failed`, `skipped`.
_NOTHING = -1e300


def sort_keys(rows: Sequence[Sequence[str]]) -> list[list[float | None]]:
    """For every cell the number to sort it by, or None in columns that hold text.

    A column holds numbers where all of its cells that say anything start with one: `0.715 \u00b1 0.013`,
    `+2.9 (+1.0 to +4.8)`, `< 0.001`, `1.25 M`.
    """
    columns = [_column(cells) for cells in zip(*rows, strict=True)]
    return [list(keys) for keys in zip(*columns, strict=True)]


def _column(cells: Sequence[str]) -> list[float | None]:
    told = [cell not in (DASH, "", "failed", "skipped") for cell in cells]
    found = [_NUMBER.match(cell) if tell else None for cell, tell in zip(cells, told, strict=True)]
    if not any(told) or any(tell and not match for tell, match in zip(told, found, strict=True)):
        return [None] * len(cells)
    return [float(m[1]) * _SIZE.get(m[2] or "", 1.0) if m else _NOTHING for m in found]
