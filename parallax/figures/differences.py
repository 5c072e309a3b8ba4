"""What each method is worth against the reference: a panel per condition, in it an interval per method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from parallax.figures.curves import PALETTE, style_file
from parallax.figures.legend import WIDTH_IN
from parallax.tables.comparisons import Comparison, Comparisons
from parallax.tables.layout import Context, condition_label, in_order, label
from parallax.tables.statistics_tables import contender_of, title_of
from parallax.tables.summary import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 3  # panels side by side
_LONGEST = 30  # characters of a name in a line
_NAME_WIDTH = 0.065  # inches for a character of a name
_BETTER, _WORSE, _OPEN = PALETTE[1], PALETTE[2], "#8a8a8a"


def draw_differences(
    found: Sequence[Comparisons], lines: Sequence[Line], context: Context
) -> tuple[Figure, str] | None:
    """Differences in Dice points at all conditions of one dataset, and the caption; None if there are none.

    Args:
        found: the comparisons of one dataset.
        lines: its lines in the main tables, for names and order.
        context: what tables say beyond the scores.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    shown = [one for one in found if any(math.isfinite(row.low) for row in one.rows)]
    shown.sort(key=lambda one: (one.condition[2], one.condition[1] != "aligned", one.condition))
    if not shown:
        return None
    names = _names(shown, lines, context)
    across = min(len(shown), _ACROSS)
    down = math.ceil(len(shown) / across)
    with matplotlib.style.context(style_file()):
        beside = _NAME_WIDTH * max(len(line) for name in names.values() for line in name.split("\n"))
        size = (min(beside + 0.4 + 1.75 * across, WIDTH_IN), down * (1.05 + 0.2 * len(names)))
        figure = Figure(figsize=size)
        panels = figure.subplots(down, across, sharey=True, sharex=True, squeeze=False)
        for panel, one in zip(panels.flat, shown, strict=False):
            _draw_panel(panel, one, names, _title(one, lines))
        for panel in list(panels.flat)[len(shown) :]:
            panel.set_visible(False)
        for column in range(across):
            lowest = max(i for i in range(len(shown)) if i % across == column)
            panels.flat[lowest].xaxis.set_tick_params(labelbottom=True)
            panels.flat[lowest].set_xlabel("Dice points")
        figure.tight_layout(w_pad=0.8, h_pad=1.2)
    return figure, _caption(shown, context)


def _names(
    found: Sequence[Comparisons], lines: Sequence[Line], context: Context
) -> dict[tuple[str, ...], str]:
    """Every compared method with its name, from top to bottom."""
    compared = {contender_of(row) for one in found for row in one.rows}
    ordered = [line for line in in_order(lines, context) if contender_of(line) in compared]
    return {contender_of(line): fill(label(line, context), _LONGEST) for line in ordered}


def _title(one: Comparisons, lines: Sequence[Line]) -> str:
    keys = ("dataset", "misalignment", "label_fraction", "annotation")
    own = [line for line in lines if tuple(getattr(line, key) for key in keys) == one.condition]
    return condition_label(own[0]).replace(", ", "\n", 1)


def _draw_panel(panel: Axes, one: Comparisons, names: dict[tuple[str, ...], str], title: str) -> None:
    panel.set_title(title, fontsize=8)
    panel.axvline(0.0, color="#333333", linewidth=0.8, zorder=1)
    rows = {contender_of(row): row for row in one.rows}
    for place, key in enumerate(names):
        row = rows.get(key)
        if row is None or not math.isfinite(row.low):
            continue
        low, high = interval_of(row)
        colour = _BETTER if low > 0 else _WORSE if high < 0 else _OPEN
        panel.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=1.4, zorder=2)
        panel.plot(
            [100 * row.difference],
            [place],
            "o",
            color=colour,
            markersize=4,
            markeredgewidth=0.5,
            markeredgecolor="white",
            zorder=3,
        )
    panel.set_yticks(range(len(names)), list(names.values()))
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.grid(visible=True, axis="x")
    panel.grid(visible=False, axis="y")


def interval_of(row: Comparison) -> tuple[float, float]:
    """The interval over cases and trainings where there are several, else that over cases."""
    if math.isfinite(row.runs_low):
        return row.runs_low, row.runs_high
    return row.low, row.high


def _caption(found: Sequence[Comparisons], context: Context) -> str:
    references = sorted({title_of(one.reference, context) for one in found})
    cases = sorted({one.cases for one in found})
    trained = max((row.runs for one in found for row in one.rows), default=1)
    over = "cases and trainings" if trained > 1 else "cases (one training each)"
    count = str(cases[0]) if len(cases) == 1 else f"{cases[0]} to {cases[-1]}"
    return (
        f"Dice of each method minus that of {' or '.join(references)}, in Dice points (0.01 Dice), on the"
        f" same {count} test cases. Bars: 95 % interval over {over}. Blue: the whole interval lies above"
        " zero; orange: below; grey: zero is inside. Not corrected for the number of methods: the statistics"
        " tables are."
    )
