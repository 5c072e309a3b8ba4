"""Read the cases of one side of a split; write them as NIfTI with label ids 0..n, and what was repaired."""

import argparse
import json
from pathlib import Path

from parallax.data.files import read_json
from parallax.data.repairs import repair_line, write_repairs
from parallax.data.seal import check, fresh_folder, made_of
from parallax.data.store import check_case, contents, write_case, write_part
from parallax.errors import run_script
from parallax.plugin import load_dataset


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="name of a file under datasets/")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON object")
    parser.add_argument("--split", type=Path, required=True, help="what split.py wrote")
    parser.add_argument("--part", choices=["train", "test"], required=True)
    parser.add_argument("--raw", type=Path, required=True, help="where a phantom puts its raw files")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main():
    given = arguments()
    check(given.split)
    dataset = load_dataset(given.dataset, given.options)
    task, case_ids = dataset.task, read_json(given.split)[given.part]
    given.raw.mkdir(parents=True, exist_ok=True)
    dataset.stage(case_ids, given.raw)
    held, repairs = {}, {}
    with fresh_folder(given.out) as folder:
        for case_id in case_ids:
            case = dataset.read(case_id, given.raw)
            check_case(case, task)
            write_case(case, folder)
            held[case_id], repairs[case_id] = contents(case), case.repairs
            print(repair_line(case))
        write_part(folder, task, held, crop=dataset.crop)
        write_repairs(folder, repairs)
    made_of([given.out], given.split)


if __name__ == "__main__":
    run_script(main)
