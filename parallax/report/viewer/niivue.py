"""NiiVue, which draws volumes in the browser: where the environment has it."""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path

FOLDER = Path("share", "parallax-viewer")
_SCRIPT = Path("node_modules", "@niivue", "niivue", "dist", "niivue.umd.js")
_PACKAGE = "node_modules/@niivue/niivue"


def pinned_version() -> str:
    """The version that package-lock.json pins."""
    lock = files("parallax.report.viewer").joinpath("package-lock.json").read_text(encoding="utf-8")
    return str(json.loads(lock)["packages"][_PACKAGE]["version"])


def find_niivue(prefix: Path = Path(sys.prefix)) -> Path | None:
    """NiiVue's script below an environment, None where it is absent or of another version than the pin."""
    script = prefix / FOLDER / _SCRIPT
    about = script.parent.parent / "package.json"
    if not (script.is_file() and about.is_file()):
        return None
    version = json.loads(about.read_text(encoding="utf-8"))["version"]
    return script if version == pinned_version() else None
