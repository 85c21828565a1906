"""Every page of the built book, as a reader's browser sees it."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tools import browser

pytestmark = pytest.mark.browser

PAGES = sorted(
    str(path.relative_to(browser.SITE))
    for path in browser.SITE.rglob("*.html")
    if "_static" not in path.parts
)
CHAPTERS = [page for page in PAGES if page.startswith("chapters/")]


def test_the_book_has_its_pages():
    assert {"index.html", "chapters/01_sequences.html", "chapters/02_rnn.html"} <= set(
        PAGES
    )
    assert {"book/setup.html", "book/glossary.html", "book/notation.html"} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_nobody_else_and_reports_no_error(open_page, name):
    page, troubles = open_page(name)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(300)
    assert troubles == []


def test_the_watch_sees_a_request_outside(open_page):
    page, troubles = open_page("index.html")
    page.evaluate("fetch('https://example.org/').catch(() => {})")
    page.wait_for_timeout(300)
    assert any(
        "request outside: https://example.org/" in trouble for trouble in troubles
    )


@pytest.mark.parametrize("name", PAGES)
def test_math_is_rendered(open_page, name):
    page, _ = open_page(name)
    if page.locator(".math").count() == 0:
        return
    page.wait_for_selector("mjx-container")
    assert page.locator("mjx-container").count() >= page.locator(".math").count()
    assert page.locator("mjx-merror").count() == 0


@pytest.mark.parametrize("name", PAGES)
def test_every_image_has_a_description_and_loads(open_page, name):
    page, _ = open_page(name)
    images = page.locator("img").evaluate_all(
        "nodes => nodes.map(node => [node.src, node.alt, node.naturalWidth])"
    )
    assert [src for src, alt, width in images if not alt.strip() or width == 0] == []
    drawings = page.locator("figure.diagram svg").evaluate_all(
        "nodes => nodes.map(node => (node.querySelector('title') || {}).textContent || '')"
    )
    assert all(len(title) > 10 for title in drawings)


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_never_scrolls_sideways(open_page, name):
    page, _ = open_page(name, browser.PHONE)
    page.wait_for_timeout(300)
    assert (
        page.evaluate("document.documentElement.scrollWidth") <= browser.PHONE["width"]
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["book/index.html", *CHAPTERS])
def test_text_can_be_read_in_both_themes(open_page, name, theme):
    page, _ = open_page(name)
    browser.set_theme(page, theme)
    page.wait_for_timeout(300)
    lightness = page.evaluate(
        "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    )
    assert (lightness < 60) == (theme == "dark")
    options = {"runOnly": ["color-contrast", "image-alt", "svg-img-alt", "label"]}
    context = {"include": [["article.bd-article"]]}
    found = Axe().run(page, context=context, options=options).response["violations"]
    # Syntax colors in code cells are the theme's own; all else is ours to answer for.
    faults = [
        node["html"][:120]
        for violation in found
        for node in violation["nodes"]
        if 'class="highlight' not in node["html"]
        and ".highlight" not in str(node["target"])
    ]
    assert faults == []


def test_no_page_has_a_dead_widget(open_page):
    page, _ = open_page("chapters/02_rnn.html")
    assert page.locator(".explorer-fallback dd").count() == 3
    assert page.locator(".widget-area, .jupyter-widgets, .widget-subarea").count() == 0


def test_a_chapter_opens_in_colab(open_page):
    page, _ = open_page("chapters/01_sequences.html")
    links = page.locator("a[href*='colab.research.google.com']").evaluate_all(
        "nodes => nodes.map(node => node.href)"
    )
    assert links
    assert all(
        link.endswith("/blob/main/chapters/01_sequences.ipynb") for link in links
    )


@pytest.mark.parametrize("name", ["index.html", *CHAPTERS])
def test_the_book_opens_from_the_disk(chromium, name):
    page = chromium.new_page()
    troubles = browser.watch(page, "file://")
    page.goto((browser.SITE / name).as_uri(), wait_until="networkidle")
    assert page.locator("article h1").first.is_visible()
    assert troubles == []
    page.close()
