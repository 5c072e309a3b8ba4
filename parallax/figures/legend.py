"""How wide figures are, and the one legend that stands below the panels of a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Widest figure, in inches (178 mm): the text of a journal page, margins of the file included.
WIDTH_IN = 6.85
_LEGEND_KEY_IN, _LETTER_IN = 0.55, 0.072  # a line of a legend: its key, and each letter of its name


def legend_below(figure: Figure, panels: Sequence[Axes], order: Sequence[str]) -> None:
    """One legend for all panels, under them: beside them it would take a third of the width."""
    handles: dict[str, Any] = {}
    for panel in panels:
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    names = [name for name in order if name in handles]
    if not names:
        return
    figure.legend(
        [handles[name] for name in names], names, loc="upper center", bbox_to_anchor=(0.5, 0.0),
        ncols=legend_columns(figure, names), handlelength=2.2,
        columnspacing=1.2, labelspacing=0.4,
    )  # fmt: skip


def legend_columns(figure: Figure, names: Sequence[str]) -> int:
    """How many entries with these names stand side by side in the width of a figure."""
    width_in = _LEGEND_KEY_IN + _LETTER_IN * max(map(len, names))
    return max(1, min(len(names), int(figure.get_figwidth() / width_in)))
