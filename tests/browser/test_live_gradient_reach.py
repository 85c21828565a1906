"""The live figure *How far does the gradient reach?*, moved as a reader moves it."""

import math
import random
import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from tools import browser
from utils import live

pytestmark = pytest.mark.browser

random.seed(3)
DATA = {
    "x": [round(random.gauss(0, 1), 3) for _ in range(100)],
    "weight": 0.9,
    "scale": 0.5,
}
FIGURE = ("gradient_reach", DATA, "How far does the gradient reach?")
LAGS = [10, 50, 99]


@pytest.fixture(params=[browser.DESKTOP, browser.PHONE], ids=["desktop", "phone"])
def figure(open_live, request):
    return open_live(FIGURE, viewport=request.param).locator("figure.live")


def expected(weight, scale, x=DATA["x"]):
    """Return |dh_T / dh_{T-k}| for all k, and the mean factor: each product anew, as the formula says."""
    h, factors = 0.0, []
    for value in x:
        h = math.tanh(weight * h + scale * value)
        factors.append(abs(weight * (1 - h**2)))
    sizes = [math.prod(factors[len(x) - k :]) for k in range(len(x))]
    return sizes, sum(factors[1:]) / (len(x) - 1)


def slider(figure, letter):
    return figure.get_by_role("slider", name=re.compile(f" {letter}$"))


def settings(figure):
    return [float(slider(figure, letter).input_value()) for letter in "ws"]


def shown(figure):
    return figure.locator("td output").all_inner_texts()


def verdict(figure):
    return figure.locator(".verdict").inner_text()


def assert_it_shows(figure, weight, scale):
    sizes, mean = expected(weight, scale)
    assert settings(figure) == pytest.approx([weight, scale])
    assert figure.locator("label output").all_inner_texts() == [
        f"{weight:.2f}",
        f"{scale:.2f}",
    ]
    assert shown(figure) == [f"{sizes[lag]:.1e}" for lag in LAGS]
    kind = "keeps its size"
    if sizes[50] < 1e-3:
        kind = "vanishes"
    elif sizes[50] > 1e3:
        kind = "explodes"
    assert verdict(figure).startswith(f"The gradient {kind}: ")
    assert f"the factor per step is {mean:.2f} on average" in verdict(figure)
    assert "NaN" not in figure.inner_html()
    assert "Infinity" not in figure.inner_html()


def drawn_decades(figure):
    """Return log10 of the drawn line at each lag, read off the axis in the drawing itself."""
    ticks = {
        text: float(y)
        for text, y in figure.locator("svg text").evaluate_all(
            "nodes => nodes.map(node => [node.textContent, node.getAttribute('y')])"
        )
    }
    low, one = ticks["1e-12"], ticks["1"]
    path = figure.locator("path.edge").get_attribute("d")
    heights = [float(point.split(" ")[1]) for point in re.split("[ML]", path)[1:]]
    return [-12 * (height + 4 - one) / (low - one) for height in heights]


def set_slider(figure, letter, value):
    """Move a slider by its keys, from 0."""
    control = slider(figure, letter)
    control.focus()
    control.press("Home")
    for _ in range(round(value / 0.05)):
        control.press("ArrowRight")


def test_it_starts_with_the_data(figure):
    assert_it_shows(figure, 0.9, 0.5)
    assert "It starts so." not in figure.inner_text()


@pytest.mark.parametrize("letter", ["w", "s"])
def test_arrow_keys_move_a_slider(figure, letter):
    control = slider(figure, letter)
    control.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp"):
        control.press(key)
    assert_it_shows(figure, *((1.0, 0.5) if letter == "w" else (0.9, 0.6)))
    control.press("End")
    assert_it_shows(figure, *((2.0, 0.5) if letter == "w" else (0.9, 2.0)))


