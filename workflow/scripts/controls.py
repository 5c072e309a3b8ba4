"""Check that every control of a run sits in its band; no table is made of a run of which one does not."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from parallax.data.files import write_text
from parallax.data.seal import check, made_of, seal
from parallax.errors import run_script
from parallax.score.table import read_table
from parallax.tables.controls import control_errors, declared_bands, read_overlap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, required=True, help="scores.parquet")
    parser.add_argument("--splits", type=Path, required=True, help="folder of splits")
    parser.add_argument("--out", type=Path, required=True, help="what was checked, as JSON")
    given = parser.parse_args()
    inputs = (given.scores, *sorted(given.splits.glob("*.json")))
    check(*inputs)
    scores = read_table(given.scores)
    errors = control_errors(scores, read_overlap(given.splits))
    for error in errors:
        sys.stderr.write(f"{error}\n")
    if errors:
        sys.exit(1)
    found = {
        *zip(scores.method, scores.metric, strict=True),
        *((name, "status") for name in set(scores.method)),
    }
    checked = [asdict(band) for band in declared_bands() if (band.method, band.metric) in found]
    write_text(json.dumps({"in their bands": checked}, indent=1) + "\n", given.out)
    seal(given.out)
    made_of([given.out], *inputs)


if __name__ == "__main__":
    run_script(main)
