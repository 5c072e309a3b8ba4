import base64
import csv
import hashlib
import html
import json
import re
from html.parser import HTMLParser

import pytest
from tidy import method_rows, row, toy_rows

from parallax.data.files import write_json
from parallax.plugin import plugin_root
from parallax.report.build import build_report, write_report
from parallax.score.table import to_frame, write_parquet
from parallax.tables.layout import Table
from parallax.tables.render import to_latex, to_markdown
from parallax.tables.sourced import PUBLISHED_COLUMNS

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def run(tmp_path):
    rows = [
        *toy_rows(),
        *method_rows(EVIL, 0.5),
        row(method="zeta", case=EVIL, status="failed", reason=f"no prediction for {EVIL}"),
    ]
    write_parquet(to_frame(rows), tmp_path / "scores.parquet")
    figures = tmp_path / "figures"
    figures.mkdir()
    (figures / "case_toy.png").write_bytes(b"\x89PNG")
    (figures / "captions.json").write_text(json.dumps({"case_toy": f"case {EVIL}"}), encoding="utf-8")
    manifest = {"commit": "0123456789abcdef", "config": {"run": "toy", "title": EVIL, "notes": ["Phantoms."]}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return tmp_path


def test_names_with_markup_are_shown_as_text(run):
    page = build_report(run)
    assert EVIL not in page
    assert page.count("&lt;script&gt;") >= 4


#: The library of the tables as data, and the script that uses it: nothing of a run is in either.
OURS = [{"type": "application/json", "id": "table-library"}, {"type": "module"}]
ADDRESSES = {"src", "href", "srcset", "data", "poster", "action", "formaction", "background", "cite", "style"}


class References(HTMLParser):
    """Every address that a page names, and everything in it that runs or is styled."""

    def __init__(self):
        super().__init__()
        self.tags, self.addresses, self.handlers, self.scripts = set(), [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "script":
            self.scripts.append(dict(attrs))
        for name, value in attrs:
            if name.startswith("on"):
                self.handlers.append(name)
            if name in ADDRESSES:
                self.addresses.append(value or "")


def references(page):
    found = References()
    found.feed(page)
    return found


def test_page_is_self_contained_and_asks_no_network(run):
    page = build_report(run)
    found = references(page)
    assert [
        address for address in found.addresses if not address.startswith(("data:image/png;base64,", "#"))
    ] == []
    assert any(address.startswith("data:image/png") for address in found.addresses)
    assert found.handlers == []
    assert found.tags & {"link", "iframe", "object", "embed", "base", "form", "img"} == {"img"}
    assert found.scripts == OURS
    style = page[page.index("<style>") : page.index("</style>")]
    assert not re.search(r"url\(|@import|image-set|expression", style)


def test_the_search_for_addresses_finds_them():
    text = '<img src="https://x"><a href="//y"></a><p style="background:url(z)" onclick="f()"></p>'
    found = references(text)
    assert (found.addresses, found.handlers) == (["https://x", "//y", "background:url(z)"], ["onclick"])


QUOTED = "\"'><img src=x onerror=alert(1)>&{{7*7}}\\input{x}$&%#"


def test_hostile_text_from_every_source_is_escaped_in_html(run):
    """Names, reasons, notes, title, captions, the manifest and a row of published numbers."""
    names = ("case", "dataset", "structure", "modality", "method", "preset", "annotation", "pretraining")
    rows = [*toy_rows(), row(**dict.fromkeys(names, QUOTED)), row(**dict.fromkeys(names, EVIL))]
    rows += method_rows("cmc", 0.5)
    rows.append(row(dataset=EVIL, method=QUOTED, status="failed", reason=QUOTED))
    write_parquet(to_frame(rows), run / "scores.parquet")
    config = {"run": QUOTED, "title": QUOTED, "notes": [EVIL, QUOTED], "datasets": {EVIL: {"rank": False}}}
    (run / "manifest.json").write_text(json.dumps({"commit": EVIL, "config": config}), encoding="utf-8")
    (run / "figures" / "captions.json").write_text(json.dumps({"case_toy": QUOTED}), encoding="utf-8")
    page = build_report(run, hostile_published(run / "published.csv"))
    found = references(page)
    assert found.scripts == OURS
    assert page.lower().count("<script") == len(OURS)
    assert (found.handlers, page.count("<input")) == ([], 1)
    outside = [address for address in found.addresses if not address.startswith("#")]
    assert [address[:22] for address in outside] == ["data:image/png;base64,"]
    assert "{{7*7}}" in page
    for told in (QUOTED, EVIL):
        assert html.escape(told).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page


def hostile_published(path):
    """Published numbers of a method of this run, with markup in every cell that may hold any text."""
    free = dict.fromkeys(("dataset", "setting", "modality", "structure", "source"), QUOTED)
    fixed = {"method": "CMC", "label_fraction": "10%", "metric": "dice", "value": "1", "unit": "%"}
    values = {**free, **fixed, "evidence": "readme", "comparable_to": f"none: {EVIL}"}
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerows([PUBLISHED_COLUMNS, [values[name] for name in PUBLISHED_COLUMNS]])
    return path


def test_hostile_text_is_escaped_in_markdown_and_latex():
    rows = ((EVIL, QUOTED), ("a|b\nc", "`x` [y](javascript:z)"))
    table = Table("t", QUOTED, (EVIL, "b"), rows, (EVIL, QUOTED))
    markdown, latex = to_markdown([table], EVIL), to_latex([table])
    assert not re.search(r"(?<!\\)[<>`\[\]]", markdown)
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [3] * 4
    body = latex.partition("\n")[2]  # the first line is a comment of our own
    assert "\\input" not in body
    assert not re.search(r"(?<!\\)[#$]|(?<![\\}{])%", body)


def test_page_tells_what_was_run_lost_and_skipped(run):
    page = build_report(run, plugin_root() / "results" / "published.csv")
    for text in ("0.715 ± 0.013", "needs pairs &amp; more", "the loss is not finite", "0123456789ab"):
        assert text in page
    assert '<p class="caution">Phantoms.</p>' in page
    assert page.index('id="holds"') < page.index('id="main"') < page.index('id="published"')


def test_the_browser_is_told_to_load_nothing_but_the_page(run):
    page = build_report(run)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39; data:" in policy
    assert "default-src &#39;none&#39;" in policy


def test_how_it_was_run_is_a_table(run):
    page = build_report(run)
    made = page[page.index('id="manifest"') :]
    assert "0123456789abcdef" in made
    assert "Contaminated" in made


def test_repairs_are_counted_by_case_and_left_out_where_there_are_none(run):
    assert "Repairs of the scans" not in build_report(run)
    entry = {"modality": "CT", "what": "label map: stored as <floats>", "detail": ""}
    for part, cases in (("train", {"a": [entry, entry], "b": [entry]}), ("test", {"c": [entry]})):
        write_json(cases, run / "data" / "toy" / "prepared" / part / "repairs.json")
    row = '<th scope="row">toy</th><td>label map: stored as &lt;floats&gt;</td><td data-order="3.0">3</td>'
    assert row in build_report(run)


def test_page_is_written_without_manifest_and_figures(run, tmp_path):
    (run / "manifest.json").unlink()
    (run / "figures" / "captions.json").unlink()
    write_report(run, tmp_path / "report" / "index.html")
    assert "This run has no manifest." in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
