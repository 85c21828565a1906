"""Figures in one style: the book's palette, readable on light and on dark pages."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from cycler import cycler
from IPython.display import HTML
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.image import AxesImage
from torch import Tensor

from utils.history import History
from utils.palette import PALETTE

BLANKS = {" ": "␣", "\n": "↵"}  # how they are shown in a text
FIGURES_DIR = Path(__file__).parent.parent / "book" / "figures"


def use_style() -> None:
    """Set matplotlib's defaults: transparent ground, gray ink, Okabe-Ito colors."""
    ink = PALETTE["ink"]
    colors = [PALETTE[name] for name in ("lstm", "rnn", "gru", "alarm", "accent")]
    plt.rc(("figure", "savefig", "axes"), facecolor="none")
    plt.rc("figure", figsize=(6, 3.4), dpi=110)
    plt.rc("figure.constrained_layout", use=True)
    plt.rc("axes", edgecolor=ink, labelcolor=ink, titlecolor=ink, titlesize="medium")
    plt.rc("axes", grid=True, prop_cycle=cycler(color=colors))
    plt.rc("axes.spines", top=False, right=False)
    plt.rc(("grid", "text", "xtick", "ytick"), color=ink)
    plt.rc("grid", alpha=0.25)
    plt.rc("legend", frameon=False)
    plt.rc("font", size=11)


def learning_curves(histories: Mapping[str, History]) -> plt.Axes:
    """Draw training runs: training perplexity (thin lines) and held-out perplexity.

    Each point of a thin line is the mean of 50 updates. A name that begins with RNN,
    GRU or LSTM gets its network's color.
    """
    _, ax = plt.subplots()
    colors = _colors(histories)
    for name, history in histories.items():
        chunks = torch.tensor(history.losses).split(50)
        ends = torch.tensor([len(chunk) for chunk in chunks]).cumsum(0)
        means = [chunk.mean().exp().item() for chunk in chunks]
        color = colors[name]
        ax.plot(ends, means, linewidth=1, color=color, label=f"{name}, training")
        steps, scores = history.valid_steps, history.valid_scores
        ax.plot(steps, scores, "o--", color=color, label=f"{name}, held out")
    ax.set(xlabel="update", ylabel="perplexity")
    ax.legend()
    return ax


def score_curves(
    histories: Mapping[str, History], baseline: float, ylabel: str
) -> plt.Axes:
    """Draw the scores of training runs on a logarithmic scale, and a dotted baseline.

    Names that begin with RNN, GRU or LSTM, and no others, get their network's color.
    Runs whose names differ in a last ", seed N" only share their color and their place
    in the legend.
    """
    _, ax = plt.subplots(figsize=(6, 3))
    groups: dict[str, list[History]] = {}
    for name, history in histories.items():
        groups.setdefault(re.sub(r", seed \d+$", "", name), []).append(history)
    colors = _colors(groups)
    for name, runs in groups.items():
        for index, run in enumerate(runs):
            label = name if index == 0 else None
            ax.plot(run.valid_steps, run.valid_scores, color=colors[name], label=label)
    ax.axhline(baseline, color=PALETTE["baseline"], linestyle=":", label="no memory")
    ax.set(xlabel="update", ylabel=ylabel, yscale="log")
    ax.legend()
    return ax


def lag_curves(
    curves: Mapping[str, Sequence[float] | Tensor], ax: plt.Axes | None = None
) -> plt.Axes:
    """Draw gradient norms against the lag, 0, 1, 2 ... steps back, logarithmically.

    Names that begin with RNN, GRU or LSTM, and no others, get their network's color.
    What vanishes altogether (0) or is no longer a number leaves a gap.
    """
    ax = ax or plt.subplots(figsize=(6, 3))[1]
    colors = _colors(curves)
    for name, curve in curves.items():
        ax.plot([float(norm) for norm in curve], label=name, color=colors[name])
    ax.axhline(1, color=PALETTE["baseline"], linewidth=1, linestyle=":")
    ax.set(xlabel="lag in steps", ylabel="gradient, relative to lag 0")
    ax.set_yscale("log", nonpositive="mask")
    ax.legend()
    return ax


def gate_map(characters: str, gates: Mapping[str, Tensor]) -> plt.Figure:
    """Draw gates as heat maps over a text, one below the other: a column a character.

    Args:
        gates: by name, tensors ``(len(characters), num_hiddens)`` of values from 0
            (clear) to 1 (full color). The units are sorted by their mean, the highest
            on top.

    Raises:
        ValueError: a tensor has another shape, or values outside 0 .. 1.
    """
    for name, values in gates.items():
        _require_gates(name, values, len(characters))
    figure, axes = plt.subplots(
        len(gates), 1, figsize=(7, 0.4 + 1.7 * len(gates)), sharex=True, squeeze=False
    )
    for (name, values), ax in zip(gates.items(), axes[:, 0], strict=True):
        ordered = values[:, values.mean(0).argsort(descending=True)]
        image = _heat_map(ax, ordered.t(), interpolation="nearest")
        ax.set(ylabel="unit", title=name, yticks=[])
    shown = [BLANKS.get(c, c) for c in characters]
    axes[-1, 0].set_xticks(range(len(characters)), shown)
    axes[-1, 0].tick_params(axis="x", labelsize=8, length=0)
    figure.colorbar(image, ax=axes, label="0: closed, 1: open", fraction=0.03)
    return figure


