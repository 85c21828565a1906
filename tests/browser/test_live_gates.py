"""The live figure of gates on a text, moved as a reader moves it."""

import math
import re
from decimal import ROUND_HALF_UP, Decimal

import pytest
from axe_playwright_python.sync_playwright import Axe

from tools import browser
from utils import live

pytestmark = pytest.mark.browser

TEXT = "the tide came in, and the old clock on the stair\nstruck nine before the boat was tied to the pier"
UNITS = [17, 42, 101]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def series(function, *phase):
    """Return a number for each character of the text, from ``function`` of a wave of the given phase."""
    return [
        round(function(2.5 * math.sin(ord(letter) * 1.3 + place / 9 + sum(phase))), 3)
        for place, letter in enumerate(TEXT)
    ]


def states(step):
    """Return the state after each character and before it; ``step(state, place)`` is the next state."""
    after = []
    for place in range(len(TEXT)):
        after.append(round(step(after[-1] if after else 0.0, place), 3))
    return after, [0.0, *after[:-1]]


def gru():
    values = {key: [] for key in ("z", "r", "n", "h", "h_before")}
    for unit in range(len(UNITS)):
        z, r = series(sigmoid, unit), series(sigmoid, unit, 2)
        n = series(math.tanh, unit, 4)
        h, before = states(lambda h, t, z=z, n=n: (1 - z[t]) * n[t] + z[t] * h)
        for key, rows in zip(values, (z, r, n, h, before), strict=True):
            values[key].append(rows)
    return {
        "text": TEXT,
        "units": UNITS,
        "color": "gru",
        "formula": "h = (1 - {z}) · {n} + {z} · {h_before} = {h}",
        "quantities": [
            {"key": "z", "name": "update gate z", "low": 0, "high": 1},
            {"key": "r", "name": "reset gate r", "low": 0, "high": 1},
            {"key": "n", "name": "candidate n", "low": -1, "high": 1},
            {"key": "h", "name": "hidden state h", "low": -1, "high": 1},
        ],
        "values": values,
    }


def lstm():
    values = {key: [] for key in ("i", "f", "g", "o", "c", "c_before", "h")}
    for unit in range(len(UNITS)):
        i, f = series(sigmoid, unit), series(lambda x: sigmoid(x + 3), unit, 2)
        g, o = series(math.tanh, unit, 4), series(sigmoid, unit, 6)
        c, before = states(lambda c, t, i=i, f=f, g=g: f[t] * c + i[t] * g[t])
        h = [round(a * math.tanh(b), 3) for a, b in zip(o, c, strict=True)]
        for key, rows in zip(values, (i, f, g, o, c, before, h), strict=True):
            values[key].append(rows)
    return {
        "text": TEXT,
        "units": UNITS,
        "color": "lstm",
        "formula": "c = {f} · {c_before} + {i} · {g} = {c};  h = {o} · tanh({c}) = {h}",
        "quantities": [
            {"key": "i", "name": "input gate i", "low": 0, "high": 1},
            {"key": "f", "name": "forget gate f", "low": 0, "high": 1},
            {"key": "o", "name": "output gate o", "low": 0, "high": 1},
            {"key": "c", "name": "cell state c", "low": -1, "high": 1},
            {"key": "h", "name": "hidden state h", "low": -1, "high": 1},
        ],
        "values": values,
        "start": 18,
    }


GRU, LSTM = gru(), lstm()
COLORS = {"gru": (0, 158, 115), "lstm": (0, 114, 178), "rnn": (230, 159, 0)}
STRONGEST = 0.45
SIZES = pytest.mark.parametrize(
    "size", [browser.DESKTOP, browser.PHONE], ids=["desktop", "phone"]
)
BOTH = pytest.mark.parametrize("data", [GRU, LSTM], ids=["gru", "lstm"])


@pytest.fixture
def show(open_live):
    def show(data, size=browser.DESKTOP, **options):
        page = open_live(("gates", data, "Gates"), viewport=size, **options)
        return page.locator("figure.live")

    return show


