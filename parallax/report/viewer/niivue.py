"""NiiVue, which draws volumes in the browser: where the environment has it, and how it gets there.

`python -m parallax.report.viewer.niivue` installs it into the environment of that Python, with npm.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

FOLDER = Path("share", "parallax-viewer")
_SCRIPT = Path("node_modules", "@niivue", "niivue", "dist", "niivue.umd.js")
_PACKAGE = "node_modules/@niivue/niivue"
_LISTS = ("package.json", "package-lock.json")
_OPTIONS = ("--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=optional")


def pinned_version() -> str:
    """The version that package-lock.json pins."""
    return str(json.loads(_own("package-lock.json"))["packages"][_PACKAGE]["version"])


def find_niivue(prefix: Path = Path(sys.prefix)) -> Path | None:
    """NiiVue's script below an environment, None where it is absent or of another version than the pin."""
    script = prefix / FOLDER / _SCRIPT
    about = script.parent.parent / "package.json"
    if not (script.is_file() and about.is_file()):
        return None
    version = json.loads(about.read_text(encoding="utf-8"))["version"]
    return script if version == pinned_version() else None


def install(prefix: Path = Path(sys.prefix)) -> str:
    """Install the pinned version, digests compared. Empty if all is well, else why reports have no viewer."""
    npm = shutil.which("npm")
    if npm is None:
        return "Node.js (npm) is not installed"
    folder = prefix / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name in _LISTS:
        (folder / name).write_text(_own(name), encoding="utf-8")
    ended = subprocess.run([npm, "ci", *_OPTIONS], cwd=folder, capture_output=True, text=True, check=False)
    return "" if ended.returncode == 0 else f"npm could not install NiiVue: {ended.stderr.strip()[-300:]}"


def _own(name: str) -> str:
    return files("parallax.report.viewer").joinpath(name).read_text(encoding="utf-8")


if __name__ == "__main__":
    missing = install()
    if missing:
        sys.stdout.write(f"Reports will have no viewer of cases: {missing}. Try again later: make viewer\n")
