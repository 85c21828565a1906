"""The live figure *Perplexity, three ways*, moved as a reader moves it."""

import math

import pytest

from tests.browser.reader import DESKTOP, PHONE

pytestmark = pytest.mark.browser

TOKENS = [32, 32, 32, 32, 8]
LOSSES = [1.2, 1.4, 2.9, 1.3, 1.0]
SHOWN = [5.253, 4.759, 6.387]


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def figure(show, request):
    return show(size=request.param)


def losses(figure):
    return figure.locator("[role=slider]").evaluate_all(
        "sliders => sliders.map(slider => Number(slider.ariaValueNow))"
    )


def shown(figure):
    return [float(text) for text in figure.locator("output").all_inner_texts()]


def expected(losses):
    whole = sum(loss * count for loss, count in zip(losses, TOKENS, strict=True))
    mean = sum(losses) / len(losses)
    of_exps = sum(map(math.exp, losses)) / len(losses)
    return [math.exp(whole / sum(TOKENS)), math.exp(mean), of_exps]


def test_it_starts_with_the_numbers_of_the_chapter(figure):
    assert losses(figure) == LOSSES
    assert shown(figure) == SHOWN


def test_the_chapter_has_these_numbers(open_page):
    page, _ = open_page("chapters/01_sequences.html")
    assert losses(page.locator("figure.live")) == LOSSES
    assert shown(page.locator("figure.live")) == SHOWN
    page, _ = open_page("chapters/01_sequences.html", java_script_enabled=False)
    text = page.locator("figure.live .live-root").inner_text()
    assert str(SHOWN[0]) in text
    assert str(SHOWN[2]) in text


def test_arrow_keys_move_a_loss(figure):
    slider = figure.locator("[role=slider]").nth(1)
    for key in ("ArrowUp", "ArrowUp", "PageUp", "ArrowDown"):
        slider.press(key)
    assert losses(figure)[1] == pytest.approx(1.4 + 0.05 + 0.5)
    assert shown(figure) == pytest.approx(expected(losses(figure)), abs=6e-4)
    slider.press("Home")
    assert losses(figure)[1] == 0
    slider.press("End")
    assert losses(figure)[1] == 4
    assert shown(figure) == pytest.approx(expected(losses(figure)), abs=6e-4)


def test_the_mouse_drags_a_loss(figure):
    box = figure.locator("[role=slider]").nth(2).locator("rect").first.bounding_box()
    mouse = figure.page.mouse
    x, middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    mouse.move(x, box["y"] + box["height"] * 0.28)
    mouse.down()
    mouse.move(x, middle, steps=5)
    mouse.up()
    assert losses(figure)[2] == pytest.approx(2.0, abs=0.1)
    assert shown(figure) == pytest.approx(expected(losses(figure)), abs=6e-4)
    mouse.move(x, box["y"])
    assert losses(figure)[2] == pytest.approx(2.0, abs=0.1), "a released bar must stay"


def test_the_presets_work(figure):
    figure.get_by_role("button", name="All batches equal").click()
    assert shown(figure) == pytest.approx([math.e**2] * 3, abs=6e-4)
    assert "All three agree" in figure.locator(".verdict").inner_text()
    figure.get_by_role("button", name="One bad batch").click()
    assert shown(figure) == pytest.approx(expected([3.5, 1.5, 1.5, 1.5, 1.5]), abs=6e-4)
    figure.get_by_role("button", name="Start again").click()
    assert shown(figure) == SHOWN
