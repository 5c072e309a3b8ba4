"""Write the manifest of a run."""

import argparse
import json
from pathlib import Path

from parallax.run.manifest import make_manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--config", type=json.loads, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    text = json.dumps(make_manifest(args.run_dir, args.config), indent=1, ensure_ascii=False)
    temporary = args.out.with_suffix(".tmp")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(args.out)


if __name__ == "__main__":
    main()
