"""The live figure of gates on a text, moved as a reader moves it."""

import re
from decimal import ROUND_HALF_UP, Decimal

import pytest

from tests.browser.figures import GRU, LSTM, TEXT, UNITS
from tests.browser.reader import PHONE, SIZES, narrow, needed_width

pytestmark = pytest.mark.browser

COLORS = {"gru": (0, 158, 115), "lstm": (0, 114, 178), "rnn": (230, 159, 0)}
STRONGEST = 0.45
BOTH = pytest.mark.parametrize("data", [GRU, LSTM], ids=["gru", "lstm"])
SEEN = """figure => {
  const texts = selector => Array.from(
    figure.querySelectorAll(selector), node => node.innerText ?? node.textContent);
  const cells = [...figure.querySelectorAll("[role=option]")];
  const which = is => cells.flatMap((cell, i) => is(cell) ? [i] : []);
  return { unit: figure.querySelector("select").value,
    pressed: texts("button[aria-pressed=true]"), reading: texts(".reading > span"),
    formula: texts(".formula > div"), drawing: texts("svg text"),
    selected: which(cell => cell.ariaSelected === "true"),
    reached: which(cell => cell.tabIndex === 0),
    focused: which(cell => cell === document.activeElement) };
}"""


def written(data, key, value):
    """Return ``value`` as the figure should: a sign unless ``key`` is a gate."""
    gate = any(q["key"] == key and q["low"] == 0 for q in data["quantities"])
    # Halves such as 0.125 go up, as in JavaScript; Python's own go to the even digit.
    rounded = Decimal(value).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return f"{rounded:.2f}" if gate else f"{rounded or 0:+.2f}"


def cells(figure):
    return figure.locator("[role=option]")


def assert_it_shows(figure, data, unit, key, place, focused=False):
    seen = figure.evaluate(SEEN)
    assert seen["selected"] == seen["reached"] == [place]
    assert seen["focused"] == [place] or not focused
    values = {name: rows[unit][place] for name, rows in data["values"].items()}
    (named,) = (q["name"] for q in data["quantities"] if q["key"] == key)
    assert seen["unit"] == str(unit)
    assert seen["pressed"] == [named]
    letter = data["text"][place]
    name = {" ": "a space", "\n": "a line break"}.get(letter, f"'{letter}'")
    number = written(data, key, values[key])
    assert seen["reading"] == [f"After reading {name}", f"{named} = {number}"]
    formula = re.sub(
        r"\{(\w+)\}", lambda m: written(data, m[1], values[m[1]]), data["formula"]
    )
    assert seen["formula"] == re.split(r";\s*", formula)
    assert f"character {place + 1} of {len(data['text'])}" in seen["drawing"]


def backgrounds(figure, count):
    """Return red, green, blue and the opacity of each background."""
    colors = cells(figure).evaluate_all(
        "nodes => nodes.map(node => getComputedStyle(node).backgroundColor)"
    )
    for color in colors[:count]:
        *rgb, alpha = [float(n) for n in re.findall(r"[\d.]+", f"{color} 1")][:4]
        yield tuple(rgb), alpha


def axis(figure):
    """Return the function from heights in the drawing to values, from its labels."""
    labels = figure.locator("svg text").evaluate_all(
        "nodes => nodes.map(n => [n.textContent, Number(n.getAttribute('y')) - 4])"
    )
    ticks = [(float(t), y) for t, y in labels if re.fullmatch(r"[+-]?[\d.]+", t)]
    (a, ya), (b, yb) = min(ticks), max(ticks)
    return lambda y: a + (y - ya) * (b - a) / (yb - ya)


def points(figure):
    """Return the x and y of each point of the line."""
    pairs = figure.locator("svg polyline").get_attribute("points").split()
    return [tuple(map(float, pair.split(","))) for pair in pairs]


@SIZES
@BOTH
def test_it_starts_with_the_first_unit_and_quantity_at_the_start(show, data, size):
    figure = show(data, size)
    first = data["quantities"][0]["key"]
    assert_it_shows(figure, data, 0, first, data.get("start", 0))
    shown = "".join(cells(figure).all_inner_texts())
    assert shown == TEXT.replace(" ", "␣").replace("\n", "↵")


@SIZES
@BOTH
def test_the_units_and_quantities_switch_by_mouse_and_by_keyboard(show, data, size):
    figure = show(data, size)
    place = data.get("start", 0)
    for unit, number in enumerate(UNITS):
        figure.get_by_role("combobox", name="hidden unit").select_option(str(number))
        for item in data["quantities"]:
            figure.get_by_role("button", name=item["name"]).click()
            assert_it_shows(figure, data, unit, item["key"], place)
            value = axis(figure)
            line = [value(y) for _, y in points(figure)]
            assert line == pytest.approx(data["values"][item["key"]][unit], abs=0.02)
    figure.get_by_role("combobox").focus()
    figure.page.keyboard.press("Home")
    last = data["quantities"][-1]["key"]
    assert_it_shows(figure, data, 0, last, place)
    figure.page.keyboard.press("ArrowDown")
    assert_it_shows(figure, data, 1, last, place)
    for key in ("Tab", "Tab", "Enter"):
        figure.page.keyboard.press(key)
    assert_it_shows(figure, data, 1, data["quantities"][1]["key"], place)


@SIZES
def test_keys_move_along_the_text(show, size):
    figure = show(GRU, size)
    figure.get_by_role("button").last.focus()
    last = len(TEXT) - 1
    for keys, places in [
        ("Tab ArrowLeft ArrowRight ArrowRight ArrowRight", (0, 0, 1, 2, 3)),
        ("ArrowLeft End ArrowRight Home", (2, last, last, 0)),
    ]:
        for key, place in zip(keys.split(), places, strict=True):
            figure.page.keyboard.press(key)
            assert_it_shows(figure, GRU, 0, "z", place, focused=True)
    figure.page.keyboard.press("Shift+Tab")
    assert figure.page.evaluate("document.activeElement.tagName") == "BUTTON"


