import json
import re

import pytest
from tidy import method_rows, row, toy_rows

from parallax.data.files import write_json
from parallax.plugin import plugin_root
from parallax.report.build import build_report, write_report
from parallax.score.table import to_frame, write_parquet

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
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4


def test_page_is_self_contained(run):
    page = build_report(run)
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "url(" not in page
    assert 'src="data:image/png;base64,' in page


def test_page_tells_what_was_run_lost_and_skipped(run):
    page = build_report(run, plugin_root() / "results" / "published.csv")
    for text in ("0.715 ± 0.013", "needs pairs &amp; more", "the loss is not finite", "0123456789ab"):
        assert text in page
    assert '<p class="caution">Phantoms.</p>' in page
    assert page.index('id="main"') < page.index('id="curves"') < page.index('id="published"')


def test_repairs_are_counted_by_case_and_left_out_where_there_are_none(run):
    assert "Repairs of the scans" not in build_report(run)
    entry = {"modality": "CT", "what": "label map: stored as <floats>", "detail": ""}
    for part, cases in (("train", {"a": [entry, entry], "b": [entry]}), ("test", {"c": [entry]})):
        write_json(cases, run / "data" / "toy" / "prepared" / part / "repairs.json")
    row = '<th scope="row">toy</th><td>label map: stored as &lt;floats&gt;</td><td>3</td>'
    assert row in build_report(run)


def test_page_is_written_without_manifest_and_figures(run, tmp_path):
    (run / "manifest.json").unlink()
    (run / "figures" / "captions.json").unlink()
    write_report(run, tmp_path / "report" / "index.html")
    assert "This run has no manifest." in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
