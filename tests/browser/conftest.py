"""One browser and one server for all tests of the built book."""

import pytest

from tools import browser
from utils import live

SHELL = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Live figures</title>
<meta name="viewport" content="width=device-width"><style>html {{ color-scheme: light dark; background: Canvas; color: CanvasText }}
body {{ font-family: sans-serif; max-width: 45em; margin: 0.5em auto }}</style>
<script>addEventListener("error", event => console.error(event.message))</script><body><main>{}</main>"""


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


@pytest.fixture
def open_live(chromium, tmp_path):
    """A function that opens a page of nothing but live figures, each given as ``live.show`` takes it.

    It needs no built book. Whatever the page reports as an error fails the test.
    """
    opened = []

    def open_live(*figures, viewport=browser.DESKTOP, **options):
        shown = "".join(
            live.show(name, data, title=title, fallback="It starts so.").data
            for name, data, title in figures
        )
        path = tmp_path / f"live-{len(opened)}.html"
        path.write_text(SHELL.format(shown), encoding="utf-8")
        page = chromium.new_page(viewport=viewport, **options)
        opened.append((page, browser.watch(page, "file://")))
        page.goto(path.as_uri())
        return page

    yield open_live
    troubles = [trouble for _, found in opened for trouble in found]
    for page, _ in opened:
        page.close()
    assert troubles == []
