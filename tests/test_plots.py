import math
from copy import copy

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from utils import plots
from utils.history import History
from utils.palette import PALETTE
from utils.plots import (
    alignment_map,
    diagram,
    gate_map,
    ladder,
    lag_curves,
    learning_curves,
    score_curves,
    text_heatmap,
    use_style,
)


@pytest.fixture(autouse=True)
def own_style():
    """Leave no figure and no setting behind."""
    with plt.rc_context():
        yield
    plt.close("all")


@pytest.fixture
def history():
    return History(losses=[2.0] * 60, valid_steps=[30, 60], valid_scores=[9.0, 8.0])


def color_of(artist):
    return to_hex(artist.get_color()).upper()


def texts_of(labels):
    return [label.get_text() for label in labels]


def legend_of(ax):
    return texts_of(ax.get_legend().get_texts())


def test_the_style_has_a_transparent_ground_and_the_palettes_colors():
    use_style()
    assert plt.rcParams["figure.facecolor"] == "none"
    assert plt.rcParams["axes.facecolor"] == "none"
    assert plt.rcParams["text.color"] == PALETTE["ink"]
    colors = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    assert len(set(colors)) == len(colors)
    assert set(colors) <= set(PALETTE.values())


# ---- Training runs ----


@pytest.mark.parametrize(
    ("name", "key"), [("RNN", "rnn"), ("GRU from scratch", "gru"), ("lstm", "lstm")]
)
def test_a_networks_curves_have_its_color(history, name, key):
    ax = learning_curves({name: history})
    assert {color_of(line) for line in ax.lines} == {PALETTE[key]}


def test_other_curves_have_the_colors_that_no_network_has(history):
    names = ["my model", "RNN", "a larger GRU", "GRU", "n-gram", "fourth"]
    keys = ["accent", "rnn", "alarm", "gru", "ink", "accent"]
    expected = [PALETTE[key] for key in keys]
    learning = learning_curves(dict.fromkeys(names, history)).lines
    scores = score_curves(dict.fromkeys(names, history), 8.5, "error").lines
    lags = lag_curves(dict.fromkeys(names, (1.0, 0.5))).lines
    for lines in (learning[::2], learning[1::2], scores[:-1], lags[:-1]):
        assert [color_of(line) for line in lines] == expected


def test_learning_curves_are_two_named_lines_a_run(history):
    ax = learning_curves({"RNN": history, "GRU": history})
    names = ["RNN, training", "RNN, held out", "GRU, training", "GRU, held out"]
    assert legend_of(ax) == names
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("update", "perplexity")


def test_learning_curves_show_means_of_50_losses_and_the_scores():
    losses = [math.log(4.0)] * 50 + [math.log(3.0)] * 10
    training, held_out = learning_curves({"GRU": History(losses, [60], [5.0])}).lines
    assert training.get_xdata().tolist() == [50, 60]
    assert training.get_ydata() == pytest.approx([4.0, 3.0])
    assert held_out.get_xydata().tolist() == [[60, 5.0]]


def test_score_curves_show_the_scores_and_a_dotted_baseline(history):
    ax = score_curves({"RNN": history}, 8.5, "error")
    scores, baseline = ax.lines
    assert scores.get_xydata().tolist() == [[30, 9], [60, 8]]
    assert set(baseline.get_ydata()) == {8.5}
    assert baseline.get_linestyle() == ":"
    assert color_of(baseline) == PALETTE["baseline"]
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("update", "error")
    assert legend_of(ax) == ["RNN", "no memory"]


def test_runs_that_differ_in_their_seed_share_a_color_and_a_legend_entry(history):
    groups = ["GRU", "my model", "LSTM, bias 1", "another"]
    runs = {f"{name}, seed {n}": copy(history) for n in (0, 1) for name in groups}
    ax = score_curves(runs, 8.5, "error")
    assert legend_of(ax) == [*groups, "no memory"]
    # The runs of a group are drawn one after the other.
    keys = [key for key in ("gru", "accent", "lstm", "alarm") for _ in (0, 1)]
    expected = [PALETTE[key] for key in [*keys, "baseline"]]
    assert [color_of(line) for line in ax.lines] == expected