def alignment_map(source: str, output: str, weights: Tensor) -> plt.Axes:
    """Draw attention weights as a heat map.

    There is a row for each character of ``output``, a column for each of ``source``.

    Args:
        weights: ``(len(output), len(source))``, from 0 (clear) to 1 (full color).

    Raises:
        ValueError: ``weights`` has another shape, or values outside 0 .. 1.
    """
    if weights.shape != (len(output), len(source)):
        raise ValueError(
            f"weights have shape {tuple(weights.shape)}; expected "
            f"{(len(output), len(source))}, a row for each character of the output and "
            "a column for each of the source."
        )
    _require_gates("weights", weights, len(output))
    _, ax = plt.subplots(figsize=(7.5, 2.8))
    _heat_map(ax, weights)
    ax.set(xlabel="read", ylabel="written")
    ax.set_xticks(range(len(source)), [BLANKS.get(c, c) for c in source], fontsize=7)
    ax.set_yticks(range(len(output)), list(output), fontsize=8)
    ax.tick_params(length=0)
    return ax


def _heat_map(ax: plt.Axes, values: Tensor, **options: Any) -> AxesImage:
    """Draw ``values``, from 0 (clear) to 1 (full color), a row below the other."""
    shades = [PALETTE["gru"] + alpha for alpha in ("00", "ff")]
    options |= {"cmap": LinearSegmentedColormap.from_list("gru", shades)}
    ax.grid(visible=False)
    values = values.detach().cpu().numpy()
    return ax.imshow(values, vmin=0, vmax=1, aspect="auto", **options)


def _require_gates(name: str, values: Tensor, num_steps: int) -> None:
    if values.dim() != 2 or len(values) != num_steps or values.numel() == 0:
        raise ValueError(
            f"{name} has shape {tuple(values.shape)}; expected ({num_steps}, "
            f"num_hiddens), a row for each of the {num_steps} characters."
        )
    low, high = values.min().item(), values.max().item()
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"{name} has values from {low:.3g} to {high:.3g}; expected 0 to 1, as a "
            "sigmoid returns them."
        )


def _colors(names: Iterable[str]) -> dict[str, str]:
    """Return a color for each name: a network's own, others' is no network's."""
    others = cycle(PALETTE[key] for key in ("accent", "alarm", "ink"))
    colors: dict[str, str] = {}
    for name in names:
        network = re.match("rnn|gru|lstm", name.lower())
        if name not in colors:
            colors[name] = PALETTE[network.group()] if network else next(others)
    return colors


def ladder(
    scores: Mapping[str, float], colors: Mapping[str, str] | None = None
) -> plt.Axes:
    """Draw named perplexities as horizontal bars on a logarithmic scale, worst on top.

    ``colors`` gives some names a color of the palette; the others are baselines.
    """
    ranked = sorted(scores.items(), key=lambda item: item[1])
    _, ax = plt.subplots(figsize=(7, 0.34 * len(ranked) + 0.8))
    names, values = zip(*ranked, strict=True)
    shades = [PALETTE[(colors or {}).get(name, "baseline")] for name in names]
    bars = ax.barh(names, values, color=shades)
    ax.bar_label(bars, fmt="%.2f", padding=4)
    ax.set(xscale="log", xlim=(1, max(values) * 1.4))
    ax.set(xlabel="held-out perplexity (lower is better)")
    ticks = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100, 200, 500, 1000)
    ticks = [tick for tick in ticks if tick <= max(values)]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    ax.grid(axis="y", visible=False)
    return ax


def text_heatmap(characters: str, values: Sequence[float], label: str) -> HTML:
    """Show ``characters`` on a ground that says how far each value, -1 .. 1, is from 0.

    Blue is positive, orange negative; the value itself is in each character's tooltip.

    Raises:
        ValueError: there is not one value for each character.
    """
    if len(characters) != len(values):
        raise ValueError(
            f"{len(characters)} characters but {len(values)} values; expected one "
            "value a character."
        )
    spans = []
    for character, value in zip(characters, values, strict=True):
        color = PALETTE["lstm"] if value > 0 else PALETTE["rnn"]
        alpha = round(min(abs(float(value)), 1) * 150)
        shown = BLANKS.get(character, html.escape(character))
        faded = ' class="space"' if character in BLANKS else ""
        spans.append(
            f'<span{faded} style="background:{color}{alpha:02x}" '
            f'title="{value:+.2f}">{shown}</span>'
        )
    return HTML(
        '<figure class="text-heatmap" style="margin:1em 0">'
        "<style>.text-heatmap p{font-family:monospace;line-height:1.7;"
        "overflow-wrap:anywhere;margin:0}"
        ".text-heatmap .space{color:#8c8c8c99}</style>"
        f"<p>{''.join(spans)}</p><figcaption>{html.escape(label)}</figcaption></figure>"
    )


def diagram(name: str) -> HTML:
    """Show a drawing of the book, ``book/figures/NAME.svg``, with text as text.

    Raises:
        ValueError: there is no drawing of that name.
    """
    path = FIGURES_DIR / f"{name}.svg"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FIGURES_DIR.glob("*.svg")))
        raise ValueError(f"no drawing is called {name!r}; expected one of {known}.")
    drawing = path.read_text(encoding="utf-8")
    return HTML(f'<figure class="diagram">{drawing}</figure>')
