"""What Snakemake prints during a run: which rule failed and why, and nothing of its scheduling."""

from __future__ import annotations

import logging
import sys
from collections import deque
from pathlib import Path

_LAST_LINES = 20


class CalmTerminal(logging.Filter):
    """Drops "Select jobs" and "Execute jobs", and prints the end of a failed job's log.

    Snakemake itself says nothing of a failed job where it is quiet about rules.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether Snakemake prints this record itself."""
        event = str(getattr(record, "event", None))
        if event == "job_error":
            print(error_text(record), file=sys.stderr, flush=True)
        return event != "job_started" and not record.getMessage().startswith("Select jobs to execute")


def calm() -> None:
    """Install the filter on the logger of the Snakemake process that this is called in."""
    logging.getLogger("snakemake.logging").addFilter(CalmTerminal())


def error_text(record: logging.LogRecord) -> str:
    """Rule, outputs and last lines of the logs of a job that failed."""
    lines = [f"\nRule {getattr(record, 'rule_name', '?')} failed: {', '.join(getattr(record, 'output', ()))}"]
    for name in getattr(record, "log", None) or ():
        path = Path(str(name).split(" (")[0])  # Snakemake may add a remark in brackets
        lines.append(f"  {path.as_posix()}:")
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as text:
                lines += [f"    {line.rstrip()}" for line in deque(text, _LAST_LINES)]
    return "\n".join(lines)