# ---- Gradients and gates ----


@pytest.mark.parametrize("kind", [list, torch.tensor])
def test_lag_curves_are_drawn_from_lag_0_on(kind):
    ax = lag_curves({"LSTM, bias 1": kind([1.0, 0.5, 0.25]), "RNN": [1.0]})
    first, second, one = ax.lines
    assert first.get_xydata().tolist() == [[0, 1], [1, 0.5], [2, 0.25]]
    assert color_of(first) == PALETTE["lstm"]
    assert color_of(second) == PALETTE["rnn"]
    assert set(one.get_ydata()) == {1}
    assert ax.get_yscale() == "log"
    labels = ax.get_xlabel(), ax.get_ylabel()
    assert labels == ("lag in steps", "gradient, relative to lag 0")
    assert legend_of(ax) == ["LSTM, bias 1", "RNN"]


def test_curves_are_drawn_into_given_axes():
    ax = plt.subplots()[1]
    assert lag_curves({"RNN": [1.0, 0.5]}, ax) is ax


@pytest.mark.parametrize("gap", [0.0, math.nan, math.inf])
def test_lag_curves_have_a_gap_where_nothing_can_be_drawn(gap):
    ax = lag_curves({"RNN": [1.0, 0.5, gap, 0.25, 0.5]})
    low, high = ax.get_ylim()
    assert 0.1 < low < high < 10
    with np.errstate(divide="ignore"):
        drawn = ax.lines[0].get_path().transformed(ax.transData)
    visible = np.isfinite(drawn.vertices).all(axis=1)
    assert visible.tolist() == [True, True, False, True, True]


GATES = torch.tensor([[0.1, 1.0, 0.5], [0.3, 0.6, 0.2], [0.2, 0.8, 0.3]])


def test_a_gate_map_has_a_panel_for_each_gate_and_a_column_for_each_character():
    figure = gate_map("a \n", {"reset gate": GATES, "update gate": 1 - GATES})
    *panels, bar = figure.axes
    assert [ax.get_title() for ax in panels] == ["reset gate", "update gate"]
    assert bar.get_ylabel() == "0: closed, 1: open"
    assert texts_of(panels[-1].get_xticklabels()) == ["a", "␣", "↵"]
    assert panels[-1].get_xticks().tolist() == [0, 1, 2]
    assert all(ax.images[0].get_clim() == (0, 1) for ax in panels)


def test_a_gate_map_has_the_unit_that_is_open_most_on_top():
    figure = gate_map("abc", {"gate": GATES, "complement": 1 - GATES})
    gate, complement = (ax.images[0].get_array() for ax in figure.axes[:2])
    expected = GATES[:, [1, 2, 0]].t()
    torch.testing.assert_close(torch.tensor(gate.data), expected)
    torch.testing.assert_close(torch.tensor(complement.data), 1 - expected.flip(0))


def test_a_gate_map_goes_from_clear_to_full_color():
    gates = {"gate": GATES, "complement": 1 - GATES}
    for ax in gate_map("abc", gates).axes[:2]:
        closed, opened = ax.images[0].get_cmap()([0.0, 1.0])
        assert to_hex(closed, keep_alpha=True).upper() == f"{PALETTE['gru']}00"
        assert to_hex(opened, keep_alpha=True).upper() == f"{PALETTE['gru']}FF"


