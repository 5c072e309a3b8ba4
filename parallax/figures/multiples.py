"""Curves of many methods: a small panel for each, with the curve of the reference behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from parallax.errors import counted
from parallax.figures.curves import PALETTE, Axis, bar_of, draw_curves, series_of, style_file
from parallax.figures.legend import WIDTH_IN
from parallax.score.stats.spread import LEAST_CASES
from parallax.tables.layout import Context, contender, in_order, label, most_cases
from parallax.tables.summary import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_IN_ONE_PANEL = 9  # as many as there are colours
_ACROSS = 4
_OWN, _BEHIND = PALETTE[1], "#8a8a8a"
_LONGEST = 22  # characters of a name in a line


def draw_by(lines: Sequence[Line], axis: Axis, context: Context) -> tuple[Figure, str]:
    """Dice along an axis, with its caption: one panel per dataset, or one per method where these are many."""
    groups = [(dataset, fixed, _moving(own, context)) for dataset, fixed, own in _curves(lines, axis)]
    if all(len({contender(line) for line in own}) <= _MOST_IN_ONE_PANEL for _, _, own in groups):
        return draw_curves(lines, axis, context)
    return _multiples(groups, axis, context)


def has_curve(lines: Sequence[Line], axis: Axis) -> bool:
    """Whether any dataset was run at two places of an axis: a curve of one point says nothing."""
    return bool(_curves(lines, axis))


def _curves(lines: Sequence[Line], axis: Axis) -> list[tuple[str, str, list[Line]]]:
    return [
        (dataset, fixed, own)
        for dataset in sorted({line.dataset for line in lines})
        for own, fixed in [series_of(lines, dataset, axis)]
        if len({axis.value(line) for line in own}) > 1
    ]


def _moving(lines: Sequence[Line], context: Context) -> list[Line]:
    return [line for line in lines if line.method not in context.controls]


def _multiples(
    groups: Sequence[tuple[str, str, list[Line]]], axis: Axis, context: Context
) -> tuple[Figure, str]:
    import matplotlib.style
    from matplotlib.figure import Figure

    panels = [(dataset, fixed, own, key) for dataset, fixed, own in groups for key in _methods(own, context)]
    down = math.ceil(len(panels) / _ACROSS)
    every = [line for _, _, own in groups for line in own]
    with matplotlib.style.context(style_file()):
        figure = Figure(figsize=(WIDTH_IN, 1.45 * down + 0.5))
        axes = figure.subplots(down, _ACROSS, sharey=True, squeeze=False)
        for place, panel in enumerate(axes.flat):
            if place >= len(panels):
                panel.set_visible(False)
                continue
            dataset, _, own, key = panels[place]
            _draw_panel(panel, own, key, axis, context, dataset if len(groups) > 1 else "")
            if place + _ACROSS >= len(panels):
                panel.set_xlabel(axis.label.replace("Labelled training cases", "Labels"))
        for row in axes:
            row[0].set_ylabel("Dice")
        low = min(bar_of(line)[0] for line in every)
        axes.flat[0].set_ylim(max(math.floor(20 * low - 0.2) / 20, 0.0), 1.0)
        figure.tight_layout(w_pad=0.6, h_pad=0.8)
    return figure, _caption(groups, axis, context)


def _methods(lines: Sequence[Line], context: Context) -> list[tuple[str, ...]]:
    """Every method but the reference that has a curve and not just a point, the best first."""
    keys = [contender(line) for line in in_order(lines, context)]
    behind = _reference(lines, context)
    return [key for key in dict.fromkeys(keys) if key != behind and keys.count(key) > 1]


def _reference(lines: Sequence[Line], context: Context) -> tuple[str, ...] | None:
    """The method that stands behind all others; None where it has no value here."""
    found = {contender(line) for line in lines}
    for name in (context.reference, "supervised"):
        method, _, preset = name.partition(":")
        for key in sorted(found):
            if key[:2] == (method, preset or "paper"):
                return key
    return None


def _draw_panel(
    panel: Axes, lines: list[Line], key: tuple[str, ...], axis: Axis, context: Context, dataset: str
) -> None:
    values = sorted({(axis.value(line), axis.tick(line)) for line in lines})
    spots = {value: place for place, (value, _) in enumerate(values)}
    for wanted, colour in ((_reference(lines, context), _BEHIND), (key, _OWN)):
        own = sorted((line for line in lines if contender(line) == wanted), key=axis.value)
        if not own:
            continue
        x, y = [spots[axis.value(line)] for line in own], [line.dice_mean for line in own]
        low, high = zip(*(bar_of(line) for line in own), strict=True)
        if wanted == key:
            panel.vlines(x, low, high, colors=colour, linewidth=1.0, zorder=3)
            panel.plot(x, y, "o-", color=colour, markersize=3.5, markeredgewidth=0.5, zorder=4)
            title = fill(label(own[0], context), _LONGEST)
        else:
            panel.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0, zorder=1)
            panel.plot(x, y, "-", color=colour, linewidth=1.1, zorder=2)
    panel.set_title(f"{title}\n{dataset.replace('_', ' ')}".strip(), fontsize=8)
    panel.set_xticks(range(len(values)), [text.replace(" %", "") for _, text in values], fontsize=7)
    panel.set_xlim(-0.4, len(values) - 0.6)


def _caption(groups: Sequence[tuple[str, str, list[Line]]], axis: Axis, context: Context) -> str:
    behind = {
        label(line, context)
        for _, _, own in groups
        for line in own
        if contender(line) == _reference(own, context)
    }
    cases = most_cases([line for _, _, own in groups for line in own])
    bars = (
        f"range of single cases ({counted(cases, 'test case')}: too few for an interval)"
        if cases < LEAST_CASES
        else f"95 % bootstrap interval of the mean over {cases} test cases"
    )
    where = "; ".join(f"{dataset.replace('_', ' ')}, {fixed}" for dataset, fixed, _ in groups)
    return (
        f"Dice against {axis.label.lower()}, {where}. A panel for each method (blue), in each of them"
        f" {' or '.join(sorted(behind)) or 'nothing else'} (grey). Bars and bands: {bars}."
    )
