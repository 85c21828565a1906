"""How a reader's browser is set, and what is wrong with what it shows."""

from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])


def narrow(width: int) -> dict[str, int]:
    return {"width": width, "height": 700}


def watch(page: Page) -> list[str]:
    """Return a growing list of what goes wrong on ``page``.

    It holds requests to other machines, failed requests, console errors and uncaught
    exceptions.
    """
    troubles: list[str] = []

    def note(kind: str, text: object, wrong: bool = True) -> None:
        if wrong:
            troubles.append(f"{kind}: {text}")

    def is_outside(url: str) -> bool:
        return urlsplit(url).hostname not in (None, "127.0.0.1")

    page.on("request", lambda r: note("request outside", r.url, is_outside(r.url)))
    page.on("response", lambda r: note(str(r.status), r.url, r.status >= 400))
    page.on("console", lambda m: note("console", m.text, m.type == "error"))
    page.on("pageerror", lambda error: note("exception", error))
    return troubles


def set_theme(page: Page, theme: str) -> None:
    """Switch the page to ``light`` or ``dark``, as the reader's button would."""
    page.evaluate(
        """async theme => {
          Object.assign(document.documentElement.dataset, { mode: theme, theme });
          await Promise.allSettled(document.getAnimations().map(each => each.finished));
        }""",
        theme,
    )


def needed_width(page: Page) -> int:
    """Return the width in pixels below which the page scrolls sideways."""
    return page.evaluate("document.documentElement.scrollWidth")


def snapshot(figure: Locator) -> list:
    """Return what a live figure holds, what is set in its controls included."""
    return figure.locator(".live-root").evaluate(
        """root => [root.innerHTML, ...Array.from(
        root.querySelectorAll("input, select"), node => [node.value, node.checked])]"""
    )


def drawn_anew(figure: Locator) -> None:
    """Wait until a live figure has followed a new width of the page."""
    # The width is noticed in the first frame, and followed in the next.
    figure.evaluate(
        """() => new Promise(done => requestAnimationFrame(() =>
        requestAnimationFrame(() => requestAnimationFrame(done))))"""
    )


def text_heights(figure: Locator) -> list[float]:
    """Return the height in pixels of each text in a drawing."""
    return figure.locator("svg text").evaluate_all(
        "nodes => nodes.map(node => node.getBoundingClientRect().height)"
    )


def barriers(page: Page, part: str, rules: list[str] | None = None) -> list[str]:
    """Return what keeps people from using a part of the page, as far as axe sees it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    return page.evaluate(
        """async ([include, options]) => {
          const { violations } = await axe.run({ include }, options);
          return violations.flatMap(({ id, nodes }) =>
            nodes.map(({ html }) => `${id}: ${html}`));
        }""",
        [[part], options],
    )
