"""Score the predictions of one run; a run that failed leaves rows that say so."""

import argparse
import json
import time
from pathlib import Path

from parallax.data.files import read_json
from parallax.data.seal import check, made_of, seal
from parallax.errors import run_script
from parallax.score.runs import read_run_info, score_run
from parallax.score.table import write_rows


def json_argument(text: str) -> dict:
    return json.loads(text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="test part with labels and dataset.json")
    parser.add_argument("--predictions", type=Path, required=True, help="folder of predicted label maps")
    parser.add_argument("--status", type=Path, required=True, help="status of the run")
    parser.add_argument("--run", type=json_argument, required=True, help="JSON text or file: what the run is")
    parser.add_argument("--unperturbed", type=Path, help="test part before the misalignment")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    started = time.monotonic()
    given = arguments()
    check(given.data, given.predictions, given.status)
    run, status = read_run_info(given.run), read_json(given.status)
    write_rows(score_run(given.data, given.predictions, status, run, given.unperturbed), given.out)
    seal(given.out)
    made_of([given.out], given.data, given.predictions, given.status)
    print(json.dumps({"score_s": round(time.monotonic() - started, 3)}))  # for benchmarks/where_time_goes.py


if __name__ == "__main__":
    run_script(main)
