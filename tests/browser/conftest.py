"""One browser and one server for all tests of pages and of live figures."""

import pytest

from tests.browser.figures import EXAMPLES
from tests.browser.reader import DESKTOP, watch
from tools import browser
from utils import live

# Text and ground as in the book. The script sees what must never reach a reader.
SHELL = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Live figures</title>
<style>
html {{ color-scheme: light dark; background: light-dark(#fff, #14181e) }}
body {{ font-family: sans-serif; max-width: 45em; margin: 0.5em auto;
  color: light-dark(#222832, #ced6dd) }}
</style>
<script>
new MutationObserver(() => {{
  for (const {{ innerHTML }} of document.querySelectorAll(".live-root")) {{
    const wrong = innerHTML.match(/(NaN|undefined|Infinity).{{0,60}}/);
    if (wrong) console.error(`shown: ${{wrong[0]}}`);
  }}
}}).observe(document, {{
  subtree: true, childList: true, characterData: true, attributes: true
}});
</script><body><main>{}</main><a href="#">after</a>"""


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
        pytest.skip("no Chromium, and no way to install it: `make chromium` says why")
    with browser.chromium() as running:
        yield running


@pytest.fixture(scope="session")
def open_address(chromium):
    """A function that opens an address; it returns the page and a list of its troubles.

    There is one page for each set of options. Opening something in it clears the list.
    """
    pages = {}

    def open_address(address, size=DESKTOP, **options):
        key = tuple(options.items())
        if key not in pages:
            page = chromium.new_page(**options)
            pages[key] = page, watch(page)
        page, troubles = pages[key]
        page.mouse.move(0, 0)
        page.set_viewport_size(size)
        troubles.clear()
        page.goto(address)
        return page, troubles

    return open_address


@pytest.fixture
def open_page(home, open_address):
    """A function that opens a page of the book, as ``open_address`` does."""

    def open_page(name, size=DESKTOP, **options):
        return open_address(f"{home}/{name}", size, **options)

    return open_page


@pytest.fixture
def open_live(open_address, tmp_path):
    """A function that opens a page of nothing but live figures, without the book.

    Each is given as ``live.show`` takes it: name, data and title.
    """

    def open_live(*figures, size=DESKTOP, **options):
        shown = [
            live.show(name, data, title=title, fallback="It starts so.").data
            for name, data, title in figures
        ]
        path = tmp_path / "live.html"
        path.write_text(SHELL.format("".join(shown)), encoding="utf-8")
        return open_address(path.as_uri(), size, **options)

    return open_live


@pytest.fixture
def show(open_live, request):
    """A function that shows one live figure: that of the test's file, with its example.

    Whatever the page reports as an error fails the test.
    """
    own = request.path.stem.removeprefix("test_live_")
    opened = []

    def assert_well():
        for page, troubles in opened:
            page.evaluate("0")  # by now all that it had to report has arrived
            assert troubles == []

    def show(data=None, size=DESKTOP, name=own, **options):
        assert_well()
        if data is None:
            data = next(each.data for each in EXAMPLES if each.name == name)
        opened.append(open_live((name, data, "A figure"), size=size, **options))
        return opened[-1][0].locator("figure.live")

    yield show
    assert_well()
