"""Part the cases of a dataset into train and test, and draw nested label subsets of the training cases."""

import argparse
import json
from pathlib import Path

from parallax.data.files import read_json, write_json
from parallax.data.seal import check, made_of, seal
from parallax.errors import run_script
from parallax.perturb.labels import label_subsets, labels_name


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, required=True, help="what index.py wrote")
    parser.add_argument("--split", type=json.loads, required=True, help="JSON: counts and seed, or lists")
    parser.add_argument("--fractions", required=True, help="label fractions, such as 0.1,1.0")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--out-dir", type=Path, required=True, help="folder of the label subsets")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main():
    given = arguments()
    check(given.cases)
    fractions = [float(fraction) for fraction in given.fractions.split(",")]
    split, subsets = label_subsets(read_json(given.cases), given.split, fractions, given.draws)
    for (fraction, draw), cases in subsets.items():
        path = given.out_dir / f"{labels_name(fraction, draw)}.json"
        write_json(cases, path)
        seal(path)
    write_json(split, given.out)
    seal(given.out)
    made_of([given.out, *given.out_dir.glob("*.json")], given.cases)


if __name__ == "__main__":
    run_script(main)
