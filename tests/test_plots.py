import math
import re
from copy import copy

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from utils import plots
from utils.plots import (
    PALETTE,
    diagram,
    gate_map,
    ladder,
    lag_curves,
    learning_curves,
    score_curves,
    text_heatmap,
    use_style,
)
from utils.runs import History


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


def legend_of(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_style_has_a_transparent_ground_and_the_palettes_colors():
    use_style()
    assert plt.rcParams["figure.facecolor"] == "none"
    assert plt.rcParams["axes.facecolor"] == "none"
    assert plt.rcParams["text.color"] == PALETTE["ink"]
    colors = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    assert len(set(colors)) == len(colors)
    assert set(colors) <= set(PALETTE.values())


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("RNN", "rnn"),
        ("GRU from scratch", "gru"),
        ("lstm", "lstm"),
        ("GRU, two layers", "gru"),
    ],
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


def test_learning_curves_draw_two_named_lines_a_run(history):
    ax = learning_curves({"RNN": history, "my model": history})
    assert legend_of(ax) == [
        "RNN, training",
        "RNN, held out",
        "my model, training",
        "my model, held out",
    ]
    assert ax.get_ylabel() == "perplexity"


def test_learning_curves_draw_into_given_axes(history):
    ax = plt.subplots()[1]
    assert learning_curves({"RNN": history}, ax) is ax


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
    names = ["GRU, seed 0", "my model, seed 0", "GRU, seed 1", "my model, seed 1"]
    names += ["LSTM, bias 1, seed 0", "LSTM, bias 1, seed 1"]
    names += ["another, seed 0", "another, seed 1"]
    ax = score_curves({name: copy(history) for name in names}, 8.5, "error")
    groups = ["GRU", "my model", "LSTM, bias 1", "another"]
    assert legend_of(ax) == [*groups, "no memory"]
    names.sort(key=lambda name: groups.index(name.rpartition(", seed")[0]))
    colors = dict(zip(names, map(color_of, ax.lines), strict=False))
    assert colors["GRU, seed 0"] == colors["GRU, seed 1"] == PALETTE["gru"]
    assert colors["LSTM, bias 1, seed 0"] == colors["LSTM, bias 1, seed 1"]
    assert colors["LSTM, bias 1, seed 1"] == PALETTE["lstm"]
    assert colors["my model, seed 0"] == colors["my model, seed 1"] == PALETTE["accent"]
    assert colors["another, seed 0"] == colors["another, seed 1"] == PALETTE["alarm"]


@pytest.mark.parametrize(
    "curve", [[1.0, 0.5, 0.25], torch.tensor([1.0, 0.5, 0.25])], ids=["list", "tensor"]
)
def test_lag_curves_are_drawn_from_lag_0_on(curve):
    ax = lag_curves({"LSTM, bias 1": curve, "RNN": [1.0]})
    first, second, one = ax.lines
    assert first.get_xydata().tolist() == [[0, 1], [1, 0.5], [2, 0.25]]
    assert [color_of(line) for line in (first, second)] == [
        PALETTE["lstm"],
        PALETTE["rnn"],
    ]
    assert set(one.get_ydata()) == {1}
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel() == "lag in steps"
    assert ax.get_ylabel() == "gradient, relative to lag 0"
    assert legend_of(ax) == ["LSTM, bias 1", "RNN"]


def test_lag_curves_draw_into_given_axes():
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
    figure = gate_map("a b", {"reset gate": GATES, "update gate": 1 - GATES})
    *panels, bar = figure.axes
    assert [ax.get_title() for ax in panels] == ["reset gate", "update gate"]
    assert bar.get_ylabel() == "0: closed, 1: open"
    labels = [label.get_text() for label in panels[-1].get_xticklabels()]
    assert labels == ["a", "␣", "b"]
    assert panels[-1].get_xticks().tolist() == [0, 1, 2]
    assert all(ax.images[0].get_clim() == (0, 1) for ax in panels)


def test_a_gate_map_has_the_unit_that_is_open_most_on_top():
    figure = gate_map("abc", {"gate": GATES, "complement": 1 - GATES})
    gate, complement = (ax.images[0].get_array() for ax in figure.axes[:2])
    expected = GATES[:, [1, 2, 0]].t()
    torch.testing.assert_close(torch.tensor(gate.data), expected)
    torch.testing.assert_close(torch.tensor(complement.data), 1 - expected.flip(0))


