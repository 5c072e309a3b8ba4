"""Write the viewer of cases: a page with NiiVue and small copies of the worst cases."""

import argparse
import json
from pathlib import Path

from parallax.data.seal import check, fresh_folder, made_of
from parallax.errors import run_script
from parallax.report.viewer.build import ROOM_MIB, write_viewer
from parallax.score.table import read_table
from parallax.tables.layout import read_context


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="results/<run>")
    parser.add_argument("--title", required=True, help="heading of the page")
    parser.add_argument("--notes", type=json.loads, default={}, help="JSON: unranked, reference")
    parser.add_argument("--room-mib", type=float, default=ROOM_MIB, help="most that the volumes may take")
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    given = parser.parse_args()
    scores = given.run_dir / "scores.parquet"
    check(scores)
    with fresh_folder(given.out) as folder:
        context = read_context(notes=given.notes)
        write_viewer(given.run_dir, read_table(scores), context, given.title, folder, given.room_mib)
    made_of([given.out], scores)


if __name__ == "__main__":
    run_script(main)
