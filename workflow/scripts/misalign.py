"""Misalign one modality of every case by drawn parameters, and bring the cases to their common frames."""

import argparse
import json
from functools import partial
from pathlib import Path

from parallax.data import files, store
from parallax.data.frame import to_common
from parallax.data.seal import check, fresh_folder, made_of
from parallax.errors import run_script
from parallax.perturb.families import apply, to_json
from parallax.perturb.level import case_rng, donors_for, parameters_for, read_level


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepared", type=Path, required=True, help="prepared part")
    parser.add_argument("--misalignment", type=json.loads, required=True, help="JSON: name and size")
    parser.add_argument("--part", choices=["train", "test"], required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main():
    given = arguments()
    check(given.prepared)
    part = store.read_part(given.prepared)
    level = read_level(given.misalignment, part.task)
    task, read = part.task, partial(store.read_case, part)
    # the empty id is no case's: donors are drawn for the part as a whole
    donors = donors_for(part.cases, level, case_rng(given.seed, task.name, "", level.name))
    transforms, frames, held = {}, {}, {}
    with fresh_folder(given.out) as folder:
        for case_id in part.cases:
            case, donor = read(case_id), read(donors[case_id]) if case_id in donors else None
            rng, share = case_rng(given.seed, task.name, case_id, level.name), len(donors) / len(part.cases)
            parameters = parameters_for(case, level, rng, donor=donor, swapped_fraction=share)
            case = apply(case, parameters, read)
            common = to_common(case, task, crop=part.crop)
            store.write_case(case, folder, source=part, changed=None if parameters.identity else level.moved)
            store.write_arrays(common, case_id, folder, with_label=given.part == "train")
            transforms[case_id], frames[case_id] = to_json(parameters), store.frame_entry(common, case)
            held[case_id] = store.contents(case)
        files.write_json(transforms, folder / "transforms.json")
        files.write_json(frames, folder / "frames.json")
        store.write_part(folder, task, held, crop=part.crop)
    made_of([given.out], given.prepared)


if __name__ == "__main__":
    run_script(main)