@SIZES
def test_up_and_down_keys_go_to_the_next_line(show, size):
    figure = show(GRU, size)
    cells(figure).nth(3).click()
    cells(figure).nth(3).focus()
    boxes = cells(figure).evaluate_all(
        "nodes => nodes.map(node => node.getBoundingClientRect().toJSON())"
    )
    second = sorted({round(box["y"]) for box in boxes})[1]
    figure.page.keyboard.press("ArrowDown")
    (below,) = figure.evaluate(SEEN)["selected"]
    assert round(boxes[below]["y"]) == second
    assert boxes[below]["x"] == pytest.approx(boxes[3]["x"], abs=boxes[3]["width"])
    for _ in range(2):  # there is nothing above the first line
        figure.page.keyboard.press("ArrowUp")
        assert_it_shows(figure, GRU, 0, "z", 3, focused=True)


def test_the_mouse_picks_a_character_by_pointing(show):
    figure = show(LSTM)
    for place in (5, 40, 3):
        cells(figure).nth(place).hover()
        assert_it_shows(figure, LSTM, 0, "i", place)
    figure.page.mouse.move(2, 2)
    assert_it_shows(figure, LSTM, 0, "i", 3)


def test_the_text_may_move_under_a_resting_pointer(show):
    figure = show(LSTM, {"width": 360, "height": 400})
    cells(figure).nth(50).hover()
    cells(figure).nth(50).focus()
    figure.page.evaluate("window.scrollBy(0, 36)")
    figure.page.wait_for_timeout(300)
    assert_it_shows(figure, LSTM, 0, "i", 50)


def test_a_finger_picks_a_character_by_tapping(show):
    figure = show(GRU, PHONE, has_touch=True)
    cells(figure).nth(30).tap()
    assert_it_shows(figure, GRU, 0, "z", 30)


def test_the_drawing_picks_characters_too(show):
    figure = show(GRU)
    box = figure.locator("svg").bounding_box()
    for x, place in [(box["width"] - 13, len(TEXT) - 1), (1, 0)]:
        figure.page.mouse.move(box["x"] + x, box["y"] + 40)
        assert_it_shows(figure, GRU, 0, "z", place)


def test_a_gate_colors_the_text_in_the_color_of_the_network(show):
    found = backgrounds(show(GRU), 20)
    for value, (color, opacity) in zip(GRU["values"]["z"][0], found, strict=False):
        assert color == COLORS["gru"]
        assert opacity == pytest.approx(STRONGEST * value, abs=0.01)


@BOTH
def test_a_state_colors_the_text_blue_or_orange_and_its_color_has_limits(show, data):
    figure = show(data)
    key = "h" if data is GRU else "c"
    figure.get_by_role("button", name=re.compile(f"state {key}$")).click()
    values = data["values"][key][0]
    for value, (color, opacity) in zip(values, backgrounds(figure, 40), strict=False):
        assert color == COLORS["lstm" if value > 0 else "rnn"]
        assert opacity == pytest.approx(STRONGEST * min(1, abs(value)), abs=0.01)
    assert (max(map(abs, values)) > 1) == (data is LSTM), "a value beyond the limits"


def test_the_marker_stands_on_the_line(show):
    figure = show(LSTM)
    figure.get_by_role("button", name="cell state c").click()
    for place in (0, 33, len(TEXT) - 1):
        cells(figure).nth(place).hover()
        marker = figure.locator("circle.marker")
        found = [float(marker.get_attribute(name)) for name in ("cx", "cy")]
        assert found == pytest.approx(points(figure)[place], abs=0.01)
        value = LSTM["values"]["c"][0][place]
        assert axis(figure)(found[1]) == pytest.approx(value, abs=0.02)


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4])
def test_extreme_values_are_written_and_drawn(show, place):
    data = {
        "text": 'a"<b',
        "units": ["<b>first</b>"],
        "color": "lstm",
        "formula": "c = {c}",
        "quantities": [{"key": "c", "name": "cell state c", "low": -1, "high": 1}],
        "values": {"c": [[-0.001, 1000.125, -37.5, 0]]},
        "start": place % 4,
    }
    if place == 4:  # a text of one character
        data |= {"text": "é", "values": {"c": [[0.5]]}}
    figure = show(data, narrow(360))
    assert_it_shows(figure, data, 0, "c", data["start"])
    assert figure.get_by_role("combobox").inner_text() == "<b>first</b>"
    assert needed_width(figure.page) <= 360


def test_a_long_word_is_broken(show):
    figure = show(GRU | {"text": "x" * len(TEXT)}, narrow(340))
    assert needed_width(figure.page) <= 340


def luminance(color):
    parts = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in color)
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


# Axe does not judge single letters. Text and ground are those of the book, and of
# JupyterLab's and Colab's dark pages.
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ((34, 40, 50), (255, 255, 255)),
        ((206, 214, 221), (20, 24, 30)),
        ((255, 255, 255), (17, 17, 17)),
    ],
)
@pytest.mark.parametrize("network", COLORS)
def test_letters_can_be_read_on_the_strongest_color(network, ink, ground):
    pairs = zip(COLORS[network], ground, strict=True)
    mixed = [STRONGEST * over + (1 - STRONGEST) * under for over, under in pairs]
    light, dark = sorted((luminance(ink), luminance(mixed)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5
