"""Draw the figures of a run as PNG and PDF, with their captions in captions.json."""

import argparse
import json
from pathlib import Path

from parallax.data.seal import check, made_of, seal
from parallax.errors import run_script
from parallax.figures.gallery import Gallery
from parallax.score.table import read_table
from parallax.tables.layout import read_context


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
    check(given.scores, given.run_dir / "costs.csv")
    Gallery(given.run_dir, read_table(given.scores), read_context(notes=given.notes)).save(given.out)
    seal(given.out)
    made_of([given.out], given.scores, given.run_dir / "costs.csv")


if __name__ == "__main__":
    run_script(main)
