"""Part the cases of a dataset into train and test, and draw nested label subsets of the training cases."""

import argparse
import json
import sys
from pathlib import Path

from parallax.data.store import read_json, write_json
from parallax.errors import told
from parallax.perturb.labels import label_subsets, labels_name


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, required=True, help="what index.py wrote")
    parser.add_argument("--split", type=json.loads, required=True, help="JSON: counts and seed, or lists")
    parser.add_argument("--fractions", required=True, help="label fractions, such as 0.1,1.0")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--out-dir", type=Path, required=True, help="folder of the label subsets")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args(argv)


def main(argv):
    given = arguments(argv)
    fractions = [float(fraction) for fraction in given.fractions.split(",")]
    split, subsets = label_subsets(read_json(given.cases), given.split, fractions, given.draws)
    for (fraction, draw), cases in subsets.items():
        write_json(cases, given.out_dir / f"{labels_name(fraction, draw)}.json")
    write_json(split, given.out)


if __name__ == "__main__":
    with told():
        main(sys.argv[1:])