def test_a_gate_map_shows_a_newline():
    labels = gate_map("\n\nc", {"gate": GATES}).axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == ["↵", "↵", "c"]


@pytest.mark.parametrize(
    ("settings", "key"), [({}, "gru"), ({"color": "lstm"}, "lstm")], ids=str
)
def test_a_gate_map_goes_from_clear_to_full_color(settings, key):
    gates = {"gate": GATES, "complement": 1 - GATES}
    for ax in gate_map("abc", gates, **settings).axes[:2]:
        closed, opened = ax.images[0].get_cmap()([0.0, 1.0])
        assert to_hex(closed, keep_alpha=True).upper() == f"{PALETTE[key]}00"
        assert to_hex(opened, keep_alpha=True).upper() == f"{PALETTE[key]}FF"


def test_a_gate_map_takes_gates_that_are_part_of_a_graph():
    gates = GATES.clone().requires_grad_()
    for part in ({"leaf": gates}, {"product": gates * 1}):
        image = gate_map("abc", part).axes[0].images[0]
        torch.testing.assert_close(
            torch.tensor(image.get_array().data), GATES[:, [1, 2, 0]].t()
        )


@pytest.mark.parametrize("shape", [(2, 4), (3,), (3, 1, 4), (3, 0)], ids=str)
def test_a_gate_without_a_row_for_each_character_is_refused(shape):
    with pytest.raises(
        ValueError,
        match=rf"update gate has shape {re.escape(str(shape))}; "
        r"expected \(3, num_hiddens\), a row for each of the 3 characters",
    ):
        gate_map("abc", {"reset gate": GATES, "update gate": torch.zeros(shape)})
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (-0.5, 1, "-0.5 to 1"),
        (0, 1.25, "0 to 1.25"),
        (-3, 3, "-3 to 3"),
        (math.nan, 1, "nan to nan"),
    ],
)
def test_values_that_no_gate_has_are_refused(low, high, shown):
    with pytest.raises(
        ValueError, match=f"reset gate has values from {shown}; expected 0 to 1"
    ):
        gate_map("ab", {"reset gate": torch.tensor([[low], [high]])})
    assert plt.get_fignums() == []


def test_a_ladder_has_the_worst_on_top_and_starts_at_1():
    ax = ladder({"GRU": 4.0, "uniform": 27.0, "bigram": 9.0}, {"GRU": "gru"})
    assert [bar.get_width() for bar in ax.patches] == [4.0, 9.0, 27.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "GRU",
        "bigram",
        "uniform",
    ]
    assert ax.get_xscale() == "log"
    assert ax.get_xlim()[0] == 1
    assert [label.get_text() for label in ax.texts] == ["4.00", "9.00", "27.00"]


def test_a_ladder_colors_networks_and_leaves_baselines_gray():
    ax = ladder({"GRU": 4.0, "uniform": 27.0}, {"GRU": "gru"})
    colors = [to_hex(bar.get_facecolor()).upper() for bar in ax.patches]
    assert colors == [PALETTE["gru"], PALETTE["baseline"]]


def test_a_ladder_of_one_rung_is_drawn():
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


@pytest.mark.parametrize("values", [[], [0.1], [0.1] * 3])
def test_a_heatmap_without_one_value_a_character_is_refused(values):
    with pytest.raises(ValueError, match=f"2 characters but {len(values)} values"):
        text_heatmap("ab", values, "unit")


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
    with pytest.raises(
        ValueError, match="no drawing is called 'cel'; expected one of cell, unrolled"
    ):
        diagram("cel")


def test_an_alignment_map_has_a_row_for_each_character_written():
    weights = torch.eye(2, 3)
    ax = plots.alignment_map("a b", "xy", weights)
    assert ax.images[0].get_array().tolist() == weights.tolist()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "␣", "b"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x", "y"]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.zeros(3, 2), r"weights have shape \(3, 2\); expected \(2, 3\)"),
        (
            torch.full((2, 3), 1.5),
            "weights has values from 1.5 to 1.5; expected 0 to 1",
        ),
    ],
)
def test_an_alignment_map_refuses_other_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        plots.alignment_map("a b", "xy", weights)