def written(data, key, value):
    """Return ``value`` as the figure should write it: a sign unless ``key`` is a gate."""
    gate = any(q["key"] == key and q["low"] == 0 for q in data["quantities"])
    # The halves of numbers such as 0.125 go up, as in JavaScript; Python's own go to the even digit.
    rounded = Decimal(value).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return f"{rounded:.2f}" if gate else f"{rounded or 0:+.2f}"


def cells(figure):
    return figure.locator("[role=option]")


def chosen(figure):
    """Return the index of the chosen character: the only one that Tab reaches, and the only one selected."""
    marks = figure.locator("[role=option]").evaluate_all(
        "nodes => nodes.map(node => [node.ariaSelected === 'true', node.tabIndex === 0])"
    )
    found = [place for place, (selected, _) in enumerate(marks) if selected]
    assert found == [place for place, (_, reached) in enumerate(marks) if reached]
    (place,) = found
    return place


def quantity(data, key):
    return next(q for q in data["quantities"] if q["key"] == key)


def assert_it_shows(figure, data, unit, key, place):
    values = {name: rows[unit] for name, rows in data["values"].items()}
    named = quantity(data, key)["name"]
    assert chosen(figure) == place
    assert figure.get_by_role("combobox").input_value() == str(unit)
    pressed = figure.locator("button[aria-pressed=true]").all_inner_texts()
    assert pressed == [named]
    letter = data["text"][place]
    name = {" ": "a space", "\n": "a line break"}.get(letter, f"'{letter}'")
    number = written(data, key, values[key][place])
    spans = figure.locator(".reading > span").all_inner_texts()
    assert spans == [f"After reading {name}", f"{named} = {number}"]
    formula = re.sub(
        r"\{(\w+)\}",
        lambda match: written(data, match[1], values[match[1]][place]),
        data["formula"],
    )
    lines = figure.locator(".formula > div").all_inner_texts()
    assert lines == re.split(r";\s*", formula)
    assert "NaN" not in figure.inner_html()
    assert "undefined" not in figure.inner_html()
    label = f"character {place + 1} of {len(data['text'])}"
    assert label in figure.locator("svg text").all_text_contents()


def background(figure, place):
    """Return red, green, blue and the opacity of a character's background."""
    color = (
        cells(figure)
        .nth(place)
        .evaluate("node => getComputedStyle(node).backgroundColor")
    )
    numbers = [float(number) for number in re.findall(r"[\d.]+", color)]
    return tuple(numbers[:3]), numbers[3] if len(numbers) == 4 else 1


def axis(figure):
    """Return a function from a height in the drawing to a value, from two labels of the axis."""
    labels = figure.locator("svg text").evaluate_all(
        "nodes => nodes.map(node => [node.textContent, Number(node.getAttribute('y')) - 4])"
    )
    ticks = [
        (float(text), y) for text, y in labels if re.fullmatch(r"[+-]?[\d.]+", text)
    ]
    (a, ya), (b, yb) = min(ticks), max(ticks)
    return lambda y: a + (y - ya) * (b - a) / (yb - ya)


def line(figure):
    value = axis(figure)
    points = figure.locator("svg polyline").get_attribute("points").split()
    return [value(float(point.split(",")[1])) for point in points]


@SIZES
@BOTH
def test_it_starts_with_the_first_unit_and_quantity_at_the_start(show, data, size):
    figure = show(data, size)
    first = data["quantities"][0]["key"]
    assert_it_shows(figure, data, 0, first, data.get("start", 0))
    shown = figure.locator("[role=option]").all_inner_texts()
    assert "".join(shown) == TEXT.replace(" ", "␣").replace("\n", "↵")
    assert "It starts so." not in figure.inner_text()


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
            assert line(figure) == pytest.approx(
                data["values"][item["key"]][unit], abs=0.02
            )
    figure.get_by_role("combobox").focus()
    figure.page.keyboard.press("Home")
    last = data["quantities"][-1]["key"]
    assert_it_shows(figure, data, 0, last, place)
    figure.page.keyboard.press("ArrowDown")
    assert_it_shows(figure, data, 1, last, place)
    figure.page.keyboard.press("Tab")
    figure.page.keyboard.press("Tab")
    figure.page.keyboard.press("Enter")
    assert_it_shows(figure, data, 1, data["quantities"][1]["key"], place)


