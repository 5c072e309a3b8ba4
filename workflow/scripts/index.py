"""Check a dataset and list its cases."""

import argparse
import json
from pathlib import Path

from parallax.data.files import write_json
from parallax.data.seal import seal
from parallax.data.splits import case_index
from parallax.errors import run_script
from parallax.plugin import load_dataset


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="name of a file under datasets/")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON object")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    dataset = load_dataset(given.dataset, given.options)
    dataset.check()
    write_json(case_index(dataset), given.out)
    seal(given.out)


if __name__ == "__main__":
    run_script(main)
