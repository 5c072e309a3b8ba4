"""The licences of everything that requirements.lock pins, as each installed package states them.

Usage: `python studies/licences.py` rewrites docs/licences.md; `--check`: exit status 1 if it is stale.
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK, PAGE = ROOT / "requirements.lock", ROOT / "docs" / "licences.md"
HEAD = """# Licences

What `requirements.lock` pins, with the licence that each package states in its own metadata
(`License-Expression`, else its classifiers, else the field `License`, else its licence file).
Made by `python studies/licences.py`; a test compares names and versions with the lock file. Parallax is
Apache-2.0. Nothing here is copied into Parallax: all of it is installed from its own source. So is NiiVue
(BSD-2-Clause) with its JavaScript packages: `parallax/report/viewer/package-lock.json` pins them by digest.
Its licence lies beside each viewer that a report has.

| package | version | licence |
| --- | --- | --- |
"""
_SHORT = 60  # longer fields hold the text of a licence and not its name


def pins() -> dict[str, str]:
    """Name to version of every line of the lock file."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    pinned = (line.partition(";")[0] for line in lines if line.strip() and not line.startswith("#"))
    return dict(line.split("==") for line in pinned)


# Packages that state none, and where it was read.
_READ_ELSEWHERE = {"mlcroissant": "Apache-2.0 (LICENSE of mlcommons/croissant)"}


def licence(name: str) -> str:
    """The licence that an installed package states; `not installed here` where it is not."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return "not installed here"
    metadata = found.metadata
    stated_by = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License")]
    classifiers = [c.rpartition(" :: ")[2] for c in stated_by]
    own = " ".join((metadata.get("License") or "").split())
    stated = own if 0 < len(own) <= _SHORT and own != "UNKNOWN" else ""
    named = metadata.get("License-Expression") or ", ".join(c for c in classifiers if c != "OSI Approved")
    return named or stated or _from_file(found) or _READ_ELSEWHERE.get(name, "not stated")


def _from_file(found: Distribution) -> str:
    name = re.compile(r"dist-info.*(licen[cs]e|copying)", re.IGNORECASE)
    for file in [file for file in found.files or [] if name.search(str(file))]:
        text = Path(str(found.locate_file(file))).read_text(encoding="utf-8", errors="replace")
        first = next((line for line in text.splitlines() if line.strip()), "")
        if first:
            return f"{first.strip()} (licence file)"
    return ""


def page() -> str:
    rows = [f"| {name} | {version} | {licence(name).replace('|', '/')} |" for name, version in pins().items()]
    return HEAD + "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        sys.exit(int(PAGE.read_text(encoding="utf-8") != page()))
    PAGE.write_text(page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
