"""What Sphinx is taught: drawings, assignments, and to ask no other site."""

import html
import importlib.util
import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tools import assignments

# The module's name has hyphens, so it cannot be imported with a statement.
MATHJAX_PACKAGE = "sphinx-mathjax-offline"
MATHJAX_PARTS = ("tex-chtml.js", "output/chtml", "input", "ui", "a11y", "sre")


class Diagram(SphinxDirective):
    """``{diagram} NAME`` puts a drawing inline, so that it takes the page's colors."""

    required_arguments = 1
    option_spec = {"alt": directives.unchanged_required}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir) / "book" / "figures" / f"{self.arguments[0]}.svg"
        if not path.is_file():
            raise self.error(f"no drawing at {path}")
        self.env.note_dependency(str(path))
        svg = path.read_text(encoding="utf-8")
        label = html.escape(self.options["alt"])
        return [
            nodes.raw(
                "",
                f'<figure class="diagram" aria-label="{label}">{svg}</figure>',
                format="html",
            )
        ]


def use_local_mathjax(app: Sphinx, _config: Any) -> None:
    """Point the pages to the MathJax that :func:`copy_mathjax` puts beside them."""
    app.config.mathjax_path = "mathjax/tex-chtml.js"


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Copy the parts of MathJax that the pages use into the site."""
    if error or app.builder.format != "html":
        return
    package = Path(importlib.util.find_spec(MATHJAX_PACKAGE).origin).parent
    source, target = (
        package / "static" / "mathjax",
        Path(app.outdir) / "_static" / "mathjax",
    )
    for part in MATHJAX_PARTS:
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / part, target / part)


def drop_outside_scripts(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: Any
) -> None:
    """Leave out thebe, which loads from elsewhere, and inline scripts there twice."""
    kept, bodies = [], set()
    for script in context.get("script_files", []):
        attributes = getattr(script, "attributes", {})
        body = attributes.get("body") or ""
        if "thebe" in f"{getattr(script, 'filename', script)}{body}":
            continue
        if body and body in bodies:
            continue
        bodies.add(body)
        kept.append(script)
    context["script_files"] = kept


def show_assignment(_app: Sphinx, page: str, source: list[str]) -> None:
    """Show the source of an assignment as a page with folded solutions."""
    name = assignment_of(page)
    if name:
        source[0] = assignments.as_page(source[0], name)


def open_student_version(
    _app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: Any
) -> None:
    """Let an assignment's Colab button open the notebook without solutions."""
    name = assignment_of(page)
    for group in context.get("header_buttons", []) if name else []:
        for button in group.get("buttons", []):
            if "colab.research.google.com" in button.get("url", ""):
                button["url"] = assignments.colab_url(name)


def assignment_of(page: str) -> str | None:
    """Return the name of the assignment that ``page`` shows, or None."""
    match = re.fullmatch(r"chapters/exercises/(\w+)/\1", page)
    return match and match.group(1)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_directive("diagram", Diagram)
    app.connect("config-inited", use_local_mathjax)
    app.connect("html-page-context", drop_outside_scripts, priority=900)
    app.connect("source-read", show_assignment)
    app.connect("html-page-context", open_student_version, priority=900)
    app.connect("build-finished", copy_mathjax)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
