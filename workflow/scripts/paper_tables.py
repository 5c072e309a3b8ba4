"""Write the tables of the paper from whatever has been run: published values beside reproduced ones."""

import argparse
import sys
from pathlib import Path

from parallax.errors import UserError
from parallax.run.paper import experiments, make_pages, write_pages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, help="a configuration beside those under config/paper")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the runs")
    parser.add_argument("--out", type=Path, default=Path("results/paper_tables"))
    parser.add_argument("--width", type=int, help="width of the print in characters")
    given = parser.parse_args()
    pages = make_pages(experiments(given.config), given.results)
    write_pages(pages, given.out)
    from parallax.tables.paper_tables import summary_table
    from parallax.tables.render import print_tables

    summary = summary_table([page.comparison for page in pages], [page.ran for page in pages])
    print_tables([summary, *(table for page in pages for table in page.shown)], given.width)
    print(f"Every table, also those not shown here: {given.out.as_posix()}/*.md, .tex, .csv")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(1)
