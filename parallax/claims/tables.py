"""The verdicts as a table: one row per claim, its least favourable interval on each dataset."""

from __future__ import annotations

import math
from collections.abc import Sequence

from parallax.claims.trials import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED, Part
from parallax.claims.verdicts import LEAST_SEEDS, Verdict
from parallax.tables.layout import DASH, Context, Table
from parallax.tables.statistics_tables import signed, title_of

NAME = "claims"

_NOTES = (
    "A verdict is about this run: its datasets, budgets and re-implementations. Differences are in Dice"
    " points, in the direction of the claim; of several, the least favourable of a dataset. Brackets: 95"
    " % interval over cases and trainings; with one seed over cases alone.",
    "Supported: on every dataset the interval leaves room for nothing else. Contradicted: on one it"
    " shows the opposite (p after Holm at most 0.05), and no dataset supports the claim. Undecided:"
    f" anything else, fewer than six cases, or fewer than {LEAST_SEEDS} seeds: one seed says nothing"
    " about whether a difference belongs to the method or to that training.",
    "claims.csv has every comparison with its dataset, claims_evidence.csv every value behind it.",
)


def claims_table(verdicts: Sequence[Verdict], context: Context) -> Table:
    """Claim, verdict, differences, why, and the source; single values are in the CSV files."""
    return Table(
        NAME,
        "Do the claims hold?",
        ("Claim", "Verdict", "Difference (points)", "Why, and what would decide it", "Source"),
        tuple(
            (
                f"{number}. {verdict.claim.sentence}",
                _verdict(verdict),
                _differences(verdict, context),
                _why(verdict),
                verdict.claim.source,
            )
            for number, verdict in enumerate(verdicts, 1)
        ),
        (*_NOTES, *_own_notes(verdicts)),
        text=True,
    )


def _verdict(verdict: Verdict) -> str:
    """Such as `supported at 10 cases and 3 seeds`; the least numbers of any part."""
    if not verdict.tested:
        return UNTESTED
    cases, seeds = (min(getattr(part, name) for part in verdict.tested) for name in ("cases", "seeds"))
    leans = {part.leans for part in verdict.tested}
    sure = verdict.verdict == UNDECIDED and leans in ({SUPPORTED}, {CONTRADICTED})
    lean = f" (leans to {leans.pop()})" if sure else ""
    return f"{verdict.verdict}{lean} at {_count(cases, 'case')} and {_count(seeds, 'seed')}"


def _why(verdict: Verdict) -> str:
    needs = f". Needs {verdict.more}" if verdict.more else ""
    return f"{verdict.reason}{needs}" or DASH


def _differences(verdict: Verdict, context: Context) -> str:
    datasets = dict.fromkeys(part.dataset for part in verdict.tested)
    several = len(verdict.claim.reference) > 1
    worst = [_least(verdict, name) for name in datasets]
    return "; ".join(_difference(part, context, several) for part in worst) or DASH


def _least(verdict: Verdict, dataset: str) -> Part:
    own = [part for part in verdict.tested if part.dataset == dataset]
    if verdict.claim.kind == "equivalence":
        return max(own, key=lambda part: abs(part.difference))
    return min(own, key=lambda part: part.low if math.isfinite(part.low) else part.difference)


def _difference(part: Part, context: Context, several: bool) -> str:
    against = f"against {title_of(part.reference, context)}" if several else ""
    where = " ".join(filter(None, (part.dataset, part.modality, against)))
    ends = [signed(100 * value, 1) for value in (part.difference, part.low, part.high)]
    return f"{where} {ends[0]}" + (f" ({ends[1]} to {ends[2]})" if math.isfinite(part.low) else "")


def _own_notes(verdicts: Sequence[Verdict]) -> list[str]:
    told = [(number, one) for number, one in enumerate(verdicts, 1) if one.claim.note and one.tested]
    return [f"Claim {number}: {one.claim.note}" for number, one in told]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
