"""What holds for every live figure; `figures.py` says how to operate each of them."""

import pytest

from tests.browser import reader
from tests.browser.figures import EXAMPLES, PERPLEXITY
from utils.live import LIVE_DIR

pytestmark = pytest.mark.browser

FIGURES = {path.stem for path in LIVE_DIR.glob("*.js")}
EVERY = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
FOCUSABLE = ":is(button, input, select, [tabindex='0']):not(:disabled)"
FOCUS = f"""root => [...root.querySelectorAll("{FOCUSABLE}")]
  .indexOf(document.activeElement)"""
WIDTHS = "svgs => svgs.map(svg => [svg.clientWidth, svg.viewBox.baseVal.width])"


def snapshots(page):
    return [reader.snapshot(figure) for figure in page.locator("figure.live").all()]


def test_every_figure_has_an_example():
    assert {example.name for example in EXAMPLES} == FIGURES


def test_what_is_no_number_would_be_seen(open_live):
    data = PERPLEXITY | {"max_loss": "high"}
    page, troubles = open_live(("perplexity", data, "Bad"))
    page.evaluate("0")
    assert any("shown: NaN" in trouble for trouble in troubles)


@EVERY
def test_figures_beside_each_other_do_not_disturb_each_other(open_live, example):
    titles = ("One", "One", "Another")  # the first two have the same id
    page, troubles = open_live(*[(example.name, example.data, t) for t in titles])
    for moved in (0, 2):
        page.mouse.move(0, 0)
        before = snapshots(page)
        for _ in example.views(page.locator("figure.live").nth(moved)):
            pass
        pairs = zip(before, snapshots(page), strict=True)
        assert [i for i, (old, new) in enumerate(pairs) if old != new] == [moved]
    assert troubles == []


@EVERY
@pytest.mark.parametrize("width", [320, 360])
def test_it_fits_a_small_phone(show, example, width):
    figure = show(example.data, reader.narrow(width), example.name)
    for _ in example.views(figure):
        assert reader.needed_width(figure.page) <= width
        assert example.scaled or min(reader.text_heights(figure), default=12) >= 12


@EVERY
def test_it_follows_the_width_of_the_page(show, example):
    figure = show(example.data, reader.narrow(360), example.name)
    before = figure.locator("svg").evaluate_all(WIDTHS)
    figure.page.set_viewport_size(reader.narrow(900))
    reader.drawn_anew(figure)
    after = figure.locator("svg").evaluate_all(WIDTHS)
    for (old, _), (new, units) in zip(before, after, strict=True):
        assert new > old
        assert example.scaled or new == pytest.approx(units, abs=1)


@EVERY
def test_tab_leads_through_all_controls_and_a_new_width_keeps_the_focus(show, example):
    figure = show(example.data, reader.narrow(360), example.name)
    page, count = figure.page, figure.locator(FOCUSABLE).count()
    for i in range(count):
        page.keyboard.press("Tab")
        assert figure.evaluate(FOCUS) == i
        page.set_viewport_size(reader.narrow([900, 360][i % 2]))
    reader.drawn_anew(figure)
    assert figure.evaluate(FOCUS) == count - 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "after"


@EVERY
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_use_it(show, example, scheme):
    options = {"color_scheme": scheme, "reduced_motion": "reduce"}
    figure = show(example.data, name=example.name, **options)
    for _ in example.views(figure):
        assert reader.barriers(figure.page, "figure") == []
        assert figure.page.evaluate("document.getAnimations().length") == 0


@EVERY
def test_without_scripts_the_fallback_is_there_and_with_them_it_goes(show, example):
    assert "It starts so." not in show(example.data, name=example.name).inner_text()
    plain = show(example.data, name=example.name, java_script_enabled=False)
    assert plain.locator(".live-root").inner_text() == "It starts so."


@pytest.mark.parametrize(
    ("example", "message", "change"),
    [
        pytest.param(example, message, change, id=f"{example.name}-{message}")
        for example in EXAMPLES
        for message, changes in example.refused.items()
        for change in changes
    ],
)
def test_data_that_do_not_fit_leave_the_fallback(open_live, example, message, change):
    page, troubles = open_live((example.name, example.data | change, "Bad"))
    assert page.locator(".live-root").inner_text() == "It starts so."
    assert message in troubles[0]
