"""The built book in a headless Chromium that may talk to nobody else."""

import contextlib
import functools
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tools.notebook import ROOT

SITE = ROOT / "_build" / "html"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def chromium_path() -> str | None:
    """Return the path of an installed Chromium or Chrome, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


class _QuietHandler(SimpleHTTPRequestHandler):
    def handle(self) -> None:
        # A reader may go to the next page before all of this one has arrived.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        # Browsers ask every server for it; the book's pages name their own icon.
        if self.path == "/favicon.ico":
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(folder: Path = SITE) -> Iterator[str]:
    """Serve ``folder`` on this machine; yield its address."""
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser; yield it.

    Raises:
        FileNotFoundError: no Chromium is installed.
    """
    path = chromium_path()
    if path is None:
        raise FileNotFoundError("no Chromium found; install Debian's package chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def screenshot(target: Path = ROOT / "book" / "figures" / "screenshot.png") -> Path:
    """Photograph chapter 1 with its live figure, for the README."""
    with serve() as home, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(f"{home}/chapters/01_sequences.html")
        page.locator("figure.live").evaluate(
            "node => node.scrollIntoView({block: 'center'})"
        )
        page.wait_for_timeout(500)
        page.screenshot(path=target)
    return target
