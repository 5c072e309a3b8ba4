"""Every family of misalignment at every severity, on the abdomen phantom: a figure and two tables.

Usage: `python studies/misalignment_families.py`.

Writes `docs/images/misalignment-families.png` and prints the tables of `docs/perturbations.md`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from parallax.case import Case, Grid, Task, Volume
from parallax.data.frame import common_grid, interpolate, resample_labels
from parallax.perturb.families import Parameters, apply
from parallax.perturb.level import case_rng, parameters_for, read_level
from parallax.perturb.masks import dice_by_structure
from parallax.plugin import load_dataset, plugin_root

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DATASET = "phantom_abdomen"
OPTIONS = {"cases": 5, "seed": 1}
SEVERITIES = range(5)
DRAWS = 12
PIXEL_MM = 2.0
DISPLACEMENTS = ("rigid", "elastic", "respiratory", "composite")
GEOMETRIES = ("fov", "spacing", "subject")
#: Structures of the contours, in colours that stay apart on grey.
COLOURS = {
    "liver": "#E69F00",
    "spleen": "#56B4E9",
    "right_kidney": "#00D08A",
    "left_kidney": "#FF7FD0",
}
UNSCANNED = "#3d4a63"
TITLES = {
    "rigid": "rigid",
    "elastic": "elastic",
    "respiratory": "respiratory",
    "composite": "composite\n(rigid and\nelastic)",
    "fov": "fov\n(field of view)",
    "spacing": "spacing\n(slice thickness)",
    "subject": "subject\n(wrong partner)",
}


@dataclass(frozen=True)
class Picture:
    """One plane of a case: MR with MR contours in colour, CT contours in white; [width, height] each."""

    mr: NDArray[np.float32]
    ct: NDArray[np.float32]
    mr_masks: Mapping[str, NDArray[np.float32]]
    ct_masks: Mapping[str, NDArray[np.float32]]


def main() -> None:
    task, cases = read_phantoms()
    print(
        "Displacements:\n\n"
        + displacement_table(task, cases)
        + "\n\nGeometry:\n\n"
        + geometry_table(task, cases)
    )
    path = plugin_root() / "docs" / "images" / "misalignment-families.png"
    draw_figure(task, cases, path)
    print(f"\n{path.relative_to(plugin_root())}: {path.stat().st_size / 1000:.0f} kB")


def read_phantoms() -> tuple[Task, dict[str, Case]]:
    dataset = load_dataset(DATASET, OPTIONS)
    ids = dataset.case_ids()
    with tempfile.TemporaryDirectory() as folder:
        dataset.stage(ids, Path(folder))
        return dataset.task, {case_id: dataset.read(case_id, Path(folder)) for case_id in ids}


def perturbed(
    task: Task, cases: Mapping[str, Case], family: str, severity: int, draw: int = 0
) -> tuple[Parameters, Case]:
    """The first case at one severity; in family `subject` severities and draws go through all donors."""
    first, *others = cases
    name = f"{family}-{draw}"
    level = read_level({"name": name, "family": family, "severity": severity}, task)
    donor = cases[others[(severity + draw) % len(others)]] if family == "subject" else None
    rng = case_rng(0, task.name, first, name)
    parameters = parameters_for(
        cases[first], level, rng, donor=donor, swapped_fraction=level.swapped_fraction
    )
    return parameters, apply(cases[first], parameters, cases.__getitem__)


def overlap(task: Task, before: Case, after: Case) -> float:
    """Mean Dice over structures of the changed label map with the one before, on the grid before."""
    truth = before.labels["MR"]
    found = resample_labels(after.labels["MR"], truth.grid)
    return float(np.mean(list(dice_by_structure(truth.array, found, task.classes).values())))


def displacement_table(task: Task, cases: Mapping[str, Case]) -> str:
    rows = []
    for family in DISPLACEMENTS:
        for severity in SEVERITIES[1:]:
            drawn = [perturbed(task, cases, family, severity, draw) for draw in range(DRAWS)]
            found = [parameters for parameters, _ in drawn]
            rms = [p.realised_rms_mm for p in found]
            jacobian = min((getattr(p, "jacobian_min", np.nan) for p in found), default=np.nan)
            rows.append(
                (
                    family,
                    f"S{severity}",
                    f"{task.severity_mm[severity]:g}",
                    f"{min(rms):.2f} to {max(rms):.2f}",
                    f"{np.mean([p.realised_mean_mm for p in found]):.1f}",
                    f"{np.mean([p.realised_p95_mm for p in found]):.1f}",
                    "" if np.isnan(jacobian) else f"{jacobian:.2f}",
                    _mean_overlap(task, cases, drawn),
                )
            )
    header = (
        "family", "severity", "asked RMS (mm)", "realised RMS (mm)", "mean (mm)", "95th percentile (mm)",
        "least Jacobian", "Dice left",
    )  # fmt: skip
    return markdown(header, rows)


def geometry_table(task: Task, cases: Mapping[str, Case]) -> str:
    rows = []
    for family in ("fov", "spacing"):
        for severity in SEVERITIES[1:]:
            drawn = [perturbed(task, cases, family, severity, draw) for draw in range(DRAWS)]
            rows.append(
                (
                    family,
                    f"S{severity}",
                    SAYS[family](drawn[0][0], severity),
                    _mean_overlap(task, cases, drawn),
                )
            )
    drawn = [perturbed(task, cases, "subject", 4, draw) for draw in range(DRAWS)]
    donors = len({parameters.donor for parameters, _ in drawn})
    rows.append(("subject", "any", f"one of {donors} other patients", _mean_overlap(task, cases, drawn)))
    return markdown(("family", "severity", "realised", "Dice left"), rows)


def _mean_overlap(task: Task, cases: Mapping[str, Case], drawn: list[tuple[Parameters, Case]]) -> str:
    before = next(iter(cases.values()))
    return f"{np.mean([overlap(task, before, changed) for _, changed in drawn]):.2f}"


def markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _says_rms(parameters: Parameters, severity: int) -> str:
    return f"RMS {parameters.realised_rms_mm:.1f} mm" if severity else "RMS 0 mm"


def _says_fov(parameters: Parameters, severity: int) -> str:
    return f"{100 * parameters.covered_fraction:.0f} % of the height" if severity else "whole height"


def _says_spacing(parameters: Parameters, severity: int) -> str:
    return f"{parameters.slice_mm:.0f} mm slices" if severity else "own slices"


def _says_subject(parameters: Parameters, severity: int) -> str:
    return f"in {100 * parameters.swapped_fraction:.0f} % of cases" if severity else "own MR"


SAYS: Mapping[str, Callable[[Parameters, int], str]] = {
    **dict.fromkeys(DISPLACEMENTS, _says_rms),
    "fov": _says_fov,
    "spacing": _says_spacing,
    "subject": _says_subject,
}


def draw_figure(task: Task, cases: Mapping[str, Case], path: Path) -> None:
    import matplotlib.style
    from matplotlib.figure import Figure

    from parallax.figures.curves import style_file

    case = next(iter(cases.values()))
    grid = common_grid(case.images["CT"].grid, (PIXEL_MM, PIXEL_MM, PIXEL_MM))
    plane = busiest_plane(task, case, grid)
    families = (*DISPLACEMENTS, *GEOMETRIES)
    panel_in = 1.55 * grid.shape[2] / grid.shape[0]
    with matplotlib.style.context(style_file()):
        figure = Figure(figsize=(9.0, len(families) * (panel_in + 0.2) + 0.9))
        axes = figure.subplots(len(families), len(SEVERITIES), squeeze=False)
        figure.subplots_adjust(left=0.14, right=0.995, top=0.955, bottom=0.085, wspace=0.03, hspace=0.2)
        for row, family in zip(axes, families, strict=True):
            for panel, severity in zip(row, SEVERITIES, strict=True):
                parameters, changed = perturbed(task, cases, family, severity)
                draw_panel(panel, picture(task, changed, grid, plane), SAYS[family](parameters, severity))
            row[0].text(-0.06, 0.5, TITLES[family], transform=row[0].transAxes, ha="right", va="center")
        for panel, severity in zip(axes[0], SEVERITIES, strict=True):
            told = "S0 (untouched)" if severity == 0 else f"S{severity}"
            panel.text(0.5, 1.22, told, transform=panel.transAxes, ha="center", fontsize=11, weight="bold")
        add_legend(figure)
        save_small(figure, path)


def save_small(figure: Figure, path: Path) -> None:
    """PNG of 128 colours, which takes a third of the bytes."""
    from io import BytesIO

    from PIL import Image

    content = BytesIO()
    figure.savefig(content, format="png", dpi=112)
    image = Image.open(content).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    image.save(path, optimize=True)


def busiest_plane(task: Task, case: Case, grid: Grid) -> int:
    """The coronal plane that shows most of the structures in their lesser share."""
    label = resample_labels(case.labels["CT"], grid)
    shares = [(label == task.classes[name]).sum(axis=(0, 2)) for name in COLOURS]
    return int(np.argmax(np.min([share / share.max() for share in shares], axis=0)))


def picture(task: Task, case: Case, grid: Grid, plane: int) -> Picture:
    cut = Grid((grid.shape[0], 1, grid.shape[2]), grid.affine.copy())
    cut.affine[:3, 3] += plane * grid.affine[:3, 1]

    def seen(volume: Volume, order: int, fill: float) -> NDArray[np.float32]:
        mapping = np.linalg.inv(volume.affine) @ cut.affine
        values = interpolate(volume.array, mapping, cut.shape, order=order)
        inside = np.ones_like(volume.array, dtype=np.float32)
        padded = np.pad(inside, 1)
        shifted = mapping.copy()
        shifted[:3, 3] += 1
        values[interpolate(padded, shifted, cut.shape, order=0) == 0] = fill
        return values[:, 0]

    def masks(volume: Volume) -> dict[str, NDArray[np.float32]]:
        found = {
            n: Volume((volume.array == task.classes[n]).astype(np.float32), volume.affine) for n in COLOURS
        }
        return {name: seen(mask, 1, 0.0) for name, mask in found.items()}

    mr = case.images["MR"]
    return Picture(
        # voxels as they are, so that thick slices look thick; nothing where nothing was scanned
        mr=seen(Volume(mr.array.astype(np.float32), mr.affine), 0, np.nan),
        ct=seen(case.images["CT"], 1, -1000.0),
        mr_masks=masks(case.labels["MR"]),
        ct_masks=masks(case.labels["CT"]),
    )


def draw_panel(panel: Axes, shown: Picture, told: str) -> None:
    width, height = (n * PIXEL_MM for n in shown.mr.shape)
    extent = (0.0, width, 0.0, height)
    top = float(np.nanpercentile(shown.mr, 99)) * 1.15
    panel.imshow(shown.mr.T, cmap="gray", vmin=0, vmax=top, origin="lower", extent=extent, aspect="equal")
    x, z = ((np.arange(n) + 0.5) * PIXEL_MM for n in shown.mr.shape)
    panel.contour(x, z, shown.ct.T, levels=[-400], colors="white", linewidths=0.8, linestyles="solid")
    for name, colour in COLOURS.items():
        for masks, style in ((shown.ct_masks, {"colors": "white", "linewidths": 0.7}),
                             (shown.mr_masks, {"colors": colour, "linewidths": 1.1})):  # fmt: skip
            if (masks[name] > 0.5).any():
                panel.contour(x, z, masks[name].T, levels=[0.5], **style)
    panel.set_facecolor(UNSCANNED)
    panel.set_title(told, fontsize=8.5, fontweight="normal", loc="center", pad=3)
    panel.set(xticks=[], yticks=[])
    panel.set_xlim(width, 0)  # as radiologists look at it: the patient's right on the left
    for side in panel.spines.values():
        side.set_visible(False)


def add_legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    lines = [Line2D([], [], color=c, label=f"{n.replace('_', ' ')} in MR") for n, c in COLOURS.items()]
    lines.append(Line2D([], [], color="#bbbbbb", linewidth=0.9, label="CT: body and the same organs (white)"))
    lines.append(Patch(color=UNSCANNED, label="not scanned in MR"))
    figure.legend(handles=lines, loc="lower center", bbox_to_anchor=(0.56, 0.0), ncols=3, fontsize=9)


if __name__ == "__main__":
    main()
