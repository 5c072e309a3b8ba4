"""The missing-modality matrix as a heat map: methods by modalities given, a panel per modality scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import shorten
from typing import TYPE_CHECKING

import pandas as pd

from parallax.errors import counted
from parallax.figures.curves import style_file
from parallax.figures.legend import WIDTH_IN
from parallax.score.stats.spread import LEAST_CASES
from parallax.tables.layout import Context, condition_label, in_order, label, most_cases
from parallax.tables.standing import ends_of
from parallax.tables.statistics_tables import contender_of
from parallax.tables.summary import Line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST = 34  # characters of a name
_MOST_ACROSS = 8  # sets of modalities side by side; panels with more of them stand one under another


def draw_given(given_lines: Sequence[Line], lines: Sequence[Line], context: Context) -> tuple[Figure, str]:
    """Dice by method and by the modalities that it was given, at the easiest condition; and the caption.

    Args:
        given_lines: those of one dataset, by modality and modalities given (`summarise_by_given`).
        lines: those of the dataset in the main tables, for the order and the condition.
        context: what tables say beyond the scores.
    """
    import matplotlib.style
    import seaborn
    from matplotlib.figure import Figure

    easiest = ends_of([line for line in lines if _has(line, given_lines)]).easiest
    ordered = [line for line in in_order(easiest, context) if line.method not in context.controls]
    own = [line for line in given_lines if _same_condition(line, easiest[0])]
    modalities = sorted({line.modality for line in own})
    cells = len({line.available for line in own})
    down = len(modalities) if cells * len(modalities) > _MOST_ACROSS else 1
    across = len(modalities) // down
    size = (min(2.6 + 1.05 * cells * across, WIDTH_IN), down * (1.1 + 0.24 * len(ordered)))
    with matplotlib.style.context(style_file()):
        figure = Figure(figsize=size)
        panels = figure.subplots(down, across, sharey=True, squeeze=False).flat
        for place, (panel, modality) in enumerate(zip(panels, modalities, strict=True)):
            matrix = _matrix([line for line in own if line.modality == modality], ordered, context)
            seaborn.heatmap(
                matrix, ax=panel, vmin=0, vmax=1, cmap="cividis", annot=True, fmt=".2f", linewidths=0.5,
                annot_kws={"fontsize": 7}, cbar_kws={"label": "Dice"},
                cbar=down > 1 or place == len(modalities) - 1,
            )  # fmt: skip
            panel.set_title(f"scored in {modality}", fontsize=9)
            panel.set_xlabel("modalities given at test")
            panel.set_ylabel("")
            for axis in ("x", "y"):
                panel.tick_params(
                    axis=axis, length=0, labelsize=7.5, rotation=90 * (axis == "x" and cells > _MOST_ACROSS)
                )
        figure.tight_layout(w_pad=0.8)
    return figure, _caption(own, easiest[0])


def _matrix(own: Sequence[Line], ordered: Sequence[Line], context: Context) -> pd.DataFrame:
    sets = sorted({line.available for line in own}, key=lambda name: (-name.count("+"), name))
    cells = {(contender_of(line), line.available): line.dice_mean for line in own}
    return pd.DataFrame(
        [[cells.get((contender_of(line), name), math.nan) for name in sets] for line in ordered],
        index=[shorten(label(line, context), _LONGEST, placeholder=" …") for line in ordered],
        columns=sets,
    )


def _caption(own: Sequence[Line], easiest: Line) -> str:
    cases = most_cases(own)
    spans = [line.dice_high - line.dice_low for line in own if math.isfinite(line.dice_low)]
    are = "is" if cases == 1 else "are"
    wide = (
        f" The 95 % intervals over cases are {min(spans):.2f} to {max(spans):.2f} wide."
        if spans
        else f" {counted(cases, 'test case')} {are} fewer than the {LEAST_CASES} that an interval takes."
    )
    return (
        f"Dice on {easiest.dataset.replace('_', ' ')} by the modalities given at test"
        f" ({condition_label(easiest)}), mean over {counted(cases, 'case')}. Empty: nothing is given there."
        f"{wide}"
    )


def _has(line: Line, given_lines: Sequence[Line]) -> bool:
    return any(_same_condition(line, given) for given in given_lines)


def _same_condition(one: Line, other: Line) -> bool:
    names = ("dataset", "misalignment", "label_fraction", "annotation")
    return all(getattr(one, name) == getattr(other, name) for name in names)
