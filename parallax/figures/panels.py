"""Pictures of one test case: image, truth and the predictions of the headline methods on one slice."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from parallax.case import Pairing, Task
from parallax.figures.curves import style_file
from parallax.figures.legend import WIDTH_IN, legend_columns
from parallax.figures.slices import Slice, foreground_height_mm, read_slice
from parallax.tables.layout import FIRST, Context, condition_label, in_order, label
from parallax.tables.summary import CONDITION, Line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours of structures; apart for colour-blind readers and visible on grey.
STRUCTURE_COLOURS = (
    "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2", "#B8B8FF",
    "#A6761D", "#66FF99", "#FF6F91", "#7A4FBF", "#C0C0C0", "#00CED1", "#FFB6A3",
)  # fmt: skip

#: The method that the project was built to examine.
PROPOSED = "cmc"
_LONGEST = 14  # characters of a name in a line, over the narrowest picture


@dataclass(frozen=True)
class PanelRow:
    """What one row shows; a prediction that is absent is None."""

    image: Slice
    truth: Slice
    predictions: tuple[Slice | None, ...]


def draw_case(
    run_dir: Path, table: pd.DataFrame, lines: Sequence[Line], context: Context
) -> tuple[Figure, str]:
    """Rows are modalities, columns image, truth and predictions; `lines` are those of one dataset.

    The condition is the hardest one that was run (largest shift, then fewest labels), the case the one
    whose Dice, averaged over the methods shown, is the median. Raises `DataError` where a volume is absent.
    """
    import matplotlib.style
    from matplotlib.figure import Figure

    shown = headline(lines, context)
    data = run_dir / "data" / shown[0].dataset / shown[0].misalignment / "test"
    task = Task.from_json(json.loads((data / "dataset.json").read_text(encoding="utf-8"))["task"])
    cases = median_cases(table, shown, task)
    rows = [_read_row(run_dir, shown, case, modality, cases) for modality, case in cases.items()]
    side = min(1.75, WIDTH_IN / (2 + len(shown)))
    heights = [side * row.image.height_to_width for row in rows]
    with matplotlib.style.context(style_file()):
        figure = Figure(figsize=(side * (2 + len(shown)), sum(heights) + 0.25 * len(rows) + 0.3))
        axes = figure.subplots(len(rows), 2 + len(shown), squeeze=False, height_ratios=heights)
        for axis_row, row, modality in zip(axes, rows, cases, strict=True):
            _draw_row(axis_row, task, modality, row)
            _write_dice(axis_row[2:], table, shown, cases[modality], modality)
        names = ["image", "truth", *(_wrap(label(line, context)) for line in shown)]
        for axis, name in zip(axes[0], names, strict=True):
            axis.set_title(name, fontsize=8, fontweight="bold", loc="center", pad=4)
        _legend(figure, task)
    return figure, _caption(shown[0], cases)


def headline(lines: Sequence[Line], context: Context) -> list[Line]:
    """Methods worth a picture at the hardest condition: nnU-Net, the proposed one, and two of the others.

    The two are the first and the last in the order of the tables: where the order is by Dice, the best
    and the worst of the rest.
    """
    done = [line for line in lines if math.isfinite(line.dice_mean) and line.method not in context.controls]
    done = done or [line for line in lines if math.isfinite(line.dice_mean)]
    hardest = max(done, key=lambda line: (line.shift_mm, -line.label_fraction))
    here = in_order([line for line in done if _key(line) == _key(hardest)], context)
    always = [line for line in here if line.method in (FIRST, PROPOSED) and line.preset == "paper"]
    rest = [line for line in here if line.method not in (FIRST, PROPOSED)]
    return [line for line in here if line in (*always, *rest[:1], *rest[-1:])] or here[:1]


def median_cases(table: pd.DataFrame, shown: Sequence[Line], task: Task) -> dict[str, str]:
    """For each modality the case to show: one for all, or one each where modalities are unpaired."""
    rows = _rows_of(table, shown[0])
    rows = rows[(rows["metric"] == "dice") & rows["method"].isin([line.method for line in shown])]
    present = [name for name in task.modality_names if name in set(rows["modality"])]
    if task.pairing == Pairing.UNPAIRED:
        return {name: _median_case(rows[rows["modality"] == name]) for name in present}
    width = rows.groupby("case")["modality"].nunique()
    case = _median_case(rows[rows["case"].isin(width[width == width.max()].index)])
    own = set(rows.loc[rows["case"] == case, "modality"])
    return {name: case for name in present if name in own}


def _median_case(rows: pd.DataFrame) -> str:
    means = rows.groupby("case")["value"].mean().dropna().sort_values(kind="stable")
    return str(means.index[(len(means) - 1) // 2])


def _key(line: Line) -> tuple[Any, ...]:
    return tuple(getattr(line, name) for name in CONDITION)


def _rows_of(table: pd.DataFrame, line: Line) -> pd.DataFrame:
    for name in CONDITION:
        table = table[table[name] == getattr(line, name)]
    return table


def _read_row(
    run_dir: Path,
    shown: Sequence[Line],
    case: str,
    modality: str,
    cases: Mapping[str, str],
) -> PanelRow:
    data = run_dir / "data" / shown[0].dataset / shown[0].misalignment / "test"
    # Modalities of one patient are cut at one height, so that a shift between them shows.
    reference = next(name for name in cases if cases[name] == case)
    height_mm = foreground_height_mm(data / "labels" / f"{case}__{reference}.nii.gz")
    return PanelRow(
        read_slice(data / "images" / f"{case}__{modality}.nii.gz", height_mm),
        read_slice(data / "labels" / f"{case}__{modality}.nii.gz", height_mm),
        tuple(_prediction(run_dir, line, case, modality, height_mm) for line in shown),
    )


def _prediction(run_dir: Path, line: Line, case: str, modality: str, height_mm: float) -> Slice | None:
    """The prediction of the first run of a method that has one for this case."""
    folder = run_dir / "runs" / line.dataset / line.misalignment
    pattern = f"*/{line.method}/{line.preset}-s*/predictions/{case}__{modality}.nii.gz"
    for path in sorted(folder.glob(pattern)):
        if _labels(path.parents[3].name) == (round(line.label_fraction, 6), line.annotation):
            return read_slice(path, height_mm)
    return None


def _labels(name: str) -> tuple[float, str]:
    """Label fraction and annotation of a folder such as `f010-d0`, `f002p5-d0` or `f010-d0-ct_only`."""
    fraction, _, annotation = (*name.split("-", 2), "full")[:3]
    return round(float(fraction[1:].replace("p", ".")) / 100, 6), annotation


def _draw_row(axes: Sequence[Axes], task: Task, modality: str, row: PanelRow) -> None:
    axes[0].set_ylabel(modality, fontsize=10, fontweight="bold")
    for axis, labels in zip(axes, [None, row.truth, *row.predictions], strict=True):
        _draw_image(axis, row.image)
        if labels is not None:
            _draw_labels(axis, labels, task)
    for axis, labels in zip(axes[2:], row.predictions, strict=True):
        _draw_contour(axis, row.truth, task)
        if labels is None:
            axis.text(0.5, 0.5, "no prediction", transform=axis.transAxes, ha="center", color="white")


def _draw_image(axis: Axes, image: Slice) -> None:
    low, high = np.percentile(image.array, [1, 99])
    axis.imshow(
        image.array.T,
        cmap="gray",
        origin="lower",
        aspect=_aspect(image),
        vmin=low,
        vmax=max(high, low + 1e-6),
    )
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _draw_labels(axis: Axes, labels: Slice, task: Task) -> None:
    from matplotlib.colors import to_rgba

    overlay = np.zeros((*labels.array.T.shape, 4))
    for name, colour in structure_colours(task).items():
        overlay[task.classes[name] == labels.array.T] = to_rgba(colour, 0.62)
    axis.imshow(overlay, origin="lower", aspect=_aspect(labels), interpolation="nearest")


def _draw_contour(axis: Axes, truth: Slice, task: Task) -> None:
    """The border of the truth in white over a prediction."""
    from matplotlib.patheffects import withStroke

    for label_id in task.classes.values():
        mask = np.equal(truth.array.T, label_id).astype(np.float64)
        if mask.any() and not mask.all():
            lines = axis.contour(mask, levels=[0.5], colors="white", linewidths=0.9, origin="lower")
            lines.set_path_effects([withStroke(linewidth=1.9, foreground="#00000099")])


def _write_dice(
    row: Sequence[Axes], table: pd.DataFrame, shown: Sequence[Line], case: str, modality: str
) -> None:
    for axis, line in zip(row, shown, strict=True):
        own = _rows_of(table, line)
        own = own[(own["case"] == case) & (own["modality"] == modality) & (own["metric"] == "dice")]
        value = own.loc[(own["method"] == line.method) & (own["preset"] == line.preset), "value"].mean()
        if math.isfinite(value):
            axis.text(
                0.03, 0.03, f"Dice {value:.2f}", transform=axis.transAxes, color="white", fontsize=7.5,
                bbox={"facecolor": "black", "alpha": 0.55, "pad": 1.5, "edgecolor": "none"},
            )  # fmt: skip


def structure_colours(task: Task) -> Mapping[str, str]:
    """Colour of each structure."""
    return {name: STRUCTURE_COLOURS[i % len(STRUCTURE_COLOURS)] for i, name in enumerate(task.structures)}


def _legend(figure: Figure, task: Task) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    colours = structure_colours(task).items()
    shown = {name: name.replace("_", " ").replace("$", r"\$") for name, _ in colours}  # $ begins a formula
    handles: list[Any] = [Patch(facecolor=colour, label=shown[name]) for name, colour in colours]
    handles.append(Line2D([], [], color="white", linewidth=1.4, label="border of the truth"))
    figure.tight_layout(h_pad=0.4, w_pad=0.4)
    legend = figure.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.05),
        ncols=legend_columns(figure, [str(handle.get_label()) for handle in handles]),
    )
    legend.set_frame_on(True)
    legend.get_frame().set(facecolor="#d9d9d9", edgecolor="none")


def _aspect(piece: Slice) -> float:
    return piece.spacing_mm[1] / piece.spacing_mm[0]


def _wrap(name: str) -> str:
    return "\n".join(fill(part, _LONGEST) for part in name.split(" · "))


def _caption(line: Line, cases: Mapping[str, str]) -> str:
    single = len(set(cases.values())) == 1
    which = (
        f"case {next(iter(cases.values()))}" if single else ", ".join(f"{m}: {c}" for m, c in cases.items())
    )
    return (
        f"{line.dataset}, {condition_label(line)}; {which} (median Dice of the methods shown). Filled: label "
        "map; white line: border of the truth. Axial slice with the most foreground"
        + (" in the first modality." if single else "; the modalities show different patients.")
    )
