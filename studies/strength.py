"""How strong are the tests? Shares of lines and branches that they pass, and of mutants that they kill.

Usage: `python studies/strength.py coverage [coverage.json]` after `coverage json`, and
`python studies/strength.py mutation [mutants]` after `mutmut run`; `make coverage` and `make mutate` do both
steps. Status 1 where a share lies below its bound. docs/tests.md says what is measured.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from parallax.data.files import read_json

LEAST_BRANCHES_PERCENT = 95.0
LEAST_KILLED_PERCENT = 85.0
#: Files with the most branches that no test takes, so many of them are printed.
WORST = 12
GROUPS = {"score": "metrics", "perturb": "perturbations", "learn": "losses"}
#: Files that belong to another group than their folder does.
ELSEWHERE = {"parallax/learn/availability.py": "perturbations"}
#: What mutmut notes of a mutant that lives: every test passed, or there was none.
ALIVE = (0, 5, 33)
#: Its turn did not come, or was broken off.
NOT_TRIED = (None, 2)


@dataclass(frozen=True)
class Mutants:
    """Mutants of one file: how many there are, were tried, and lived."""

    file: str
    made: int
    tried: int
    survived: tuple[str, ...]

    @property
    def group(self) -> str:
        return ELSEWHERE.get(self.file) or GROUPS[self.file.split("/")[1]]


def mutants_of(folder: Path) -> list[Mutants]:
    """What mutmut left in its folder, file by file."""
    found = []
    for path in sorted(folder.glob("parallax/**/*.meta")):
        codes = read_json(path)["exit_code_by_key"]
        if codes:
            lived = tuple(name for name, code in codes.items() if code in ALIVE)
            tried = sum(code not in NOT_TRIED for code in codes.values())
            file = path.relative_to(folder).with_suffix("").as_posix()
            found.append(Mutants(file, len(codes), tried, lived))
    return found


def mutation_lines(found: Iterable[Mutants]) -> tuple[str, dict[str, float]]:
    """The table of docs/tests.md, and the share (percent) of killed mutants by group."""
    rows, tried, lived = [], Counter[str](), Counter[str]()
    for one in found:
        if one.tried:
            tried[one.group] += one.tried
            lived[one.group] += len(one.survived)
            rows.append(_row(one.group, f"`{one.file}`", one.made, one.tried, len(one.survived)))
    rows += [_row(f"**{g}**", "", "", tried[g], lived[g]) for g in tried]
    header = ["group", "file", "mutants", "tried", "killed", "survived", "killed, %"]
    shares = {group: 100 * (1 - lived[group] / tried[group]) for group in tried}
    return tabulate(rows, header, tablefmt="github", floatfmt=".1f"), shares


def _row(group: str, file: str, made: int | str, tried: int, lived: int) -> list[object]:
    return [group, file, made, tried, tried - lived, lived, 100 * (1 - lived / tried)]


def branch_lines(report: Path) -> tuple[str, float]:
    """Totals and worst files of `coverage json`, and the share (percent) of branches that tests take."""
    values = read_json(report)
    totals = values["totals"]
    lines = 100 * totals["covered_lines"] / totals["num_statements"]
    branches = 100 * totals["covered_branches"] / totals["num_branches"]
    missed = sorted(
        (
            (v["summary"]["missing_branches"], v["summary"]["missing_lines"], f)
            for f, v in values["files"].items()
        ),
        reverse=True,
    )
    text = (
        f"lines {lines:.2f} % ({totals['covered_lines']} of {totals['num_statements']}), "
        f"branches {branches:.2f} % ({totals['covered_branches']} of {totals['num_branches']})\n"
    )
    return text + tabulate(missed[:WORST], ["branches missed", "lines missed", "file"]), branches


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["coverage"]:
        text, branches = branch_lines(Path((arguments[1:] or ["coverage.json"])[0]))
        print(text)
        return int(branches < LEAST_BRANCHES_PERCENT)
    if arguments[:1] == ["mutation"]:
        found = mutants_of(Path((arguments[1:] or ["mutants"])[0]))
        text, shares = mutation_lines(found)
        print(text, "\n".join(name for one in found for name in one.survived), sep="\n\n")
        return int(not shares or min(shares.values()) < LEAST_KILLED_PERCENT)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
