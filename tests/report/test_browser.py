"""The page in a browser: nothing is fetched, nothing fails, tables sort and filter, axe finds nothing."""

import pytest
from browsing import axe_violations, watched
from tidy import method_rows, toy_rows

from parallax.data.files import write_json
from parallax.figures.gallery import Gallery
from parallax.plugin import plugin_root
from parallax.report.build import write_report
from parallax.score.table import to_frame, write_parquet
from parallax.tables.layout import Context

HOSTILE = "<img src=x onerror=document.title='owned'>"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    rows = [*toy_rows(6), *method_rows("cmc", 0.75, cases=6), *method_rows(HOSTILE, 0.5, cases=6)]
    rows += method_rows(HOSTILE, 0.4, cases=6, misalignment="shifted", shift_mm=7.0)
    rows += method_rows("cmc", 0.7, cases=6, preset="released")
    frame = to_frame(rows)
    write_parquet(frame, run / "scores.parquet")
    write_json(
        {"run": "toy", "commit": "0123", "config": {"run": "toy", "notes": ["A note."]}},
        run / "manifest.json",
    )
    Gallery(run, frame, Context({})).save(run / "figures")
    write_report(run, run / "report" / "index.html", plugin_root() / "results" / "published.csv")
    return (run / "report" / "index.html").as_uri()


@pytest.fixture
def page(browser, address):
    """The page, opened; every complaint of the browser and every request fails the test."""
    with watched(browser, address, "html[data-ready=yes]") as (opened, asked):
        opened.wait_for_selector("#holds table[data-live=yes]")
        yield opened
    assert [url for url in asked if url != address and not url.startswith("data:")] == []


def names(page, table="#holds table"):
    return page.locator(f"{table} >> nth=0").locator("tbody th").all_inner_texts()


def test_a_click_sorts_by_number(page):
    header = page.locator("#holds table >> nth=0").locator("thead th", has_text="Dice").first
    for direction, last in (("ascending", "Oracle"), ("descending", "alpha")):
        header.click()
        page.wait_for_selector(f"#holds th[aria-sort={direction}]")
        assert len(names(page)) == 5
        assert names(page)[-1] == last


def test_the_filter_leaves_the_methods_that_are_asked_for(page):
    page.fill("#filter", "nnU")
    assert names(page) == ["nnU-Net"]
    page.fill("#filter", "")
    assert len(names(page)) > 2


def test_names_are_text_after_sorting_too(page):
    page.locator("#holds table >> nth=0").locator("thead th").first.click()
    page.wait_for_selector("#holds th[aria-sort=ascending]")
    assert HOSTILE in names(page)
    assert "owned" not in page.title()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(page, scheme):
    page.emulate_media(color_scheme=scheme)
    assert axe_violations(page) == ""


@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_is_as_wide_as_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_details_open_for_the_printer(page):
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0


def test_the_test_of_requests_can_fail(browser, tmp_path):
    (tmp_path / "page.html").write_text('<img src="https://example.invalid/x.png">', encoding="utf-8")
    opened, asked = browser.new_page(), []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto((tmp_path / "page.html").as_uri())
    assert "https://example.invalid/x.png" in asked
    opened.close()
