"""Write the tables of a run as CSV, Markdown and LaTeX, or print the first one to the terminal."""

import argparse
import json
from pathlib import Path

from parallax.data.seal import check, made_of, seal
from parallax.errors import run_script
from parallax.plugin import plugin_root
from parallax.report.write import TableInputs, build, print_overview, write_all


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="scores.parquet or scores.csv")
    parser.add_argument("--costs", type=Path, help="costs.csv")
    parser.add_argument("--splits", type=Path, help="folder of splits; default: beside the scores")
    parser.add_argument("--published", type=Path, default=plugin_root() / "results" / "published.csv")
    parser.add_argument("--claims", type=Path, default=plugin_root() / "claims.yaml")
    parser.add_argument(
        "--notes", type=json.loads, default={}, help="JSON: notes, unranked, reference, families"
    )
    parser.add_argument("--out", type=Path, help="folder of the tables")
    parser.add_argument("--print", choices=["main"], dest="shown", help="print this table to the terminal")
    parser.add_argument("--width", type=int, help="width of the print in characters")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    splits = given.splits or given.scores.parent / "splits"
    inputs = (given.scores, *([given.costs] if given.costs else []))
    check(*inputs)
    made = build(TableInputs(given.scores, given.costs, splits, given.published, given.claims, given.notes))
    if given.out:
        write_all(made, given.out)
        seal(given.out)
        made_of([given.out], *inputs)
    if given.shown:
        print_overview(made, given.width)


if __name__ == "__main__":
    run_script(main)
