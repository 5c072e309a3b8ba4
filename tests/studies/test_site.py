"""The documentation site: links across the repository, pages made from the code, nothing fetched."""

import json
import os
import re
import subprocess
import sys
from dataclasses import fields

import pytest
from site_links import PAGES, fetched, moved, place_of
from site_reference import PYTHON, SCHEMA, made_pages

from parallax.cli import app
from parallax.plugin import dataset_cards, method_cards, plugin_root
from parallax.score.table import Row

ROOT = plugin_root()


@pytest.mark.parametrize(
    ("place", "link", "there"),
    [
        ("index.md", "docs/gpu.md#determinism", "gpu.md#determinism"),
        ("index.md", "docs/images/a.png", "images/a.png"),
        ("index.md", "config/README.md", "reference/configurations.md"),
        ("reference/configurations.md", "../docs/gpu.md", "../gpu.md"),
        ("reference/configurations.md", "splits/README.md", "splits.md"),
        ("gpu.md", "../config/README.md#annotations", "reference/configurations.md#annotations"),
        ("methods/cmc.md", "../audit.md", "../audit.md"),
        ("claims.md", "../claims.yaml", "files/claims.yaml"),
        ("gpu.md", "https://example.org/a.md", "https://example.org/a.md"),
        ("gpu.md", "#here", "#here"),
        ("gpu.md", "../nowhere.md", "../nowhere.md"),
    ],
)
def test_a_link_of_the_repository_is_one_of_the_site(place, link, there):
    assert moved(f"see [this]({link}).", place) == f"see [this]({there})."


def test_pages_from_elsewhere_are_there():
    assert all((ROOT / source).is_file() for source in PAGES)
    assert place_of("docs/gpu.md") == "gpu.md"
    assert place_of("Makefile") is None


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<script src="https://cdn.example.org/a.js"></script>', True),
        ('<link rel="stylesheet" href="//fonts.example.org/a.css">', True),
        ('<img alt="a" src="http://example.org/a.png">', True),
        ('<script src="assets/a.js"></script><img src="images/a.png">', False),
        ('<a href="https://example.org">a source</a>', False),
        ('<link rel="canonical" href="https://example.org/a.html">', False),
    ],
)
def test_what_a_page_would_fetch_is_seen(html, found):
    assert bool(fetched(html)) == found


def test_made_pages_name_every_command_key_plug_in_and_column():
    pages = made_pages()
    commands = {command.name for command in app.registered_commands}
    assert len(commands) > 8
    assert [name for name in commands if f"## `parallax {name}`" not in pages["reference/cli.md"]] == []
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    keys = {key for block in (schema, *schema["$defs"].values()) for key in block["properties"]}
    assert [key for key in keys if f"| `{key}` |" not in pages["reference/keys.md"]] == []
    names = {*method_cards(), *dataset_cards()}
    assert [name for name in names if f"| `{name}` |" not in pages["reference/plugins.md"]] == []
    told = Row.__doc__.partition("Attributes:")[2]
    assert [f.name for f in fields(Row) if f"\n        {f.name}: " not in told] == []
    assert {f"reference/python/{name}.md" for name in PYTHON} < set(pages)


def test_every_page_has_a_place_on_the_site():
    """What the build would warn of, without the build."""
    listed = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} == {
        n for n in listed - {"index.md"} if "/" not in n
    }


@pytest.mark.weekly
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # as `make docs`: the theme advertises its successor
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    made = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.html")}
    written = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    wanted = {f"{path.parent.as_posix()}/{path.name}.html".removeprefix("./") for path in written}
    assert {name.replace("README.html", "index.html") for name in wanted} <= made
    # the search works without a server
    assert (tmp_path / "site" / "search" / "search_index.js").is_file()
    assert 'src="iframe-worker.js"' in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
