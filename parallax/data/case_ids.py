"""Ids of cases become names of files, on any system: what they may be."""

from __future__ import annotations

import re
from collections.abc import Iterable

from parallax.errors import DataError

#: With modality, ending and the marks of an unfinished file, a name stays below the 255 bytes of a disk.
MOST_CHARACTERS = 100
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def check_case_ids(named: Iterable[tuple[str, str]]) -> None:
    """Raise `DataError` for the first id that cannot name files, or that names those of another case.

    Args:
        named: each id with the place that it stands at, which the error repeats.
    """
    seen: dict[str, str] = {}
    for case, where in named:
        if len(case) > MOST_CHARACTERS:
            raise _error(f"a case id of at most {MOST_CHARACTERS} characters", f"{len(case)}: {case}", where)
        if not _ID.fullmatch(case) or "__" in case:
            raise _error("a case id of letters, digits, '.', '-' and single '_'", repr(case), where)
        if _DEVICE.fullmatch(case):
            raise _error("a case id that is no device of Windows", case, where)
        if (other := seen.get(case.lower())) is not None:
            again = f"{case} again" if other == case else f"{other} and {case}"
            raise _error("each case once, also where a disk takes A for a", again, where)
        seen[case.lower()] = case


def _error(expected: str, found: str, where: str) -> DataError:
    return DataError(
        "A case cannot be called that",
        where=where,
        expected=expected,
        found=found,
        remedy="rename the case (in a datalist: give it an `id`), or its files where these name it",
    )
