"""Every page of the built book, as a reader's browser sees it."""

import re
import socket
import threading
from urllib.parse import urlsplit

import pytest

from tests.browser import reader
from tests.browser.figures import EXAMPLES
from tools import browser

pytestmark = pytest.mark.browser

PAGES = sorted(
    str(path.relative_to(browser.SITE))
    for path in browser.SITE.rglob("*.html")
    if "_static" not in path.parts and path != browser.SITE / "index.html"
)
CHAPTERS = [page for page in PAGES if page.startswith("chapters/")]
# Not judged by their contrast: the colors of code, which are the theme's own, and all
# but the first rows of a table, which stand for the rest.
UNSEEN = ".highlight, tbody tr:nth-child(n + 5)"
FORMULAS_DONE = "async () => { await window.MathJax?.startup?.promise; }"
FAULTS = """() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const missing = all(".math").length - all("mjx-container").length;
  return [
    ...(missing > 0 ? [`${missing} formulas are not rendered`] : []),
    ...all("mjx-merror").map(node => `formula: ${node.textContent}`),
    ...all("img").filter(({ alt }) => !alt.trim()).map(({ src }) => `no words: ${src}`),
    ...all("img").filter(node => !node.naturalWidth).map(({ src }) => `empty: ${src}`),
    ...all("figure.diagram svg").map(node => node.querySelector("title")?.textContent)
      .filter(title => !(title?.length > 10)).map(title => `drawing: ${title}`),
    ...all(".widget-area, .jupyter-widgets, .widget-subarea").map(() => "dead widget"),
  ];
}"""


def faults_of(page, name):
    """Return what is wrong with a page, opened on a phone and then made larger."""
    faults = []
    page.evaluate(FORMULAS_DONE)
    if (width := reader.needed_width(page)) > reader.PHONE["width"]:
        faults.append(f"a phone scrolls sideways: {width}")
    page.set_viewport_size(reader.DESKTOP)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_load_state("networkidle")
    faults += page.evaluate(FAULTS)
    if name in ("book/index.html", *CHAPTERS):
        page.evaluate(f"document.querySelectorAll('{UNSEEN}').forEach(n => n.remove())")
        for theme in ("light", "dark"):
            reader.set_theme(page, theme)
            color = page.evaluate("getComputedStyle(document.body).backgroundColor")
            if (int(re.search(r"\d+", color).group()) < 60) != (theme == "dark"):
                faults.append(f"the background of the {theme} theme is {color}")
            rules = ["color-contrast", "image-alt", "svg-img-alt", "label"]
            faults += reader.barriers(page, "article.bd-article", rules)
    return faults


def test_the_book_has_its_pages():
    expected = {"book/index.html", "book/setup.html", "book/glossary.html"}
    expected |= {"book/notation.html", "chapters/01_sequences.html"}
    assert expected <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_fault(open_page, name):
    page, troubles = open_page(name, reader.PHONE)
    assert faults_of(page, name) + troubles == []


def test_each_fault_would_be_seen(open_page):
    page, troubles = open_page("chapters/01_sequences.html", reader.PHONE)
    page.evaluate(
        """async () => {
          document.querySelector("article").insertAdjacentHTML("beforeend", `
            <p style="width: 500px">wide</p> <p style="color: #888a">pale</p>
            <span class="math">x</span> <mjx-merror>y</mjx-merror> <img src="data:,">
            <figure class="diagram"><svg></svg></figure> <i class="widget-area"></i>`);
          await fetch("https://example.org/").catch(() => {});
        }"""
    )
    found = faults_of(page, "chapters/01_sequences.html") + troubles
    for fault in [
        "a phone scrolls sideways: 5",
        "1 formulas are not rendered",
        "formula: y",
        "no words: data:,",
        "empty: data:,",
        "drawing: undefined",
        "dead widget",
        "color-contrast: <p style",
        "request outside: https://example.org/",
        "console: ",
    ]:
        assert [each for each in found if each.startswith(fault)], (fault, found)


def test_a_stored_explorer_shows_what_it_would_write(open_page):
    page, _ = open_page("chapters/02_rnn.html")
    assert page.locator(".explorer-fallback dd").count() == 3


def test_a_chapter_opens_in_colab(open_page):
    page, _ = open_page("chapters/01_sequences.html")
    links = page.locator("a[href*='colab.research.google.com']").evaluate_all(
        "nodes => nodes.map(node => node.href)"
    )
    assert links
    for link in links:
        assert link.endswith("/blob/main/chapters/01_sequences.ipynb")


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_and_its_live_figures_work_from_the_disk(open_address, name):
    page, troubles = open_address((browser.SITE / name).as_uri())
    page.evaluate(FORMULAS_DONE)
    assert page.locator("article h1").first.is_visible()
    operate = {example.name: example.operate for example in EXAMPLES}
    for figure in page.locator("figure.live").all():
        before = reader.snapshot(figure)
        for _ in operate[figure.get_attribute("id").split("-")[1]](figure):
            pass
        assert reader.snapshot(figure) != before
    assert troubles == []


def test_without_scripts_a_live_figure_gives_its_numbers():
    html = "".join((browser.SITE / name).read_text("utf-8") for name in CHAPTERS)
    texts = re.findall(r'class="live-root"><p>([^<]*)<', html)
    assert texts
    assert [text for text in texts if not re.search(r"\d", text)] == []


def test_the_address_of_the_book_leads_to_its_first_page(open_address, home):
    for address in (f"{home}/", (browser.SITE / "index.html").as_uri()):
        page, troubles = open_address(address)
        page.wait_for_url("**/book/index.html")
        assert page.locator("article h1").first.is_visible()
        assert troubles == []


def test_a_reader_who_leaves_early_is_no_trouble(tmp_path, capfd):
    (tmp_path / "large").write_bytes(bytes(10**7))
    before = set(threading.enumerate())
    with browser.serve(tmp_path) as address:
        place = ("127.0.0.1", urlsplit(address).port)
        with socket.create_connection(place) as guest:
            guest.sendall(b"GET /large HTTP/1.0\r\n\r\n")
            guest.recv(1)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert capfd.readouterr().err == ""
