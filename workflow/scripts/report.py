"""Write the report of a run: one page with everything in it."""

import argparse
from pathlib import Path

from parallax.data.seal import check, made_of, seal
from parallax.errors import run_script
from parallax.plugin import plugin_root
from parallax.report.build import write_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True, help="results/<run>")
    parser.add_argument("--manifest", type=Path, help="default: manifest.json of the run")
    parser.add_argument("--published", type=Path, default=plugin_root() / "results" / "published.csv")
    parser.add_argument("--claims", type=Path, default=plugin_root() / "claims.yaml")
    parser.add_argument("--out", type=Path, required=True, help="report/index.html")
    given = parser.parse_args()
    manifest = given.manifest or given.run_dir / "manifest.json"
    inputs = (manifest, *(given.run_dir / name for name in ("figures", "scores.parquet")))
    check(*inputs)
    write_report(given.run_dir, given.out, given.published, given.manifest, given.claims)
    seal(given.out)
    made_of([given.out], *inputs)


if __name__ == "__main__":
    run_script(main)
