"""What Snakemake's scheduler does while jobs run: nothing."""

from __future__ import annotations

from typing import Any


def let_rest(workflow: Any) -> None:
    """Let the scheduler of this invocation look for jobs when one has ended, and at no other time.

    By default Snakemake (9.27) starts no more than 100 jobs a second. For that it sets a timer each time it
    has looked for jobs; the timer makes it look again a second later, which sets the next one. Every job that
    ends starts one more such chain, and none of them ends before the run: after 120 of 250 trainings that
    took three quarters of a core. A run never has so many jobs to start at once that it needs the limit
    (`jobs` bounds what is sent to a cluster), so it goes. To be called when the run starts.
    """
    scheduler = getattr(workflow, "scheduler", None)
    if scheduler is not None and hasattr(scheduler, "job_rate_limiter"):
        scheduler.job_rate_limiter = None
