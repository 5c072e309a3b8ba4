"""What the pages of a report share: how templates are read, and what a browser lets them load."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template


def template(name: str) -> Template:
    """A template of this room; every string that it is given is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    from parallax.report.sorting import sort_keys

    environment = Environment(
        loader=PackageLoader("parallax.report"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sort_keys"] = sort_keys
    return environment.get_template(name)


def asset(name: str) -> str:
    """The text of a script or style sheet of this room."""
    return files("parallax.report").joinpath(name).read_text(encoding="utf-8")


def policy(script: str, scripts: str = "data:", more: str = "") -> str:
    """What a page may load, as a browser enforces it: itself, its own script, and the `scripts` named."""
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; {more}"
        f"script-src 'sha256-{digest}' {scripts}; base-uri 'none'; form-action 'none'"
    )
