import html
import re

import ipywidgets
import pytest
from torch import nn

from utils.decoding import generate
from utils.explorers import Explorer, WriteWithYourModel
from utils.models import LanguageModel
from utils.text import Vocab


@pytest.fixture(scope="session")
def model(make_model):
    return make_model()


@pytest.fixture
def panel(model, vocab):
    return WriteWithYourModel(model, vocab, "the tide", length=20)


def shown(panel):
    """What a reader of the panel sees: its text without tags."""
    return html.unescape(re.sub("<[^>]+>", "", panel.text.value))


def written(model, vocab, prefix="the tide", length=20, temperature=0.7, seed=0):
    return generate(model, vocab, prefix, length, temperature=temperature, seed=seed)


def test_the_panel_starts_with_a_text(panel, model, vocab):
    assert shown(panel) == written(model, vocab)


@pytest.mark.parametrize(
    ("control", "value"), [("prefix", "a "), ("length", 50), ("temperature", 0.0)]
)
def test_each_control_changes_the_text(panel, model, vocab, control, value):
    getattr(panel, control).value = value
    assert shown(panel) == written(model, vocab, **{control: value})


def test_write_again_draws_another_text(panel, model, vocab):
    panel.again.click()
    assert shown(panel) == written(model, vocab, seed=1) != written(model, vocab)


@pytest.mark.parametrize(
    ("prefix", "message"),
    [("Tide 7", "the model has never seen: 'T' '7'"), ("", "the prefix is empty")],
)
def test_a_bad_prefix_shows_what_is_wrong_and_the_panel_recovers(
    panel, model, vocab, prefix, message
):
    panel.prefix.value = prefix
    assert message in shown(panel)
    assert 'role="alert"' in panel.text.value
    panel.prefix.value = "a tide"
    assert shown(panel) == written(model, vocab, prefix="a tide")
    assert 'role="alert"' not in panel.text.value


def test_a_panel_with_a_bad_prefix_is_refused(model, vocab):
    with pytest.raises(ValueError, match="never seen: '7'"):
        WriteWithYourModel(model, vocab, "7")


def test_a_panel_holds_its_controls_and_its_text(panel):
    controls, text = panel.widget.children
    assert text is panel.text
    expected = {panel.prefix, panel.length, panel.temperature, panel.again}
    assert {*controls.children} == expected


def test_a_notebook_gets_the_widget_and_a_page_gets_the_fallback(panel):
    bundle = panel._repr_mimebundle_(include=None, exclude=None)
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == panel.widget.model_id
    assert bundle["text/html"] == panel.fallback
    assert "needs a running kernel" in bundle["text/plain"]


def test_the_fallback_has_three_texts_and_nothing_that_looks_alive(panel, model, vocab):
    for temperature in (0.0, 0.7, 1.5):
        text = written(model, vocab, temperature=temperature)
        assert f"<dd>{html.escape(text)}</dd>" in panel.fallback
    assert not re.search("<(input|button|script|select|textarea)", panel.fallback)


def test_what_the_model_writes_is_escaped():
    vocab = Vocab("<script>&")
    size = len(vocab)
    model = LanguageModel(nn.GRU(size, 4), size)
    panel = WriteWithYourModel(model, vocab, "<script>", length=10)
    for page in (panel.fallback, panel.text.value):
        assert "&lt;script&gt;" in page
        assert "<script" not in page
    assert shown(panel) == written(model, vocab, "<script>", length=10)


def test_any_widget_can_have_a_fallback():
    bundle = Explorer(ipywidgets.IntSlider(), "<p>3</p>")._repr_mimebundle_()
    assert bundle["text/html"] == "<p>3</p>"
