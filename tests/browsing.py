"""A headless Chromium for the tests of pages."""

import shutil
from contextlib import contextmanager

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# No sandbox: CI runs as root in a container, and the pages are our own. SwiftShader: WebGL without a GPU.
ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@contextmanager
def watched(browser, address, ready):
    """A page, opened, and the list of what it asks for; every complaint of the browser fails the test."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    told, asked = [], []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector(ready)
    yield page, asked
    page.close()
    assert told == []


def axe_violations(page):
    """What axe finds against a page, as text; the test puts it in, past the policy of the page."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page)
    return found.generate_report() if found.violations_count else ""
