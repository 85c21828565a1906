"""One browser and one server for all tests of the built book."""

import pytest

from tools import browser


@pytest.fixture(scope="session")
def home():
    """The address of the built book."""
    if not (browser.SITE / "index.html").is_file():
        pytest.fail("the book is not built: run `make book` first")
    with browser.serve() as address:
        yield address


@pytest.fixture(scope="session")
def chromium():
    if browser.chromium_path() is None:
        pytest.skip(
            "no Chromium here and none could be installed: `make chromium` says why"
        )
    with browser.chromium() as running:
        yield running


@pytest.fixture
def open_page(home, chromium):
    """A function that opens a page of the book and returns it with the list of its troubles."""
    opened = []

    def open_page(name, viewport=browser.DESKTOP):
        page = chromium.new_page(viewport=viewport)
        opened.append(page)
        troubles = browser.watch(page, home)
        page.goto(f"{home}/{name}", wait_until="networkidle")
        return page, troubles

    yield open_page
    for page in opened:
        page.close()
