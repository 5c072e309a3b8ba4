"""Draw the figures of a run as PNG and PDF, with their captions in captions.json."""

import argparse
import json
import math
from pathlib import Path

from parallax.errors import told
from parallax.figures.curves import BY_LABELS, BY_SHIFT, save_figure
from parallax.figures.differences import draw_differences
from parallax.figures.multiples import draw_by
from parallax.figures.panels import draw_case
from parallax.score.table import read_table, write_text
from parallax.tables.comparisons import compare
from parallax.tables.layout import read_context
from parallax.tables.summary import summarise, with_all_modalities


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="scores.parquet or scores.csv")
    parser.add_argument(
        "--run-dir", type=Path, required=True, help="results/<run>, for the pictures of cases"
    )
    parser.add_argument("--notes", type=json.loads, default={}, help="JSON: unranked, reference")
    parser.add_argument("--out", type=Path, required=True, help="folder of the figures")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    table, context = with_all_modalities(read_table(given.scores)), read_context(notes=given.notes)
    lines, compared = summarise(table), compare(table, context)
    captions = {}
    for axis in (BY_LABELS, BY_SHIFT):
        figure, captions[axis.name] = draw_by(lines, axis, context)
        save_figure(figure, given.out / axis.name)
    for dataset in sorted({line.dataset for line in lines}):
        own = [line for line in lines if line.dataset == dataset]
        drawn = draw_differences([one for one in compared if one.condition[0] == dataset], own, context)
        if drawn:
            figure, captions[f"differences_{dataset}"] = drawn
            save_figure(figure, given.out / f"differences_{dataset}")
        if not any(math.isfinite(line.dice_mean) for line in own):
            continue  # nothing was predicted; the tables say why
        figure, captions[f"case_{dataset}"] = draw_case(given.run_dir, table, own, context)
        save_figure(figure, given.out / f"case_{dataset}")
    write_text(json.dumps(captions, indent=1, ensure_ascii=False) + "\n", given.out / "captions.json")


if __name__ == "__main__":
    with told():
        main()