@SIZES
def test_keys_move_along_the_text(show, size):
    figure = show(GRU, size)
    keyboard = figure.page.keyboard
    figure.get_by_role("button").last.focus()
    keyboard.press("Tab")
    for key, place in [
        ("ArrowLeft", 0),
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowRight", 3),
        ("ArrowLeft", 2),
        ("End", len(TEXT) - 1),
        ("ArrowRight", len(TEXT) - 1),
        ("Home", 0),
    ]:
        keyboard.press(key)
        assert_it_shows(figure, GRU, 0, "z", place)
        assert (
            cells(figure).nth(place).evaluate("node => node === document.activeElement")
        )
    keyboard.press("Shift+Tab")
    assert figure.page.evaluate("document.activeElement.tagName") == "BUTTON"


@SIZES
def test_up_and_down_keys_go_to_the_next_line(show, size):
    figure = show(GRU, size)
    cells(figure).nth(3).focus()
    cells(figure).nth(3).click()
    boxes = [cell.bounding_box() for cell in cells(figure).all()]
    tops = sorted({round(box["y"]) for box in boxes})
    assert len(tops) > 1
    figure.page.keyboard.press("ArrowDown")
    below = chosen(figure)
    assert round(boxes[below]["y"]) == tops[1]
    assert boxes[below]["x"] == pytest.approx(boxes[3]["x"], abs=boxes[3]["width"])
    figure.page.keyboard.press("ArrowUp")
    assert chosen(figure) == 3
    figure.page.keyboard.press("ArrowUp")
    assert chosen(figure) == 3


def test_the_mouse_picks_a_character_by_pointing(show):
    figure = show(LSTM)
    for place in (5, 40, 3):
        cells(figure).nth(place).hover()
        assert_it_shows(figure, LSTM, 0, "i", place)
    figure.page.mouse.move(2, 2)
    assert chosen(figure) == 3, "it stays when the pointer leaves"


def test_the_text_may_move_under_a_resting_pointer(show):
    figure = show(LSTM, {"width": 360, "height": 400})
    cells(figure).nth(50).hover()
    cells(figure).nth(50).focus()
    figure.page.evaluate("window.scrollBy(0, 36)")
    figure.page.wait_for_timeout(300)
    assert chosen(figure) == 50


def test_a_finger_picks_a_character_by_tapping(show):
    figure = show(GRU, browser.PHONE, has_touch=True)
    cells(figure).nth(30).tap()
    assert_it_shows(figure, GRU, 0, "z", 30)


def test_the_drawing_picks_characters_too(show):
    figure = show(GRU)
    box = figure.locator("svg").bounding_box()
    figure.page.mouse.move(box["x"] + box["width"] - 13, box["y"] + 40)
    assert_it_shows(figure, GRU, 0, "z", len(TEXT) - 1)
    figure.page.mouse.move(box["x"] + 1, box["y"] + 40)
    assert_it_shows(figure, GRU, 0, "z", 0)


def test_a_gate_colors_the_text_in_the_color_of_the_network(show):
    figure = show(GRU)
    for place in range(20):
        color, opacity = background(figure, place)
        assert color == COLORS["gru"]
        assert opacity == pytest.approx(
            STRONGEST * GRU["values"]["z"][0][place], abs=0.01
        )


