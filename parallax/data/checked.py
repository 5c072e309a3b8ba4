"""Remember which label maps were found good, so that an unchanged folder is not read at every call.

Only good verdicts are kept: a file that was refused is read again until it is right. An entry holds for path,
size and time of every file involved, one set of rules, and this version of the code that judges.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from parallax.data.files import write_text

#: Beside the runs, so that it is seen and may be deleted at any time.
CACHE = Path("results") / ".checked-labels.json"


class Checked:
    """Verdicts under one set of rules."""

    def __init__(self, rule: object, held: dict[str, str]) -> None:
        self._rule, self.held, self.changed = f"{rule!r} {_code()}", held, False

    def once(self, files: Sequence[Path], check: Callable[[], None]) -> None:
        """Run `check`, which raises where something is wrong, unless these files passed it before."""
        key, verdict = str(files[-1].absolute()), self._digest(files)
        if verdict is None or self.held.get(key) != verdict:
            check()
            if verdict is not None:
                self.held[key], self.changed = verdict, True

    def _digest(self, files: Sequence[Path]) -> str | None:
        try:
            stats = [(str(path.absolute()), path.stat()) for path in files]
        except OSError:
            return None  # an absent file: the check itself says so
        lines = [f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats]
        return hashlib.sha256("\n".join([self._rule, *lines]).encode()).hexdigest()[:32]


@contextmanager
def checked_files(rule: object) -> Iterator[Checked]:
    """Verdicts of earlier calls; new ones are kept when the block ends, also with an error."""
    checked = Checked(rule, _read())
    try:
        yield checked
    finally:
        if checked.changed:
            _write({key: verdict for key, verdict in checked.held.items() if Path(key).exists()})


def _read() -> dict[str, str]:
    try:
        held = json.loads(CACHE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in held.items()} if isinstance(held, dict) else {}


def _write(held: dict[str, str]) -> None:
    with suppress(OSError):  # no place to remember: the next call reads again
        write_text(json.dumps(held, indent=0, sort_keys=True) + "\n", CACHE)


def _code() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
