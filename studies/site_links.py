"""Where pages of the repository lie in the documentation site, and their links there.

A link in a page is right in the repository, where README.md, config/ and docs/ lie beside each other. The
site has one root, so links between those are changed when it is built.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

#: Page outside docs/ to its place in the site.
PAGES: Mapping[str, str] = {
    "README.md": "index.md",
    "config/README.md": "reference/configurations.md",
    "config/splits/README.md": "reference/splits.md",
}
#: Other files that pages link to; they are copied.
FILES: Mapping[str, str] = {
    name: f"files/{name}" for name in ("claims.yaml", "results/published.csv", "CITATION.cff")
}

_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=["']?(?:https?:)?//[^"'>\s]*"""
    r"""|<link\b(?![^>]*\brel=["']?canonical)[^>]*\bhref=["']?(?:https?:)?//[^"'>\s]*"""
)
_PLACES = {**PAGES, **FILES}
_SOURCES = {place: source for source, place in PAGES.items()}


def source_of(place: str) -> str:
    """The file of the repository that a page of the site is."""
    return _SOURCES.get(place, f"docs/{place}")


def place_of(source: str) -> str | None:
    """The place in the site of a file of the repository; None where it has none."""
    return _PLACES.get(source) or (source.removeprefix("docs/") if source.startswith("docs/") else None)


def moved(markdown: str, place: str) -> str:
    """The text of the page at `place` with links as the site has them; what has no place there stays."""
    return _LINK.sub(lambda m: m[1] + _moved_link(m[2], place) + m[3], markdown)


def fetched(html: str) -> list[str]:
    """Tags of a page that make a browser fetch from another host."""
    return _FETCHED.findall(html)


def _moved_link(target: str, place: str) -> str:
    path, mark, anchor = target.partition("#")
    if not path or ":" in path:
        return target
    there = place_of(posixpath.normpath(posixpath.join(posixpath.dirname(source_of(place)), path)))
    if there is None:
        return target
    return posixpath.relpath(there, posixpath.dirname(place) or ".") + mark + anchor
