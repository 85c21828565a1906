import json
import re

import pytest

from utils.live import LIVE_DIR, show

FIGURES = sorted(path.stem for path in LIVE_DIR.glob("*.js"))
DATA = {
    "batches": [{"loss": 1.5, "tokens": 300}, {"loss": 3.0, "tokens": 50}],
    "max_loss": 5,
}


def page(data=DATA, title="Perplexity", fallback="It starts at 5.55."):
    return show("perplexity", data, title=title, fallback=fallback).data


def test_a_figure_carries_its_data_its_title_and_its_fallback():
    shown = page()
    assert json.dumps(DATA, sort_keys=True) in shown
    assert 'aria-label="Perplexity"' in shown
    assert "<p>It starts at 5.55.</p>" in shown


def test_the_output_is_the_same_each_time_and_in_any_order_of_keys():
    assert page() == page(dict(reversed(DATA.items())))


def test_other_data_or_another_title_give_another_id():
    identities = {
        re.search('id="([^"]+)"', shown).group(1)
        for shown in (page(), page(DATA | {"max_loss": 6}), page(title="Other"))
    }
    assert len(identities) == 3


def test_the_script_looks_for_the_figures_own_id():
    identity = re.search('id="([^"]+)"', page()).group(1)
    assert f"querySelector('#{identity}:not(" in page()


def test_an_unknown_figure_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match=r"called 'perplex'; expected.*perplexity"):
        show("perplex", {}, title="", fallback="")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_data_with_nan_or_infinity_is_refused(bad):
    with pytest.raises(ValueError, match="Out of range float values"):
        page({"loss": bad})


def test_data_that_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="Object of type set is not JSON serializable"):
        page({"loss": {1}})


@pytest.mark.parametrize("text", ["</script>x", "</SCRIPT >", "<!--<script>"])
def test_text_in_the_data_cannot_end_or_swallow_the_script(text):
    shown = page({"text": text})
    assert text not in shown
    assert shown.endswith("</script>")
    payload = re.search(r"draw\(root, (.*), \{.*?\}, dom\);", shown).group(1)
    assert json.loads(payload) == {"text": text}


def test_title_and_fallback_are_escaped():
    shown = page(title='a "<b>"', fallback="<i>x</i>")
    assert 'aria-label="a &quot;&lt;b&gt;&quot;"' in shown
    assert "<p>&lt;i&gt;x&lt;/i&gt;</p>" in shown


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_asks_nothing_of_the_network(name):
    shown = show(name, DATA, title="title", fallback="fallback").data
    assert set(re.findall(r"https?://[^\"'\s]+", shown)) <= {
        "http://www.w3.org/2000/svg"
    }
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|WebSocket)\s*\(", shown)
    assert "src=" not in shown
    assert "url(" not in shown


@pytest.mark.parametrize("name", FIGURES)
def test_a_figures_own_script_cannot_end_the_script_element(name):
    script = (LIVE_DIR / f"{name}.js").read_text(encoding="utf-8")
    assert "</script" not in script.lower()
    assert "<!--" not in script


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_keeps_to_its_root(name):
    script = (LIVE_DIR / f"{name}.js").read_text(encoding="utf-8")
    assert script.startswith("/*"), "it says first what it shows and from which data"
    assert set(re.findall(r"document\.(\w+)", script)) <= {
        "createElement",
        "createElementNS",
    }
    shared = r"\b(window|localStorage|sessionStorage|innerHTML|globalThis)\b|\.id\b"
    assert not re.search(shared, script)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_takes_its_colors_from_the_palette_or_the_page(name):
    script = (LIVE_DIR / f"{name}.js").read_text(encoding="utf-8")
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\b(black|white)\b", script)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_a_test_that_operates_it(name):
    tests = LIVE_DIR.parent.parent / "tests" / "browser"
    assert (tests / f"test_live_{name}.py").is_file()