@BOTH
def test_a_state_colors_the_text_blue_or_orange_and_its_color_has_limits(show, data):
    figure = show(data)
    key = "h" if data is GRU else "c"
    figure.get_by_role("button", name=quantity(data, key)["name"]).click()
    values = data["values"][key][0]
    for place, value in list(enumerate(values))[:40]:
        color, opacity = background(figure, place)
        assert color == COLORS["lstm" if value > 0 else "rnn"]
        assert opacity == pytest.approx(STRONGEST * min(1, abs(value)), abs=0.01)
    assert (max(map(abs, values)) > 1) == (data is LSTM), "a value beyond the limits"


def test_the_marker_stands_on_the_line(show):
    figure = show(LSTM)
    figure.get_by_role("button", name="cell state c").click()
    for place in (0, 33, len(TEXT) - 1):
        cells(figure).nth(place).hover()
        marker = figure.locator("circle.marker")
        points = figure.locator("svg polyline").get_attribute("points").split()
        x, y = map(float, points[place].split(","))
        assert float(marker.get_attribute("cx")) == pytest.approx(x, abs=0.01)
        assert float(marker.get_attribute("cy")) == pytest.approx(y, abs=0.01)
        value = LSTM["values"]["c"][0][place]
        assert axis(figure)(y) == pytest.approx(value, abs=0.02)


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
    figure = show(data, {"width": 360, "height": 700})
    assert_it_shows(figure, data, 0, "c", data["start"])
    assert figure.get_by_role("combobox").inner_text() == "<b>first</b>"
    width = figure.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360


def test_two_figures_do_not_disturb_each_other(open_live):
    page = open_live(
        ("gates", GRU, "Gates"), ("gates", GRU, "Gates"), ("gates", LSTM, "Gates")
    )
    first, twin, third = page.locator("figure.live").all()
    first.get_by_role("combobox").select_option("42")
    first.get_by_role("button", name="hidden state h").click()
    cells(third).nth(60).hover()
    cells(first).nth(7).hover()
    assert_it_shows(first, GRU, 1, "h", 7)
    assert_it_shows(twin, GRU, 0, "z", 0)
    assert_it_shows(third, LSTM, 0, "i", 60)


@BOTH
@pytest.mark.parametrize("width", [340, 360])
def test_it_fits_a_small_phone(show, data, width):
    figure = show(data, {"width": width, "height": 700})
    assert figure.page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = figure.locator("svg text").evaluate_all(
        "nodes => nodes.map(node => node.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 12


def test_a_long_word_is_broken(show):
    data = GRU | {"text": "x" * len(TEXT)}
    figure = show(data, {"width": 340, "height": 700})
    assert figure.page.evaluate("document.documentElement.scrollWidth") <= 340


@pytest.mark.parametrize("scheme", ["light", "dark"])
@BOTH
def test_everyone_can_use_it(show, data, scheme):
    figure = show(data, color_scheme=scheme)
    for item in data["quantities"]:
        figure.get_by_role("button", name=item["name"]).click()
        found = (
            Axe()
            .run(figure.page, context={"include": [["figure"]]})
            .response["violations"]
        )
        assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found] == []


def luminance(color):
    parts = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in color)
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


# Text and ground of the book, and of JupyterLab's and Colab's dark pages.
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
    mixed = [
        STRONGEST * over + (1 - STRONGEST) * under
        for over, under in zip(COLORS[network], ground, strict=True)
    ]
    light, dark = sorted((luminance(ink), luminance(mixed)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"formula": "h = {nothing}"}, "values.nothing must hold 97 numbers for each"),
        ({"text": "the"}, "values.z must hold 3 numbers for each of 3 units"),
        ({"units": [17]}, "values.z must hold 97 numbers for each of 1 units"),
    ],
)
def test_data_that_does_not_fit_leaves_the_fallback(
    chromium, tmp_path, change, message
):
    path = tmp_path / "bad.html"
    path.write_text(
        live.show("gates", GRU | change, title="Bad", fallback="Words.").data,
        encoding="utf-8",
    )
    page = chromium.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    assert page.locator(".live-root").inner_text() == "Words."
    assert message in errors[0]
    page.close()
