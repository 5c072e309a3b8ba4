"""Put together what methods are trained on: all images, and masks of the labelled cases only."""

import argparse
import json
from pathlib import Path

from parallax.data.files import read_json
from parallax.data.seal import check, made_of
from parallax.data.store import write_train_view
from parallax.errors import run_script
from parallax.perturb.annotation import FULL, Annotation
from parallax.perturb.view import write_annotated_view


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="misaligned train part")
    parser.add_argument("--labels", type=Path, required=True, help="label subset that split.py wrote")
    parser.add_argument("--annotation", default=FULL, help="name of the annotation")
    parser.add_argument(
        "--annotate", type=json.loads, default={}, help="JSON: what the annotation leaves out"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    check(given.data, given.labels)
    subset = read_json(given.labels)
    if given.annotation == FULL:
        write_train_view(given.data, subset["labelled"], subset["unlabelled"], given.out)
    else:
        annotation = Annotation.model_validate(given.annotate)
        write_annotated_view(given.data, subset, given.annotation, annotation, given.seed, given.out)
    made_of([given.out], given.data, given.labels)


if __name__ == "__main__":
    run_script(main)
