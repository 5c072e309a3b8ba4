"""Put together what methods are trained on: all images, and masks of the labelled cases only."""

import argparse
import sys
from pathlib import Path

from parallax.data.store import read_json, write_train_view
from parallax.errors import UserError


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="misaligned train part")
    parser.add_argument("--labels", type=Path, required=True, help="label subset that split.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(argv)
    subset = read_json(given.labels)
    write_train_view(given.data, subset["labelled"], subset["unlabelled"], given.out)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