def test_the_mouse_drags_both_sliders(figure):
    mouse = figure.page.mouse
    for letter in "ws":
        control = slider(figure, letter)
        control.scroll_into_view_if_needed()
        box = control.bounding_box()
        middle = box["y"] + box["height"] / 2
        mouse.move(box["x"] + box["width"] * 0.3, middle)
        mouse.down()
        mouse.move(box["x"] + box["width"] * 0.75, middle, steps=5)
        mouse.up()
    weight, scale = settings(figure)
    assert weight == pytest.approx(1.5, abs=0.1)
    assert scale == pytest.approx(1.5, abs=0.1)
    assert_it_shows(figure, weight, scale)


def test_the_line_is_the_gradient(figure):
    sizes, _ = expected(0.9, 0.5)
    clamped = [math.log10(min(1e6, max(1e-12, size))) for size in sizes]
    assert drawn_decades(figure) == pytest.approx(clamped, abs=0.01)
    assert figure.locator("path.curve").get_attribute("stroke") == "#E69F00"


def test_without_inputs_the_gradient_is_a_power_of_the_weight(figure):
    set_slider(figure, "s", 0)
    for weight, kind in [(0.8, "vanishes"), (1.0, "keeps"), (1.2, "explodes")]:
        set_slider(figure, "w", weight)
        assert shown(figure) == [f"{weight**lag:.1e}" for lag in LAGS]
        assert f"The gradient {kind}" in verdict(figure)
        assert f"factor per step is {weight:.2f} " in verdict(figure)


@pytest.mark.parametrize(
    ("weight", "scale", "end"), [(0, 0.5, -12), (2, 0, 6), (2, 2, -12), (0, 0, -12)]
)
def test_what_leaves_the_scale_is_drawn_at_its_edge(figure, weight, scale, end):
    set_slider(figure, "w", weight)
    set_slider(figure, "s", scale)
    assert_it_shows(figure, weight, scale)
    decades = drawn_decades(figure)
    assert len(decades) == 100
    assert decades[0] == pytest.approx(0, abs=0.01)
    assert decades[-1] == pytest.approx(end, abs=0.01)
    assert all(-12.01 < decade < 6.01 for decade in decades)


def test_start_again_does(figure):
    set_slider(figure, "w", 2)
    set_slider(figure, "s", 0)
    figure.get_by_role("button", name="Start again").click()
    assert_it_shows(figure, 0.9, 0.5)


def test_two_figures_do_not_disturb_each_other(open_live):
    other = DATA | {"weight": 1.5, "scale": 0}
    page = open_live(FIGURE, FIGURE, ("gradient_reach", other, "Another"))
    first, twin, third = page.locator("figure.live").all()
    set_slider(first, "w", 0.3)
    set_slider(third, "s", 0.1)
    assert_it_shows(first, 0.3, 0.5)
    assert_it_shows(twin, 0.9, 0.5)
    assert_it_shows(third, 1.5, 0.1)


@pytest.mark.parametrize("width", [340, 360])
def test_it_fits_a_small_phone(open_live, width):
    page = open_live(FIGURE, viewport={"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.locator("svg text").evaluate_all(
        "nodes => nodes.map(node => node.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 12


def test_it_follows_the_width_of_the_page(open_live):
    page = open_live(FIGURE, viewport={"width": 360, "height": 700})
    page.set_viewport_size({"width": 900, "height": 700})
    page.wait_for_function(
        "(() => { const svg = document.querySelector('svg');"
        " return Math.abs(svg.viewBox.baseVal.width - svg.clientWidth) <= 1; })()"
    )
    assert page.locator("svg").evaluate("node => node.clientWidth") > 500


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_use_it(open_live, scheme):
    page = open_live(FIGURE, color_scheme=scheme)
    found = Axe().run(page, context={"include": [["figure"]]}).response["violations"]
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found] == []


def test_too_few_numbers_leave_the_fallback(chromium, tmp_path):
    data = DATA | {"x": [0.5] * 50}
    path = tmp_path / "short.html"
    path.write_text(
        live.show("gradient_reach", data, title="Short", fallback="Words.").data
    )
    page = chromium.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    assert page.locator(".live-root").inner_text() == "Words."
    assert "x holds 50 numbers; expected more than 50" in errors[0]
    page.close()
