"""The viewer of cases in a browser: it reads its own folder alone, and draws what is chosen."""

import io
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from browsing import axe_violations, watched
from PIL import Image
from tidy_run import RUN, write_predictions, write_run, write_test_part

from parallax.data.files import write_json
from parallax.report.build import write_report
from parallax.report.viewer.build import write_viewer
from parallax.report.viewer.niivue import find_niivue
from parallax.score.runs import read_run_info, score_run
from parallax.score.table import read_table, to_frame, write_parquet
from parallax.tables.layout import Context

pytestmark = pytest.mark.skipif(
    find_niivue() is None, reason="NiiVue is not in this environment: install Node.js, then make viewer"
)
HOSTILE = "<script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def report(tmp_path_factory, two_modality_task):
    """A report with its viewer: two methods, MR moved, and the second method worse in case b."""
    run = write_run(tmp_path_factory.mktemp("run"), two_modality_task)
    data = run / "data" / "toy"
    write_test_part(data / "prepared" / "test", two_modality_task, moved=0)
    predicted = run / "runs/toy/shifted/f010-d0/cmc/paper-s0/predictions"
    write_predictions(predicted, {"CT": 1, "MR": 2}, ("a",))
    write_predictions(predicted, {"CT": 4, "MR": 5}, ("b",))
    info = read_run_info({**RUN, "method": "cmc"})
    rows = to_frame(score_run(data / "shifted" / "test", predicted, {"status": "ok"}, info))
    scores = pd.concat([read_table(run / "scores.parquet"), rows], ignore_index=True)
    write_parquet(scores, run / "scores.parquet")
    write_json({"run": "toy", "commit": "0123", "config": {"run": HOSTILE}}, run / "manifest.json")
    write_viewer(run, scores, Context({"cmc": HOSTILE}), HOSTILE, run / "report" / "viewer")
    write_report(run, run / "report" / "index.html")
    return run / "report"


@contextmanager
def opened(browser, report, fragment=""):
    """The viewer, when it has drawn; whatever it asks for lies in its own folder."""
    address = (report / "viewer" / "index.html").as_uri()
    with watched(browser, address + fragment, "html[data-shown]") as (page, asked):
        yield page
    own = address.removesuffix("index.html")
    assert [url for url in asked if not url.startswith((own, "data:", "blob:"))] == []


def change(page, act):
    """Do something to the page and wait until it has drawn anew."""
    before = page.evaluate("document.documentElement.dataset.shown")
    act()
    page.wait_for_function("before => document.documentElement.dataset.shown !== before", arg=before)


def captions(page):
    return page.locator("#grid figure:visible figcaption").all_inner_texts()


def colours(page, place=0):
    """How many pixels of a canvas are not grey."""
    shot = Image.open(io.BytesIO(page.locator("#grid canvas").nth(place).screenshot()))
    pixels = np.asarray(shot)[..., :3].astype(int)
    return int((np.ptp(pixels, axis=-1) > 40).sum())


def test_the_worst_case_of_the_chosen_prediction_comes_first(browser, report):
    with opened(browser, report, "#dataset=toy&first=cmc%3Apaper") as page:
        assert page.locator("#case option").all_inner_texts()[0].startswith("b · Dice 0.")
        assert page.locator("#case").input_value() == "b"
        assert captions(page)[0] == "CT · truth"
        assert captions(page)[1].startswith(f"CT · {HOSTILE} · Dice 0.")
        assert len(captions(page)) == 4
        assert page.title() == f"Parallax: cases of {HOSTILE}"


def test_truth_and_prediction_are_drawn_and_the_overlay_can_be_hidden(browser, report):
    with opened(browser, report) as page:
        assert all(colours(page, place) > 500 for place in range(4))
        change(page, lambda: (page.fill("#opacity", "0"), page.select_option("#case", "b")))
        assert colours(page) == 0


def test_a_second_prediction_gets_a_column(browser, report):
    with opened(browser, report) as page:
        change(page, lambda: page.select_option("#second", "cmc:paper"))
        assert [text.split(" · ")[0] for text in captions(page)] == ["CT"] * 3 + ["MR"] * 3
        change(page, lambda: page.select_option("#second", ""))
        assert len(captions(page)) == 4


def test_the_misalignment_is_a_number_and_can_be_taken_back(browser, report):
    with opened(browser, report) as page:
        assert (
            page.inner_text("#moved")
            == "MR moved by 4.0 mm (root mean square over the foreground), turned by 5.0°."
        )
        moved = page.locator("#grid canvas").nth(2).screenshot()
        change(page, lambda: page.uncheck("#applied"))
        assert page.inner_text("#moved").endswith("Shown as it was before.")
        assert page.locator("#grid canvas").nth(2).screenshot() != moved
        assert "Predicted from the moved image" in page.inner_text("#grid")
        change(page, lambda: page.check("#applied"))
        assert page.locator("#grid canvas").nth(2).screenshot() == moved


def test_a_click_in_one_picture_moves_the_cross_in_all(browser, report):
    with opened(browser, report) as page:
        before = [page.locator("#grid canvas").nth(place).screenshot() for place in range(4)]
        page.locator("#grid canvas").nth(0).click(position={"x": 120, "y": 90})
        page.wait_for_timeout(300)
        after = [page.locator("#grid canvas").nth(place).screenshot() for place in range(4)]
        assert all(old != new for old, new in zip(before, after, strict=True))


def test_a_row_of_the_report_leads_to_its_worst_case(browser, report):
    with watched(browser, (report / "index.html").as_uri(), "html[data-ready=yes]") as (page, _):
        page.locator("#main table a", has_text="CMC").first.click()
        page.wait_for_selector("html[data-shown]")
        assert page.locator("#first").input_value() == "cmc:paper"
        assert page.locator("#case").input_value() == "b"
        assert page.locator("#condition").input_value() == "10 % labels, shifted"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser, report, scheme):
    with opened(browser, report) as page:
        page.emulate_media(color_scheme=scheme)
        assert axe_violations(page) == ""


@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_is_as_wide_as_the_screen(browser, report, width):
    with opened(browser, report) as page:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
