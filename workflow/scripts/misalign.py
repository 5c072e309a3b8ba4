"""Move one modality of every case by a drawn rigid motion, and bring the cases to their common frames."""

import argparse
import json
import sys
from pathlib import Path

from parallax.data import store
from parallax.data.frame import to_common
from parallax.errors import UserError
from parallax.perturb.level import case_rng, parameters_for, read_level
from parallax.perturb.rigid import apply


def arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepared", type=Path, required=True, help="prepared part")
    parser.add_argument("--misalignment", type=json.loads, required=True, help="JSON: name and size")
    parser.add_argument("--part", choices=["train", "test"], required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args(argv)


def main(argv):
    given = arguments(argv)
    part = store.read_part(given.prepared)
    level = read_level(given.misalignment, part.task)
    transforms, frames = {}, {}
    with store.fresh_folder(given.out) as folder:
        for case_id in part.cases:
            case = store.read_case(part, case_id)
            rng = case_rng(given.seed, part.task.name, case_id, level.name)
            parameters = parameters_for(case, level, rng)
            case = apply(case, parameters)
            common = to_common(case, part.task, crop=part.crop)
            store.write_case(case, folder, source=part, changed=None if parameters.identity else level.moved)
            store.write_arrays(common, case_id, folder, with_label=given.part == "train")
            transforms[case_id], frames[case_id] = parameters.to_json(), store.frame_entry(common, case)
        store.write_json(transforms, folder / "transforms.json")
        store.write_json(frames, folder / "frames.json")
        store.write_part(folder, part.task, part.cases, crop=part.crop)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
