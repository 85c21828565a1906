import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex

from utils import plots
from utils.plots import (
    PALETTE,
    diagram,
    ladder,
    learning_curves,
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
    assert {to_hex(line.get_color()).upper() for line in ax.lines} == {PALETTE[key]}


def test_learning_curves_draw_two_named_lines_a_run(history):
    ax = learning_curves({"RNN": history, "my model": history})
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [
        "RNN, training",
        "RNN, held out",
        "my model, training",
        "my model, held out",
    ]
    assert ax.get_ylabel() == "perplexity"


def test_learning_curves_draw_into_given_axes(history):
    ax = plt.subplots()[1]
    assert learning_curves({"RNN": history}, ax) is ax


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
    page = text_heatmap("ab c", torch.tensor([1.0, -0.5, 0.0, 5.0]), "unit 3").data
    assert f'style="background:{PALETTE["lstm"]}96" title="+1.00">a<' in page
    assert f'style="background:{PALETTE["rnn"]}4b" title="-0.50">b<' in page
    assert f'style="background:{PALETTE["lstm"]}96" title="+5.00">c<' in page
    assert ">␣<" in page
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
