"""Join the tables of all runs and the skipped runs into scores.csv, scores.parquet and costs.csv."""

import argparse
import json
from pathlib import Path

from parallax.data.seal import check, made_of, seal
from parallax.errors import run_script
from parallax.score.gather import gather, gather_costs, write_costs
from parallax.score.table import to_frame, write_parquet, write_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="results/<run>")
    parser.add_argument("--plan", type=json_file, required=True, help="plan.json: runs and skipped")
    given = parser.parse_args()
    inputs = [given.run_dir / "runs" / run / "scores.csv" for run in given.plan["runs"]]
    inputs_and_costs = [*inputs, *(path.with_name("cost.json") for path in inputs)]
    check(*inputs_and_costs)
    rows = gather(inputs, given.plan["skipped"])
    write_costs(gather_costs(inputs), given.run_dir / "costs.csv")
    write_parquet(to_frame(rows), given.run_dir / "scores.parquet")
    write_rows(rows, given.run_dir / "scores.csv")
    outputs = [given.run_dir / name for name in ("costs.csv", "scores.parquet", "scores.csv")]
    seal(*outputs)
    made_of(outputs, *inputs_and_costs)


def json_file(path: str) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_script(main)
