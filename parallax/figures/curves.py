"""Curves of Dice against the share of labels and against the shift between modalities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parallax.case import Pairing
from parallax.data.files import replacing
from parallax.errors import counted
from parallax.figures.legend import WIDTH_IN, legend_below
from parallax.score.stats.spread import LEAST_CASES
from parallax.tables.layout import (
    Context,
    contender,
    in_order,
    label,
    most_cases,
    number,
    percent,
    with_annotation,
)
from parallax.tables.summary import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that stay apart for colour-blind readers (Okabe and Ito 2008; the yellow darkened for white paper).
PALETTE = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#7A4FBF")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "*")
#: Controls whose Dice is 1 or 0 by construction: a line at the edge of the panel would say nothing.
_TRIVIAL = ("oracle", "empty")
_ACROSS = 3  # panels side by side
_CONTROL = "#9a9a9a"
_CONTROL_STYLES = ("--", ":", "-.")


@dataclass(frozen=True)
class Axis:
    """What the horizontal axis shows: value and tick text of a line, and its label with unit."""

    name: str
    label: str
    value: Callable[[Line], float]
    tick: Callable[[Line], str]


BY_LABELS = Axis(
    "dice_by_labels",
    "Labelled training cases (%)",
    lambda line: 100 * line.label_fraction,
    lambda line: percent(line.label_fraction),
)
BY_SHIFT = Axis(
    "dice_by_shift",
    "Shift between modalities, RMS (mm)",
    lambda line: line.shift_mm,
    lambda line: number(line.shift_mm, 1),
)


def draw_curves(lines: Sequence[Line], axis: Axis, context: Context) -> tuple[Figure, str]:
    """One panel per dataset, one curve per method; also the caption that says what the bars are."""
    import matplotlib.style
    from matplotlib.figure import Figure

    trivial = sorted({line.method for line in lines if line.method in _TRIVIAL})
    drawn = [line for line in lines if line.method not in _TRIVIAL]
    lines, trivial = (drawn, trivial) if drawn else (list(lines), [])
    datasets = sorted({line.dataset for line in lines})
    styles, floor = line_styles(lines, context), _floor(lines, context)
    with matplotlib.style.context(style_file()):
        if not datasets:
            return _nothing(), "Nothing to draw: no method ran. The tables say why."
        across = min(len(datasets), _ACROSS)
        down = math.ceil(len(datasets) / across)
        figure = Figure(figsize=(min(3.4 * across, WIDTH_IN), 2.8 * down))
        grid = figure.subplots(down, across, sharey=True, squeeze=False)
        panels = list(grid.flat)[: len(datasets)]
        for panel in list(grid.flat)[len(datasets) :]:
            panel.set_visible(False)
        for panel, dataset in zip(panels, datasets, strict=True):
            chosen, fixed = series_of(lines, dataset, axis)
            panel.set_title(dataset.replace("_", " "), pad=16)
            panel.text(0, 1.02, fixed, transform=panel.transAxes, fontsize=7.5, color="#666666")
            low = _reaching_below(chosen, floor, context)
            _draw_panel(panel, [line for line in chosen if line not in low], axis, styles, context)
            _name_what_lies_below(panel, low, context)
        for panel in panels[::across]:
            panel.set_ylabel("Dice")
        panels[0].set_ylim(floor, 1.01)
        figure.tight_layout(w_pad=1.0, h_pad=1.2)
        legend_below(figure, panels, [style["label"] for style in styles.values()])
    below = any(line.method in context.controls and line.dice_mean < floor for line in lines)
    return figure, _caption(lines, axis, floor, trivial, below=below)


def _nothing() -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 1.0))
    figure.text(0.5, 0.5, "no method ran", ha="center", va="center", color="#666666")
    return figure


def save_figure(figure: Figure, stem: Path) -> None:
    """Write PNG and PDF without time or version in them, so that equal figures are equal files."""
    import matplotlib.style

    stamps: dict[str, dict[str, None]] = {
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    }
    for kind, metadata in stamps.items():
        with (
            matplotlib.style.context(style_file()),
            replacing(stem.with_name(f"{stem.name}.{kind}")) as temporary,
        ):
            figure.savefig(temporary, format=kind, bbox_inches="tight", pad_inches=0.08, metadata=metadata)


def style_file() -> Path:
    """The style sheet of all figures."""
    return Path(__file__).with_name("style.mplstyle")


def line_styles(lines: Iterable[Line], context: Context) -> dict[tuple[str, ...], dict[str, Any]]:
    """Colour, marker and label of each method, the same in every figure of a run."""
    unique = {contender(line): line for line in lines}
    ordered = sorted(in_order(unique.values(), context), key=lambda line: line.method in context.controls)
    methods = sorted(
        (line for line in ordered if line.method not in context.controls),
        key=lambda line: (line.method != "nnunet", label(line, context).lower()),
    )
    controls = [line for line in ordered if line.method in context.controls]
    styles: dict[tuple[str, ...], dict[str, Any]] = {}
    for i, line in enumerate(methods):
        look = {"color": PALETTE[i % len(PALETTE)], "marker": MARKERS[i % len(MARKERS)]}
        styles[contender(line)] = {**look, "label": label(line, context)}
    for i, line in enumerate(controls):
        look = {"color": _CONTROL, "linestyle": _CONTROL_STYLES[i % len(_CONTROL_STYLES)]}
        styles[contender(line)] = {**look, "label": f"{label(line, context)} (control)", "linewidth": 1.1}
    return styles


def _held(line: Line, axis: Axis) -> str:
    """The other variable, which a panel holds fixed."""
    held = line.misalignment if axis.name == BY_LABELS.name else f"{percent(line.label_fraction)} labels"
    return with_annotation(held, line.annotation)


def _most_points(lines: Sequence[Line], axis: Axis) -> str:
    """The value to hold fixed: the one with most points, then the easier one."""
    points: dict[str, set[tuple[str, float]]] = {}
    easier: dict[str, float] = {}
    for line in lines:
        held = _held(line, axis)
        points.setdefault(held, set()).add((line.dataset, axis.value(line)))
        ease = line.shift_mm if axis.name == BY_LABELS.name else -line.label_fraction
        easier[held] = min(ease, easier.get(held, math.inf))
    return min(points, key=lambda held: (-len(points[held]), easier[held], held), default="")


def series_of(lines: Sequence[Line], dataset: str, axis: Axis) -> tuple[list[Line], str]:
    """Lines of a panel and what it holds fixed: the same in all panels wherever a dataset has it."""
    drawn = [line for line in lines if math.isfinite(line.dice_mean) and _has_place(line, axis)]
    own = [line for line in drawn if line.dataset == dataset]
    common = _most_points(drawn, axis)
    held = common if any(_held(line, axis) == common for line in own) else _most_points(own, axis)
    text = held or "no values"
    if own and axis.name == BY_SHIFT.name and own[0].pairing == Pairing.UNPAIRED:
        text += "; unpaired: no shift is defined"
    return [line for line in own if _held(line, axis) == held], text


def _has_place(line: Line, axis: Axis) -> bool:
    # another grid or another partner displaces nothing that could be told in mm
    return axis.name != BY_SHIFT.name or line.shift_mm > 0 or line.misalignment == "aligned"


def _draw_panel(
    panel: Axes,
    lines: Sequence[Line],
    axis: Axis,
    styles: dict[tuple[str, ...], dict[str, Any]],
    context: Context,
) -> None:
    ticks = sorted({(axis.value(line), axis.tick(line)) for line in lines})
    # Equal steps: the steps from 2 to 10 to 100 % of the labels matter alike.
    place = {value: float(i) for i, (value, _) in enumerate(ticks)} if axis.name == BY_LABELS.name else {}
    spots = [place.get(value, value) for value, _ in ticks]
    margin = 0.12 * (max(spots) - min(spots)) or 0.5 if spots else 0.5
    methods = [key for key in styles if any(contender(line) == key for line in lines)]
    moving = [key for key in methods if key[0] not in context.controls]
    for key in methods:
        own = sorted((line for line in lines if contender(line) == key), key=axis.value)
        x = [place.get(axis.value(line), axis.value(line)) for line in own]
        if key[0] in context.controls:
            _draw_control(panel, own, x, styles[key], spots, margin)
        else:
            # Side by side instead of on top of each other: the bars stay readable.
            step = margin * min(0.16, 1.6 / len(moving))
            offset = (moving.index(key) - (len(moving) - 1) / 2) * step
            _draw_method(panel, own, [v + offset for v in x], styles[key])
    panel.set_xticks(spots, [text for _, text in ticks])
    panel.set_xlabel(axis.label)
    if spots:
        panel.set_xlim(min(spots) - margin, max(spots) + margin)


def _draw_method(panel: Axes, lines: Sequence[Line], x: Sequence[float], style: dict[str, Any]) -> None:
    y = [line.dice_mean for line in lines]
    ends = [bar_of(line) for line in lines]
    below = [max(mean - low, 0.0) for mean, (low, _) in zip(y, ends, strict=True)]
    above = [max(high - mean, 0.0) for mean, (_, high) in zip(y, ends, strict=True)]
    panel.errorbar(
        x, y, yerr=[below, above], **style, elinewidth=1.0, capsize=0, markeredgecolor="white",
        markeredgewidth=0.7, ecolor=style["color"], zorder=3,
    )  # fmt: skip


def _draw_control(
    panel: Axes,
    lines: Sequence[Line],
    x: Sequence[float],
    style: dict[str, Any],
    spots: Sequence[float],
    margin: float,
) -> None:
    """Controls run through the whole width of the panel, beneath the methods."""
    y = [line.dice_mean for line in lines]
    wide = [min(spots) - margin, *x, max(spots) + margin]
    panel.plot(wide, [y[0], *y, y[-1]], **style, zorder=1)


def _reaching_below(lines: Sequence[Line], floor: float, context: Context) -> list[Line]:
    """All lines of the controls that fall below the axis somewhere: the points left draw another curve."""
    low = {contender(line) for line in lines if line.method in context.controls and line.dice_mean < floor}
    return [line for line in lines if contender(line) in low]


def _name_what_lies_below(panel: Axes, controls: Sequence[Line], context: Context) -> None:
    """Controls far below the methods would squeeze all curves into a band: their Dice is written instead."""
    values: dict[str, list[float]] = {}
    for line in controls:
        values.setdefault(label(line, context), []).append(line.dice_mean)
    text = "\n".join(f"\u2193 {name} {_span(dice)}" for name, dice in sorted(values.items()))
    behind = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}  # a line may run there
    panel.text(
        0.02, 0.02, text, transform=panel.transAxes, fontsize=7.5, color="#666666", va="bottom", bbox=behind
    )


def _span(values: Sequence[float]) -> str:
    ends = [number(min(values), 2), number(max(values), 2)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def bar_of(line: Line) -> tuple[float, float]:
    """Interval of the mean; with too few cases for one, the range of the cases."""
    if math.isfinite(line.dice_low):
        return line.dice_low, line.dice_high
    return line.dice_least, line.dice_most


def _floor(lines: Sequence[Line], context: Context) -> float:
    """Lower end of the Dice axis: the tenth below all methods, 0 where there are only controls."""
    drawn = [line for line in lines if math.isfinite(line.dice_mean) and line.method not in context.controls]
    return max(math.floor(10 * min(bar_of(line)[0] for line in drawn) - 0.2) / 10, 0.0) if drawn else 0.0


def _caption(lines: Sequence[Line], axis: Axis, floor: float, trivial: Sequence[str], *, below: bool) -> str:
    cases = most_cases(lines)
    what = "share of labelled training cases" if axis.name == BY_LABELS.name else "shift between modalities"
    bars = (
        f"range of single cases ({counted(cases, 'test case')}: too few for an interval)"
        if cases < LEAST_CASES
        else f"95 % bootstrap interval of the mean over {cases} test cases"
    )
    written = "; controls below it are written out" if below else ""
    start = f" The Dice axis starts at {floor:g}{written}." if floor else ""
    left = " and ".join(f"{name} ({1 if name == 'oracle' else 0})" for name in reversed(trivial))
    several = len(trivial) > 1
    out = f" The control{'s' * several} {left} {'are' if several else 'is'} left out." if left else ""
    return f"Dice against {what}. Points: mean over cases, drawn side by side; bars: {bars}.{start}{out}"
