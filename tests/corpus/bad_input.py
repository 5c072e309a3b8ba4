"""What one case of the corpus is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

#: A command line: `parallax ...`, or a file of workflow/scripts and its options.
Command = tuple[str, ...]

#: `refused`: exit status 1 or 2 and an error. `named`: it can be used, and what is odd about it is printed.
Answer = Literal["refused", "named"]


@dataclass(frozen=True)
class BadInput:
    """One case: `family/name`, what is wrong in one line, how to make it, and words that must be printed."""

    family: str
    name: str
    wrong: str
    build: Callable[[Path], Command]
    says: tuple[str, ...]
    answer: Answer = "refused"

    @property
    def id(self) -> str:
        return f"{self.family}/{self.name}"
