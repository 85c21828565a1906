"""Widgets for a running kernel, each with a static version for pages without one."""

import html
from typing import Any

import ipywidgets as widgets
from torch import nn

from utils.decoding import generate
from utils.text import Vocab


class Explorer:
    """A widget whose output also holds HTML, which a page with no kernel shows."""

    def __init__(self, widget: widgets.Widget, fallback: str) -> None:
        self.widget = widget
        self.fallback = fallback

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        kind, model_id = type(self).__name__, self.widget.model_id
        view = {"version_major": 2, "version_minor": 0, "model_id": model_id}
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": self.fallback,
            "text/plain": f"{kind}: a widget that needs a running kernel",
        }


class WriteWithYourModel(Explorer):
    """*Write with your model*: choose a prefix, a length and a temperature, and read.

    Attributes:
        prefix, length, temperature, again: the controls.
        text: what the model wrote, or what is wrong with the prefix, as HTML.

    Raises:
        ValueError: ``prefix`` is empty or has characters that ``vocab`` lacks.
    """

    def __init__(
        self, model: nn.Module, vocab: Vocab, prefix: str, length: int = 200
    ) -> None:
        self._model, self._vocab, self._seed = model, vocab, 0
        shared = {"continuous_update": False, "style": {"description_width": "7em"}}
        self.prefix = widgets.Text(prefix, description="prefix", **shared)
        limits = {"min": 10, "max": 1000, "step": 10, "description": "length"}
        self.length = widgets.IntSlider(length, **limits, **shared)
        limits = {"min": 0.0, "max": 2.0, "step": 0.1, "description": "temperature"}
        self.temperature = widgets.FloatSlider(0.7, **limits, **shared)
        tooltip = "Draw another text with the same settings"
        self.again = widgets.Button(description="Write again", tooltip=tooltip)
        self.text = widgets.HTML()
        for control in (self.prefix, self.length, self.temperature):
            control.observe(self._update, names="value")
        self.again.on_click(self._write_again)
        rows = ""
        for t in (0.0, 0.7, 1.5):
            text = html.escape(generate(model, vocab, prefix, length, temperature=t))
            rows += f"<dt>temperature {t}</dt><dd>{text}</dd>"
        fallback = (
            '<div class="explorer-fallback"><p><strong>Write with your model.</strong> '
            "In a running notebook this is a panel with a prefix, a length and a "
            "temperature to choose. Three texts that it wrote from "
            f"<q>{html.escape(prefix)}</q>:</p><dl>{rows}</dl></div>"
        )
        controls = (self.prefix, self.length, self.temperature, self.again)
        controls = widgets.VBox(controls)
        super().__init__(widgets.VBox([controls, self.text]), fallback)
        self._update()

    def _update(self, _change: Any = None) -> None:
        try:
            written = generate(
                self._model,
                self._vocab,
                self.prefix.value,
                self.length.value,
                temperature=self.temperature.value,
                seed=self._seed,
            )
            self.text.value = f'<p style="line-height:1.5">{html.escape(written)}</p>'
        except ValueError as error:
            # An empty or unknown prefix: say so, and keep the panel alive.
            shown = html.escape(str(error))
            self.text.value = f'<p role="alert"><strong>{shown}</strong></p>'

    def _write_again(self, _button: Any) -> None:
        self._seed += 1
        self._update()
