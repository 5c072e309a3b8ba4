"""Check a dataset and list its cases."""

import argparse
import json
import sys
from pathlib import Path

from parallax.data.splits import case_index
from parallax.data.store import write_json
from parallax.errors import told
from parallax.plugin import load_dataset


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="name of a file under datasets/")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON object")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(argv)
    dataset = load_dataset(given.dataset, given.options)
    dataset.check()
    write_json(case_index(dataset), given.out)


if __name__ == "__main__":
    with told():
        main(sys.argv[1:])
