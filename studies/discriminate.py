"""Do the phantoms tell methods apart? Writes the tables of docs/discrimination.md from a finished run.

Usage: `python studies/discriminate.py [results/discriminate]`, after `snakemake --configfile
config/discriminate.yaml`; `make discriminate` does both. Every figure is read from `scores.parquet` and from
the test cases of that run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from parallax.case import Task
from parallax.data.files import read_json
from parallax.data.frame import CommonCase, to_common
from parallax.data.store import read_case, read_part
from parallax.plugin import method_cards, plugin_root
from parallax.score.stats.separation import separation
from parallax.score.stats.spread import bootstrap_interval, generator_for

PAGE = plugin_root() / "docs" / "discrimination.md"
#: A modality shows a structure poorly where this much more of its boundary stands out in another one.
POOR = 0.25
CONDITION = ["misalignment", "label_fraction"]


@dataclass(frozen=True)
class Sign:
    """One thing that a sound test bed must show: a difference in Dice points with its 95 % interval."""

    dataset: str
    what: str
    points: float
    low: float
    high: float

    @property
    def shown(self) -> str:
        """Whether the interval lies above zero."""
        return "yes" if self.low > 0 else "no"


def shown_share(image: NDArray[np.float32], label: NDArray[np.uint8], structure: int) -> float:
    """Share of the boundary of a structure that stands out from noise and texture.

    Of all pairs of neighbours across the boundary, those whose step is larger than 95 % of the steps between
    neighbours inside: 0.05 where nothing is to be seen, 1 where all is. NaN where there is no boundary.
    """
    mask = label == structure
    across, inside = [], []
    for axis in range(3):
        steps = np.abs(np.diff(image, axis=axis))
        first, second = np.delete(mask, -1, axis), np.delete(mask, 0, axis)
        across.append(steps[first ^ second])
        inside.append(steps[first & second])
    noise, step = np.concatenate(inside), np.concatenate(across)
    return float((step > np.quantile(noise, 0.95)).mean()) if len(noise) and len(step) else float("nan")


def contrasts(folder: Path) -> pd.DataFrame:
    """Which share of each boundary each modality shows in the test cases of `folder`; where it is `poor`."""
    part = read_part(folder)
    rows = [
        row
        for case in part.cases
        for row in _contrasts(to_common(read_case(part, case), part.task), case, part.task)
    ]
    frame = pd.DataFrame(rows, columns=["case", "structure", "modality", "shown"])
    best = frame.groupby(["case", "structure"])["shown"].transform("max")
    return frame.assign(poor=frame["shown"] <= best - POOR)


def _contrasts(common: CommonCase, case: str, task: Task) -> Iterator[tuple[str, str, str, float]]:
    assert common.label is not None  # test cases are labelled
    for index, modality in enumerate(task.modality_names):
        for structure, value in task.classes.items():
            share = shown_share(common.image[index], common.label[index], value)
            yield case, structure, modality, share


def paired(scores: pd.DataFrame, **condition: object) -> pd.DataFrame:
    """Dice [case, seed] of one method in one condition: mean over structures and modalities."""
    own = scores
    for column, value in condition.items():
        own = own[own[column] == value]
    return own.pivot_table("value", "case", "seed", aggfunc="mean")


def sign(dataset: str, what: str, difference: pd.DataFrame) -> Sign:
    """Mean over cases of a paired difference [case, seed], in Dice points, and its interval."""
    values = difference.to_numpy(dtype=float) * 100
    low, high = bootstrap_interval(values, generator_for((dataset, what)))
    return Sign(dataset, what, float(values.mean()), low, high)


def signs(dataset: str, dice: pd.DataFrame, poor: pd.DataFrame) -> list[Sign]:
    """The signs of one dataset; `poor` lists (case, structure, modality) that another shows better."""
    supervised, fused = (dice[dice.method == name] for name in ("supervised", "early_fusion"))
    full = {"misalignment": "aligned", "label_fraction": 1.0}
    moved = full | {"misalignment": "shifted"}
    few = full | {"label_fraction": 0.1}
    own, both = (rows.merge(poor) for rows in (supervised, fused))
    loss = {
        name: paired(rows, **full) - paired(rows, **moved)
        for name, rows in (("supervised", supervised), ("early_fusion", fused))
    }
    return [
        sign(
            dataset,
            "10 to 100 % of the labels help `supervised`",
            paired(supervised, **full) - paired(supervised, **few),
        ),
        sign(
            dataset,
            "10 to 100 % of the labels help `early_fusion`",
            paired(fused, **full) - paired(fused, **few),
        ),
        sign(
            dataset,
            "two aligned modalities beat one where it shows poorly",
            paired(both, **full) - paired(own, **full),
        ),
        sign(
            dataset,
            "shift costs `early_fusion` more than `supervised`",
            loss["early_fusion"] - loss["supervised"],
        ),
    ]


def ceiling_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """The copied oracle by dataset and condition: values, mean Dice, mean ceiling, greatest difference."""
    own = scores[(scores.method == "oracle") & (scores.adapter == "broadcast") & scores.value.notna()]
    keys = ["dataset", *CONDITION, "case", "modality", "structure"]
    wide = own.pivot_table("value", keys, "metric").reset_index()
    wide["apart"] = (wide["dice"] - wide["dice_ceiling"]).abs()
    return (
        wide.groupby(["dataset", *CONDITION])
        .agg(
            values=("dice", "size"),
            dice=("dice", "mean"),
            ceiling=("dice_ceiling", "mean"),
            apart=("apart", "max"),
        )
        .reset_index()
    )


def main() -> None:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else plugin_root() / "results" / "discriminate"
    scores = pd.read_parquet(root / "scores.parquet")
    controls = [card.name for card in method_cards().values() if card.control]
    dice = scores[(scores.metric == "dice") & ~scores.method.isin(controls) & scores.value.notna()]
    found: list[Sign] = []
    pages: list[str] = []
    for dataset in dice.dataset.unique():
        contrast = contrasts(root / "data" / dataset / "aligned" / "test")
        poor = contrast.loc[contrast.poor, ["case", "structure", "modality"]]
        found += signs(dataset, dice[dice.dataset == dataset], poor)
        pages.append(_contrast_lines(dataset, contrast))
    manifest = read_json(root / "splits" / f"{dice.dataset.unique()[0]}.json")
    parts = [
        _sign_lines(found),
        _ceiling_lines(ceiling_rows(scores)),
        _ratio_lines(separation(dice, ["dataset", *CONDITION])),
        "\n\n".join(pages),
        f"{dice.case.nunique() // dice.dataset.nunique()} test and {len(manifest['train'])} training cases a"
        f" dataset, seeds {', '.join(map(str, sorted(dice.seed.unique())))}, methods"
        f" {', '.join(sorted(dice.method.unique()))}.",
    ]
    text = "\n\n".join(parts)
    print(text)
    if PAGE.exists():
        head = PAGE.read_text(encoding="utf-8").split("<!-- tables -->")[0]
        PAGE.write_text(f"{head}<!-- tables -->\n\n{text}\n", encoding="utf-8")


def _sign_lines(found: list[Sign]) -> str:
    lines = ["| dataset | sign | Dice points | 95 % interval | shown |", "|---|---|---|---|---|"]
    lines += [
        f"| `{s.dataset}` | {s.what} | {s.points:+.1f} | {s.low:+.1f} to {s.high:+.1f} | {s.shown} |"
        for s in found
    ]
    return "\n".join(lines)


def _ceiling_lines(rows: pd.DataFrame) -> str:
    lines = [
        "| dataset | condition | values | Dice of the copied oracle | its ceiling | greatest difference |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{r.dataset}` | {_condition(r)} | {r.values} | {r.dice:.3f} | {r.ceiling:.3f} | {r.apart:g} |"
        for r in rows.itertuples(index=False)
    ]
    return "\n".join(lines)


def _ratio_lines(rows: pd.DataFrame) -> str:
    lines = [
        "| dataset | condition | SD between methods | SD over seeds | ratio | least stable (its SD) |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{r.dataset}` | {_condition(r)} | {r.between:.2f} | {r.within:.2f} | {r.ratio:.1f} |"
        f" `{r.least_stable}` ({r.its_sd:.2f}) |"
        for r in rows.itertuples(index=False)
    ]
    return "\n".join(lines)


def _contrast_lines(dataset: str, contrast: pd.DataFrame) -> str:
    table = contrast.groupby(["structure", "modality"], sort=False).agg(
        shown=("shown", "mean"), poor=("poor", "mean")
    )
    modalities = list(dict.fromkeys(contrast.modality))
    lines = [f"| `{dataset}` | {' | '.join(modalities)} |", "|---|" + "---|" * len(modalities)]
    for structure in dict.fromkeys(contrast.structure):
        cells = [f"{row.shown:.0%} ({row.poor:.0%})" for row in (table.loc[structure, m] for m in modalities)]
        lines.append(f"| {structure} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _condition(row: object) -> str:
    fraction, level = getattr(row, "label_fraction"), getattr(row, "misalignment")  # noqa: B009
    return f"{fraction:.0%} of labels, {level}"


if __name__ == "__main__":
    main()
