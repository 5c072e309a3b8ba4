"""Options that every phantom data set takes from the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parallax.errors import ConfigError

SIZES = ("small", "default", "fine", "real")


@dataclass(frozen=True)
class PhantomOptions:
    """How many subjects, from which seed, on which grid.

    Attributes:
        cases: number of subjects.
        seed: of all that is drawn.
        size: `small` (smoke tests), `default` (a CPU), `fine` (a GPU, figures) or `real` (the spacing of the
            data set that the phantom stands for).
    """

    cases: int
    seed: int
    size: str


def phantom_options(name: str, options: Mapping[str, Any], most: int) -> PhantomOptions:
    """Check the options of a phantom data set.

    Args:
        name: of the data set.
        options: from the configuration: `cases` (default 30), `seed` (0), `size` (`default`, see SIZES).
        most: largest number of cases that the layout can number.

    Raises:
        ConfigError: an unknown key, or a value out of range.
    """
    unknown = sorted(set(options) - {"cases", "seed", "size"})
    if unknown:
        raise _wrong(name, "unknown option", "cases, seed, size", ", ".join(unknown))
    cases, seed, size = options.get("cases", 30), options.get("seed", 0), options.get("size", "default")
    if not _whole(cases) or not 1 <= cases <= most:
        raise _wrong(name, "option cases", f"a whole number from 1 to {most}", repr(cases))
    if not _whole(seed) or seed < 0:
        raise _wrong(name, "option seed", "a whole number from 0", repr(seed))
    if size not in SIZES:
        raise _wrong(name, "option size", f"one of {', '.join(SIZES)}", repr(size))
    return PhantomOptions(cases, seed, size)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(name: str, what: str, expected: str, found: str) -> ConfigError:
    return ConfigError(
        f"A phantom data set cannot be built: {what}",
        where=f"options of dataset {name}",
        expected=expected,
        found=found,
        remedy="change the options in the configuration",
    )
