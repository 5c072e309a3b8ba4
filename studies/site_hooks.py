"""What `mkdocs build` does for this project beside rendering Markdown (mkdocs.yml names this file).

It adds the pages that lie outside docs/ and those that are made from the code, sets their links right, and
refuses a page that would fetch anything from a network.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from site_links import FILES, PAGES, fetched, moved
from site_reference import PYTHON, made_pages

ROOT = Path(__file__).resolve().parent.parent
_LOG = logging.getLogger("mkdocs.plugins.parallax")


def on_startup(**_: Any) -> None:
    """Let `--quiet` keep warnings: a strict build does not count silenced ones, and would pass."""
    logging.getLogger("mkdocs").setLevel(logging.WARNING)


def on_config(config: Any) -> Any:
    """Put every card of a folder, and every documented module, where the navigation names the folder."""
    cards = [f"methods/{path.name}" for path in sorted((ROOT / "docs" / "methods").glob("*.md"))]
    folders = {"methods/": ["methods/README.md", *(name for name in cards if not name.endswith("README.md"))]}
    folders["reference/python/"] = [{module: f"reference/python/{module}.md"} for module in PYTHON]
    config.nav = _filled(config.nav, folders)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and files that docs/ does not hold."""
    texts = {place: (ROOT / source).read_text(encoding="utf-8") for source, place in PAGES.items()}
    for place, text in {**texts, **made_pages()}.items():
        files.append(File.generated(config, place, content=text))
    for source, place in FILES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Set the links of a page right that the repository holds."""
    return moved(markdown, page.file.src_uri)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Warn, and so stop a strict build, where a page would fetch something."""
    for found in fetched(output):
        _LOG.warning("%s fetches from a network: %s", page.file.src_uri, found)
    return output


def _filled(item: Any, folders: dict[str, list[Any]]) -> Any:
    if isinstance(item, list):
        return [_filled(part, folders) for part in item]
    if isinstance(item, dict):
        return {key: _filled(value, folders) for key, value in item.items()}
    return folders.get(item, item)
