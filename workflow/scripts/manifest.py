"""Write the manifest of a run."""

import argparse
import json
from pathlib import Path

from parallax.data.files import write_text
from parallax.data.seal import check, made_of, seal
from parallax.errors import run_script
from parallax.run.manifest import make_manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--config", type=json.loads, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    check(args.run_dir / "scores.parquet")
    text = json.dumps(make_manifest(args.run_dir, args.config), indent=1, ensure_ascii=False)
    write_text(text + "\n", args.out)
    seal(args.out)
    made_of([args.out], args.run_dir / "scores.parquet")


if __name__ == "__main__":
    run_script(main)
