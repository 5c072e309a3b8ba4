"""One browser for all tests of pages."""

import pytest
from browsing import ARGUMENTS, CHROMIUM


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium; skips where there is none."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield made
        made.close()
