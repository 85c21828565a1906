"""Figures that answer back on any page: plain JavaScript, no kernel, no network.

Each figure is one file here, ``NAME.js``, that holds one function ``(root, data,
palette, dom) => {...}``. It fills ``root``, a ``<div>`` that holds the text fallback
until then; ``shared/dom.js`` is what it draws with.
"""

import hashlib
import html
import json
from pathlib import Path
from typing import Any

from IPython.display import HTML

from utils.palette import PALETTE

LIVE_DIR = Path(__file__).parent


def show(name: str, data: Any, *, title: str, fallback: str) -> HTML:
    """Return a live figure as the output of a cell, in the book, JupyterLab or Colab.

    Args:
        data: what the figure starts from; anything that JSON can hold.
        title: the figure's name, its accessible label too.
        fallback: what the figure would say, in a sentence or two with the numbers at
            the start; shown where scripts do not run.

    Raises:
        ValueError: there is no such figure, or ``data`` has NaN or infinite numbers.
        TypeError: JSON cannot hold ``data``.
    """
    path = LIVE_DIR / f"{name}.js"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in LIVE_DIR.glob("*.js")))
        raise ValueError(f"no live figure is called {name!r}; expected one of {known}.")
    payload = json.dumps(data, ensure_ascii=False, allow_nan=False, sort_keys=True)
    payload = payload.replace("<", "\\u003c")
    digest = hashlib.sha256((payload + title).encode()).hexdigest()[:8]
    identity = f"live-{name}-{digest}"
    style = (LIVE_DIR / "live.css").read_text(encoding="utf-8")
    return HTML(
        f'<figure class="live" id="{identity}" aria-label="{html.escape(title)}">'
        f"<style>{style}</style>"
        f"<figcaption><strong>{html.escape(title)}</strong></figcaption>"
        f'<div class="live-root"><p>{html.escape(fallback)}</p></div>'
        "</figure>"
        "<script>(() => {\n"
        f"const root = document.querySelector('#{identity}"
        ":not([data-ready]) .live-root');\n"
        "if (!root) return;\n"
        f"root.parentElement.dataset.ready = 'true';\n"
        f"const draw = {_script(name)};\n"
        f"const dom = {_script('shared/dom')};\n"
        f"draw(root, {payload}, {json.dumps(PALETTE)}, dom);\n"
        "})();</script>"
    )


def _script(name: str) -> str:
    """Return the expression that a file holds."""
    source = (LIVE_DIR / f"{name}.js").read_text(encoding="utf-8")
    return source.strip().removesuffix(";")