def test_a_gate_map_takes_gates_that_are_part_of_a_graph():
    gates = GATES.clone().requires_grad_()
    for part in ({"leaf": gates}, {"product": gates * 1}):
        shown = gate_map("abc", part).axes[0].images[0].get_array().data
        torch.testing.assert_close(torch.tensor(shown), GATES[:, [1, 2, 0]].t())


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (torch.zeros(2, 4), r"shape \(2, 4\); expected \(3, num_hiddens\), a row for"),
        (torch.zeros(3), r"shape \(3,\); expected"),
        (torch.zeros(3, 0), r"shape \(3, 0\); expected"),
        (torch.tensor([[-0.5], [0], [1]]), "values from -0.5 to 1; expected 0 to 1"),
        (torch.tensor([[0], [0], [1.25]]), "values from 0 to 1.25; expected"),
        (torch.tensor([[0], [1], [math.nan]]), "values from nan to nan; expected"),
    ],
    ids=["rows", "dimensions", "no unit", "below 0", "above 1", "nan"],
)
def test_what_is_no_gate_is_refused_by_its_name(gate, message):
    with pytest.raises(ValueError, match=f"^update gate has {message}"):
        gate_map("abc", {"reset gate": GATES, "update gate": gate})
    assert plt.get_fignums() == []


def test_an_alignment_map_has_a_row_for_each_character_written():
    weights = torch.eye(2, 3)
    ax = alignment_map("a b", "xy", weights)
    assert ax.images[0].get_array().tolist() == weights.tolist()
    assert texts_of(ax.get_xticklabels()) == ["a", "␣", "b"]
    assert texts_of(ax.get_yticklabels()) == ["x", "y"]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.zeros(3, 2), r"weights have shape \(3, 2\); expected \(2, 3\)"),
        (torch.full((2, 3), 1.5), "weights has values from 1.5 to 1.5; expected 0 to"),
    ],
    ids=["shape", "values"],
)
def test_an_alignment_map_refuses_other_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        alignment_map("a b", "xy", weights)


# ---- Perplexities, texts and drawings ----


def test_a_ladder_has_the_worst_on_top_and_starts_at_1():
    ax = ladder({"GRU": 4.0, "uniform": 27.0, "bigram": 9.0}, {"GRU": "gru"})
    assert [bar.get_width() for bar in ax.patches] == [4.0, 9.0, 27.0]
    colors = [to_hex(bar.get_facecolor()).upper() for bar in ax.patches]
    assert colors == [PALETTE["gru"], PALETTE["baseline"], PALETTE["baseline"]]
    assert texts_of(ax.get_yticklabels()) == ["GRU", "bigram", "uniform"]
    assert ax.get_xscale() == "log"
    assert ax.get_xlim()[0] == 1
    assert texts_of(ax.texts) == ["4.00", "9.00", "27.00"]
    assert len(ladder({"perfect": 1.0}).patches) == 1


def test_a_heatmap_shows_each_value_on_its_character():
    values = torch.tensor([1.0, -0.5, 0.0, 5.0, -1.0])
    page = text_heatmap("ab c\n", values, "unit 3").data
    assert f'style="background:{PALETTE["lstm"]}96" title="+1.00">a<' in page
    assert f'style="background:{PALETTE["rnn"]}4b" title="-0.50">b<' in page
    assert f'style="background:{PALETTE["lstm"]}96" title="+5.00">c<' in page
    assert page.count('<span class="space" style=') == 2
    assert 'title="+0.00">␣<' in page
    assert 'title="-1.00">↵<' in page
    assert "\n" not in page
    assert "unit 3" in page


def test_a_heatmap_escapes_what_html_would_read():
    page = text_heatmap("<&", [0.1, 0.2], "<script>alert(1)</script>").data
    assert ">&lt;<" in page
    assert ">&amp;<" in page
    assert "<script" not in page


def test_a_heatmap_without_one_value_a_character_is_refused():
    with pytest.raises(ValueError, match="2 characters but 3 values; expected one val"):
        text_heatmap("ab", [0.1] * 3, "unit")


@pytest.fixture
def figures(tmp_path, monkeypatch):
    for name in ("unrolled", "cell"):
        (tmp_path / f"{name}.svg").write_text(f"<svg>{name} ü</svg>", encoding="utf-8")
    monkeypatch.setattr(plots, "FIGURES_DIR", tmp_path)


@pytest.mark.usefixtures("figures")
def test_a_diagram_is_shown_inline():
    assert "<svg>cell ü</svg>" in diagram("cell").data


@pytest.mark.usefixtures("figures")
def test_an_unknown_diagram_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match="'cel'; expected one of cell, unrolled"):
        diagram("cel")
