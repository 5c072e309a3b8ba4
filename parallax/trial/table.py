"""Outcomes as a table for the terminal, and as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from parallax.cards import MethodCard
from parallax.trial.outcome import Outcome, Status

_STYLE = {Status.PASSED: "green", Status.FAILED: "bold red", Status.SKIPPED: "dim"}


def outcome_table(card: MethodCard, outcomes: Sequence[Outcome]) -> Table:
    """A line per check; presets that it went alike for share the line, failures come with their remedy."""
    presets = list(dict.fromkeys(o.preset for o in outcomes if o.preset))
    title = Text(f"{card.name}: {', '.join(presets) or 'the file'}", style="bold")
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("check", overflow="fold", ratio=2)
    table.add_column("", no_wrap=True)
    table.add_column("what was found", overflow="fold", ratio=5)
    for alike in _alike(outcomes):
        first = alike[0]
        whom = ", ".join(o.preset for o in alike if o.preset)
        whom = f"{whom}: " if whom and len(alike) < len(presets) else ""
        found = Text(whom + first.detail, style="" if first.status is Status.FAILED else "dim")
        if first.status is Status.FAILED:
            found.append(f"\nRemedy: {first.remedy}", style="yellow")
        table.add_row(Text(first.check), Text(first.status, style=_STYLE[first.status]), found)
    return table


def summary(card: MethodCard, outcomes: Sequence[Outcome], seconds: float) -> str:
    """How many checks went how, and what comes next."""
    failed = list(dict.fromkeys(f"“{o.check}”" for o in outcomes if o.status is Status.FAILED))
    n = {status: sum(o.status is status for o in outcomes) for status in Status}
    counts = f"{n[Status.PASSED]} passed, {n[Status.FAILED]} failed, {n[Status.SKIPPED]} skipped"
    if failed:
        then = f"Not kept: {', '.join(failed)}. Follow the remedies, then run the command again."
    elif card.control:
        then = "The contract is kept."
    else:
        then = f"The contract is kept. Next:\n{next_command(card.name)}"
    return f"{counts}; {seconds:.0f} s. {then}"


def next_command(name: str) -> str:
    """The run that puts the method into a table."""
    methods = ",".join(dict.fromkeys((name, "supervised")))
    return f"snakemake --cores 2 --config methods={methods} datasets=phantom_heart"


def as_json(card: MethodCard, outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """What the table says, as plain values."""
    return {
        "method": card.name,
        "file": card.path.as_posix(),
        "passed": not any(o.status is Status.FAILED for o in outcomes),
        "seconds": round(seconds, 1),
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }


def _alike(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """Outcomes by check and status; failures also by what was found."""
    groups: dict[tuple[str, ...], list[Outcome]] = {}
    order = list(dict.fromkeys(o.check for o in outcomes))
    for outcome in outcomes:
        failed = outcome.status is not Status.PASSED
        key = (outcome.check, outcome.status, outcome.detail if failed else "")
        groups.setdefault(key, []).append(outcome)
    rank = [Status.FAILED, Status.PASSED, Status.SKIPPED]
    return sorted(groups.values(), key=lambda g: (order.index(g[0].check), rank.index(g[0].status)))
