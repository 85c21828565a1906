"""The live figure *How far does the gradient reach?*, moved as a reader moves it."""

import math
import re

import pytest

from tests.browser.figures import REACH
from tests.browser.reader import SIZES

pytestmark = [pytest.mark.browser, SIZES]

LAGS = [10, 50, 99]


@pytest.fixture
def figure(show, size):
    return show(size=size)


def expected(weight, scale, x=REACH["x"]):
    """Return |dh_T / dh_{T-k}| for all k, and the mean factor, as the formula says."""
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
    written = figure.locator("label output").all_inner_texts()
    assert written == [f"{weight:.2f}", f"{scale:.2f}"]
    assert shown(figure) == [f"{sizes[lag]:.1e}" for lag in LAGS]
    left = sizes[50]
    kind = "keeps its size" if left >= 1e-3 else "vanishes"
    kind = "explodes" if left > 1e3 else kind
    assert verdict(figure).startswith(f"The gradient {kind}: ")
    assert f"the factor per step is {mean:.2f} on average" in verdict(figure)


def drawn_decades(figure):
    """Return log10 of the drawn line at each lag, read off the axis in the drawing."""
    ticks = figure.locator("svg text").evaluate_all(
        "nodes => nodes.map(node => [node.textContent, Number(node.getAttribute('y'))])"
    )
    low, one = dict(ticks)["1e-12"], dict(ticks)["1"]
    path = figure.locator("path.edge").get_attribute("d")
    heights = [float(point.split(" ")[1]) for point in re.split("[ML]", path)[1:]]
    return [-12 * (height + 4 - one) / (low - one) for height in heights]


def set_slider(figure, letter, value):
    """Move a slider by its keys, from 0."""
    slider(figure, letter).press("Home")
    for _ in range(round(value / 0.05)):
        figure.page.keyboard.press("ArrowRight")


def test_it_starts_with_the_data(figure):
    assert_it_shows(figure, 0.9, 0.5)


@pytest.mark.parametrize("letter", ["w", "s"])
def test_arrow_keys_move_a_slider(figure, letter):
    control = slider(figure, letter)
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp"):
        control.press(key)
    assert_it_shows(figure, *((1.0, 0.5) if letter == "w" else (0.9, 0.6)))
    control.press("End")
    assert_it_shows(figure, *((2.0, 0.5) if letter == "w" else (0.9, 2.0)))


def test_the_mouse_drags_both_sliders(figure):
    mouse = figure.page.mouse
    for letter in "ws":
        slider(figure, letter).scroll_into_view_if_needed()
        box = slider(figure, letter).bounding_box()
        middle = box["y"] + box["height"] / 2
        mouse.move(box["x"] + box["width"] * 0.3, middle)
        mouse.down()
        mouse.move(box["x"] + box["width"] * 0.75, middle, steps=5)
        mouse.up()
    assert settings(figure) == pytest.approx([1.5, 1.5], abs=0.1)
    assert_it_shows(figure, *settings(figure))


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
