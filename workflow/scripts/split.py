"""Part the cases of a dataset into train and test, and draw nested label subsets of the training cases."""

import argparse
import json
import sys
from pathlib import Path

from parallax.data.splits import make_split, split_rng
from parallax.data.store import read_json, write_json
from parallax.errors import UserError
from parallax.perturb.labels import draw_order, subset
from parallax.run.plan import labels_name


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
    index, seed = read_json(given.cases), given.split.get("seed", 0)
    strata, bare = index.get("strata", {}), set(index.get("without_labels", []))
    split = make_split(index, given.split, draw_order(split_rng(seed), index["cases"], strata))
    candidates = [case for case in split["train"] if case not in bare]
    for draw in range(given.draws):
        order = draw_order(split_rng(seed, draw), candidates, strata)
        for fraction in map(float, given.fractions.split(",")):
            labelled = sorted(subset(order, fraction))
            unlabelled = [case for case in split["train"] if case not in set(labelled)]
            write_json(
                {"labelled": labelled, "unlabelled": unlabelled},
                given.out_dir / f"{labels_name(fraction, draw)}.json",
            )
    write_json(split, given.out)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
