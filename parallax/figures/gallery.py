"""All figures of a run by name."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from parallax.data.files import write_text
from parallax.errors import ConfigError, nearest
from parallax.figures.costs import draw_costs, has_costs
from parallax.figures.curves import BY_LABELS, BY_SHIFT, save_figure
from parallax.figures.differences import draw_differences
from parallax.figures.given import draw_given
from parallax.figures.multiples import draw_by, has_curve
from parallax.figures.panels import draw_case
from parallax.tables.comparisons import Comparisons, compare
from parallax.tables.layout import Context
from parallax.tables.per_condition import read_costs
from parallax.tables.summary import Line, summarise, summarise_by_given, with_all_modalities

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AXES = {axis.name: axis for axis in (BY_LABELS, BY_SHIFT)}
_DEFAULT = "paper"
_DIFFERENCES, _CASE, _GIVEN, _COSTS = "differences_", "case_", "given_", "costs"


@dataclass(frozen=True)
class Gallery:
    """The figures of a run; none is drawn before it is asked for.

    Attributes:
        run_dir: `results/<run>`, for the pictures of cases and costs.csv.
        table: its scores.
        context: what tables say beyond the scores.
    """

    run_dir: Path
    table: pd.DataFrame
    context: Context

    def only(self, methods: Collection[str], datasets: Collection[str]) -> Gallery:
        """The same with some methods (`NAME` or `NAME:PRESET`) and datasets; empty: all of them.

        `NAME` alone is the default preset, as in a configuration; where that was not run, whatever there is.

        Raises:
            ConfigError: a name is not in the scores.
        """
        pairs = self.table["method"] + ":" + self.table["preset"]
        _check(methods, {*self.table["method"], *pairs}, "methods")
        default = self.table.loc[self.table["preset"] == _DEFAULT, "method"].unique()
        named = {f"{name}:{_DEFAULT}" if name in default else name for name in methods}
        _check(datasets, set(self.table["dataset"]), "datasets")
        kept = self.table["method"].isin(named) | pairs.isin(named) | (not named)
        kept &= self.table["dataset"].isin(datasets) | (not datasets)
        return Gallery(self.run_dir, self.table[kept], self.context)

    @property
    def names(self) -> list[str]:
        """Names of the figures that the scores allow, in the order of the report."""
        compared = {one.condition[0] for one in self._compared if any(math.isfinite(r.low) for r in one.rows)}
        names = [name for name, axis in _AXES.items() if has_curve(self._lines, axis)]
        names += [_COSTS] if has_costs(self._lines, self._costs) else []
        for dataset, lines in self._by_dataset.items():
            names += [f"{_DIFFERENCES}{dataset}"] if dataset in compared else []
            names += [f"{_GIVEN}{dataset}"] if self._given(dataset) else []
            predicted = any(math.isfinite(line.dice_mean) for line in lines)  # if not, the tables say why
            pictured = predicted and (self.run_dir / "data" / dataset).is_dir()  # not so in a merged run
            names += [f"{_CASE}{dataset}"] if pictured else []
        return names

    def draw(self, name: str) -> tuple[Figure, str]:
        """A figure and its caption. Raises `ConfigError` where there is none of that name."""
        _check([name], set(self.names), "figure")
        if name in _AXES:
            return draw_by(self._lines, _AXES[name], self.context)
        if name == _COSTS:
            return draw_costs(self._lines, self._costs, self.context)
        if name.startswith(_GIVEN):
            dataset = name.removeprefix(_GIVEN)
            return draw_given(self._given(dataset), self._by_dataset[dataset], self.context)
        if name.startswith(_CASE):
            lines = self._by_dataset[name.removeprefix(_CASE)]
            return draw_case(self.run_dir, self._whole, lines, self.context)
        dataset = name.removeprefix(_DIFFERENCES)
        compared = [one for one in self._compared if one.condition[0] == dataset]
        drawn = draw_differences(compared, self._by_dataset[dataset], self.context)
        assert drawn is not None  # a name is given only to what has an interval
        return drawn

    def save(self, out: Path) -> None:
        """Write all figures into `out` as PNG and PDF, and `captions.json`."""
        captions = {}
        for name in self.names:
            figure, captions[name] = self.draw(name)
            save_figure(figure, out / name)
        write_text(json.dumps(captions, indent=1, ensure_ascii=False) + "\n", out / "captions.json")

    def _given(self, dataset: str) -> list[Line]:
        return [line for line in self._given_lines if line.dataset == dataset]

    @cached_property
    def _given_lines(self) -> list[Line]:
        controls = self.table["method"].isin(self.context.controls)
        return summarise_by_given(self.table[~controls])

    @cached_property
    def _costs(self) -> pd.DataFrame:
        return read_costs(self.run_dir / "costs.csv")

    @cached_property
    def _whole(self) -> pd.DataFrame:
        return with_all_modalities(self.table)

    @cached_property
    def _lines(self) -> list[Line]:
        return summarise(self._whole)

    @cached_property
    def _compared(self) -> list[Comparisons]:
        return compare(self._whole, self.context)

    @cached_property
    def _by_dataset(self) -> dict[str, list[Line]]:
        names = sorted({line.dataset for line in self._lines})
        return {name: [line for line in self._lines if line.dataset == name] for name in names}


def _check(wanted: Collection[str], known: Collection[str], where: str) -> None:
    for name in wanted:
        if name not in known:
            raise ConfigError(
                "The scores of this run have nothing of that name",
                where=where,
                expected=nearest(name, known),
                found=name,
                remedy="correct the name",
            )
