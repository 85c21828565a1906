"""Figures in one style: the book's palette, readable on light and on dark pages."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from cycler import cycler
from IPython.display import HTML

from utils.runs import History

PALETTE: dict[str, str] = json.loads(
    (Path(__file__).parent / "palette.json").read_text(encoding="utf-8")
)
FIGURES_DIR = Path(__file__).parent.parent / "book" / "figures"


def use_style() -> None:
    """Set matplotlib's defaults to the book's: transparent ground, mid-gray ink, Okabe-Ito colors."""
    ink = PALETTE["ink"]
    plt.rcParams.update(
        {
            "figure.figsize": (6, 3.4),
            "figure.dpi": 110,
            "figure.facecolor": "none",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "none",
            "axes.facecolor": "none",
            "axes.edgecolor": ink,
            "axes.labelcolor": ink,
            "axes.titlecolor": ink,
            "axes.titlesize": "medium",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": ink,
            "grid.alpha": 0.25,
            "axes.prop_cycle": cycler(
                color=[PALETTE[k] for k in ("lstm", "rnn", "gru", "alarm", "accent")]
            ),
            "text.color": ink,
            "xtick.color": ink,
            "ytick.color": ink,
            "legend.frameon": False,
            "font.size": 11,
        }
    )


def learning_curves(
    histories: Mapping[str, History], ax: plt.Axes | None = None
) -> plt.Axes:
    """Draw one or more training runs; a name that begins with RNN, GRU or LSTM gets its network's color."""
    ax = ax or plt.subplots()[1]
    for name, history in histories.items():
        history.plot(ax, label=name, color=_network_color(name))
    return ax


def _network_color(name: str) -> str | None:
    """Return the color of the network that ``name`` begins with, or None."""
    for network in ("rnn", "gru", "lstm"):
        if name.lower().startswith(network):
            return PALETTE[network]
    return None


def ladder(
    scores: Mapping[str, float], colors: Mapping[str, str] | None = None
) -> plt.Axes:
    """Draw named perplexities as horizontal bars, worst on top, on a logarithmic scale that starts at 1.

    ``colors`` gives some names a color of the palette; the others are baselines.
    """
    ranked = sorted(scores.items(), key=lambda item: item[1])
    _, ax = plt.subplots(figsize=(7, 0.34 * len(ranked) + 0.8))
    names, values = zip(*ranked, strict=True)
    bars = ax.barh(
        names,
        values,
        color=[PALETTE[(colors or {}).get(name, "baseline")] for name in names],
    )
    ax.bar_label(bars, fmt="%.2f", padding=4)
    ax.set(
        xscale="log",
        xlim=(1, max(values) * 1.4),
        xlabel="held-out perplexity (lower is better)",
    )
    ticks = [
        tick
        for tick in (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100, 200, 500, 1000)
        if tick <= max(values)
    ]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.grid(axis="y", visible=False)
    return ax


def text_heatmap(characters: str, values: Sequence[float], label: str) -> HTML:
    """Show ``characters`` with a background that says how far each value is from 0, in -1 .. 1.

    Blue is positive, orange negative; the value itself is in each character's tooltip.

    Raises:
        ValueError: there is not one value for each character.
    """
    if len(characters) != len(values):
        raise ValueError(
            f"{len(characters)} characters but {len(values)} values; expected one value a character."
        )
    spans = []
    for character, value in zip(characters, values, strict=True):
        color = PALETTE["lstm"] if value > 0 else PALETTE["rnn"]
        alpha = round(min(abs(float(value)), 1) * 150)
        shown = "␣" if character == " " else html.escape(character)
        faded = ' class="space"' if character == " " else ""
        spans.append(
            f'<span{faded} style="background:{color}{alpha:02x}" title="{value:+.2f}">{shown}</span>'
        )
    return HTML(
        '<figure class="text-heatmap" style="margin:1em 0">'
        "<style>.text-heatmap p{font-family:monospace;line-height:1.7;overflow-wrap:anywhere;margin:0}"
        ".text-heatmap .space{color:#8c8c8c99}</style>"
        f"<p>{''.join(spans)}</p><figcaption>{html.escape(label)}</figcaption></figure>"
    )


def diagram(name: str) -> HTML:
    """Show one of the book's own drawings, ``book/figures/NAME.svg``, inline: text as text, colors of the page.

    Raises:
        ValueError: there is no drawing of that name.
    """
    path = FIGURES_DIR / f"{name}.svg"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FIGURES_DIR.glob("*.svg")))
        raise ValueError(f"no drawing is called {name!r}; expected one of {known}.")
    return HTML(f'<figure class="diagram">{path.read_text(encoding="utf-8")}</figure>')
