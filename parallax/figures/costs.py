"""What a method costs against what it reaches: a point per method, a panel per dataset."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from parallax.figures.curves import bar_of, line_styles, style_file
from parallax.figures.legend import WIDTH_IN, legend_below
from parallax.score.stats.spread import LEAST_CASES
from parallax.tables.layout import Context, condition_label, contender, most_cases
from parallax.tables.per_condition import cost_of, mean_costs
from parallax.tables.standing import ends_of
from parallax.tables.summary import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 3  # panels side by side


def draw_costs(lines: Sequence[Line], costs: pd.DataFrame, context: Context) -> tuple[Figure, str]:
    """Dice at the hardest condition of each dataset against seconds of training, and the caption.

    The first preset of every method; controls are not trained and have no place here.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    spent = _seconds(lines, costs)
    shown = [x for x in lines if x.method not in context.controls and x.preset == "paper" and spent[x] > 0]
    hardest = [
        ends_of([x for x in shown if x.dataset == name]).hardest
        for name in sorted({x.dataset for x in shown})
    ]
    styles = line_styles(shown, context)
    down = math.ceil(len(hardest) / _ACROSS)
    across = min(len(hardest), _ACROSS)
    with matplotlib.style.context(style_file()):
        figure = Figure(figsize=(min(3.1 * across, WIDTH_IN), 2.8 * down))
        panels = list(figure.subplots(down, across, squeeze=False).flat)
        for panel, own in zip(panels, hardest, strict=False):
            _draw_panel(panel, own, spent, styles)
        for panel in panels[len(hardest) :]:
            panel.set_visible(False)
        for panel in panels[::across]:
            panel.set_ylabel("Dice")
        figure.tight_layout(w_pad=1.2, h_pad=1.2)
        legend_below(figure, panels, [style["label"] for style in styles.values()])
    return figure, _caption(hardest)


def _draw_panel(
    panel: Axes,
    own: Sequence[Line],
    spent: Mapping[Line, float],
    styles: Mapping[tuple[str, ...], dict[str, Any]],
) -> None:
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    for line in own:
        if not math.isfinite(line.dice_mean):
            continue
        low, high = bar_of(line)
        bar = [[max(line.dice_mean - low, 0.0)], [max(high - line.dice_mean, 0.0)]]
        style = styles[contender(line)]
        panel.errorbar(
            [spent[line]], [line.dice_mean], yerr=bar, **style, linestyle="none", elinewidth=0.8,
            ecolor=style["color"], markersize=5, markeredgecolor="white", markeredgewidth=0.5,
        )  # fmt: skip
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("Training (s)")
    panel.set_title(
        f"{own[0].dataset.replace('_', ' ')}\n{condition_label(own[0]).replace(', ', chr(10), 1)}", fontsize=8
    )


def has_costs(lines: Sequence[Line], costs: pd.DataFrame) -> bool:
    """Whether any method of these lines was trained and timed."""
    return any(second > 0 for second in _seconds(lines, costs).values())


def _seconds(lines: Sequence[Line], costs: pd.DataFrame) -> dict[Line, float]:
    known = mean_costs(costs)
    return {line: cost_of(line, known).get("train_s", 0.0) for line in lines}


def _caption(hardest: Sequence[Sequence[Line]]) -> str:
    cases = most_cases([line for own in hardest for line in own])
    bars = (
        "95 % bootstrap interval of the mean over cases"
        if cases >= LEAST_CASES
        else f"range of single cases ({cases} test cases: too few for an interval)"
    )
    return (
        "Dice at the hardest condition of each dataset against the seconds of training on the machine of this"
        f" run (logarithmic), mean over seeds and label draws. Bars: {bars}."
    )
