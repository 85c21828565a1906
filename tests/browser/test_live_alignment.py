"""The live figure of a decoder's attention, moved as a reader moves it."""

import random
import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from tools import browser
from utils import live

pytestmark = pytest.mark.browser

SHOWN = {" ": "␣", "\n": "↵"}
NAMES = {" ": "space", "\n": "line break"}
STRONGEST = 0.45


def example(source, output="2026-11-23"):
    """Return an example with weights that no two characters share."""
    chance = random.Random(source)
    weights = []
    for _ in output:
        row = [chance.random() ** 6 for _ in source]
        weights.append([round(value / sum(row), 4) for value in row])
    return {"source": source, "output": output, "weights": weights}


DATA = {
    "examples": [
        example("Mon, Nov 23, 2026"),
        example("2026年11月23日 星期一"),
        example("the <b>3rd</b> of \"May\" & 'June' 😀", "2025-05-03"),
    ]
}
SIZES = pytest.mark.parametrize(
    "size", [browser.DESKTOP, browser.PHONE], ids=["desktop", "phone"]
)


@pytest.fixture
def show(open_live):
    def show(data=DATA, size=browser.DESKTOP, **options):
        page = open_live(("alignment", data, "Alignment"), viewport=size, **options)
        return page.locator("figure.live")

    return show


def cells(figure, side):
    line = figure.get_by_role("listbox", name=f"the characters of the {side}")
    return line.get_by_role("option")


def opacities(figure, side):
    """Return how opaque each character's shade is; all must be the GRU's green."""
    colors = cells(figure, side).evaluate_all(
        "nodes => nodes.map(node => getComputedStyle(node).backgroundColor)"
    )
    found = []
    for color in colors:
        numbers = [float(number) for number in re.findall(r"[\d.]+", color)]
        assert numbers[:3] in ([0, 158, 115], [0, 0, 0])
        found.append(numbers[3] if len(numbers) == 4 else 1)
    return found


def quoted(character):
    return NAMES.get(character, f"'{character}'")


def assert_it_shows(figure, item, side, place):
    other = "source" if side == "output" else "output"
    weights = (
        item["weights"][place]
        if side == "output"
        else [row[place] for row in item["weights"]]
    )
    for each in ("source", "output"):
        texts = cells(figure, each).all_inner_texts()
        assert texts == [SHOWN.get(c, c) for c in item[each]]
        marks = cells(figure, each).evaluate_all(
            "nodes => nodes.map(node => [node.ariaSelected === 'true', node.tabIndex === 0])"
        )
        selected = [i for i, (mark, _) in enumerate(marks) if mark]
        assert selected == ([place] if each == side else [])
        assert sum(reached for _, reached in marks) == 1
    assert opacities(figure, other) == pytest.approx(
        [STRONGEST * weight for weight in weights], abs=0.01
    )
    assert opacities(figure, side) == [0] * len(item[side])
    most = sorted(range(len(weights)), key=lambda i: -weights[i])[:3]
    rows = figure.locator("tr").all()
    assert len(rows) == len(most)
    for row, i in zip(rows, most, strict=True):
        heading = row.locator("th").inner_text()
        assert heading == f"{quoted(item[other][i])}, character {i + 1}"
        number = float(row.locator("output").inner_text())
        assert number == pytest.approx(weights[i], abs=0.0051)
    sentence = figure.locator(".live-root > p").last.inner_text()
    named = f"{quoted(item[side][place])}, character {place + 1} of the {side}, "
    assert named in sentence
    assert "undefined" not in figure.inner_html()
    assert "NaN" not in figure.inner_html()


@SIZES
def test_it_starts_with_the_first_character_of_the_output(show, size):
    figure = show(size=size)
    assert_it_shows(figure, DATA["examples"][0], "output", 0)
    assert "It starts so." not in figure.inner_text()
    faded = figure.locator(".space").all_inner_texts()
    assert faded == ["␣"] * 3


@SIZES
@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_clicks_choose_examples_and_characters(show, size, chosen):
    figure = show(size=size)
    figure.get_by_role("combobox", name="example").select_option(str(chosen))
    item = DATA["examples"][chosen]
    assert_it_shows(figure, item, "output", 0)
    for side in ("output", "source"):
        for place in range(len(item[side])):
            cells(figure, side).nth(place).click()
            assert_it_shows(figure, item, side, place)


def test_another_example_starts_at_its_beginning(show):
    figure = show()
    cells(figure, "source").nth(16).click()
    figure.get_by_role("combobox").select_option("1")
    assert_it_shows(figure, DATA["examples"][1], "output", 0)
    names = figure.get_by_role("option").all_inner_texts()
    assert names[:3] == [item["source"] for item in DATA["examples"]]


def test_pointing_is_enough_and_stays(show):
    figure = show()
    item = DATA["examples"][0]
    for side, place in [("output", 6), ("source", 3), ("source", 4), ("output", 0)]:
        cells(figure, side).nth(place).hover()
        assert_it_shows(figure, item, side, place)
    cells(figure, "source").nth(9).hover()
    figure.page.mouse.move(1, 1)
    assert_it_shows(figure, item, "source", 9)


def test_a_finger_picks_by_tapping(show):
    figure = show(size=browser.PHONE, has_touch=True)
    for side, place in [("output", 4), ("source", 13)]:
        cells(figure, side).nth(place).tap()
        assert_it_shows(figure, DATA["examples"][0], side, place)


@SIZES
def test_keys_move_along_both_lines(show, size):
    figure = show(size=size)
    item = DATA["examples"][0]
    keyboard = figure.page.keyboard
    figure.get_by_role("combobox").focus()
    keyboard.press("Tab")
    assert_it_shows(figure, item, "source", 0)
    for key, place in [("ArrowRight", 1), ("End", 16), ("ArrowRight", 16)]:
        keyboard.press(key)
        assert_it_shows(figure, item, "source", place)
    keyboard.press("Tab")
    assert_it_shows(figure, item, "output", 0)
    for key, place in [
        ("ArrowLeft", 0),
        ("ArrowRight", 1),
        ("ArrowRight", 2),
        ("ArrowLeft", 1),
        ("End", 9),
        ("Home", 0),
    ]:
        keyboard.press(key)
        assert_it_shows(figure, item, "output", place)
        focused = cells(figure, "output").nth(place)
        assert focused.evaluate("node => node === document.activeElement")
    keyboard.press("Shift+Tab")
    assert_it_shows(figure, item, "source", 16)


def test_each_character_says_its_strongest_partner(show):
    item = {"source": "a b", "output": "x ", "weights": [[0.1, 0.7, 0.2], [0.9, 0, 0]]}
    figure = show({"examples": [item]})
    labels = {
        side: cells(figure, side).evaluate_all(
            "nodes => nodes.map(node => node.ariaLabel)"
        )
        for side in ("source", "output")
    }
    assert labels["output"] == [
        "x, most with space, 0.70",
        "space, most with 'a', 0.90",
    ]
    assert labels["source"] == [
        "a, most with space, 0.90",
        "space, most with 'x', 0.70",
        "b, most with 'x', 0.20",
    ]


@pytest.mark.parametrize(
    "item",
    [
        {"source": "七", "output": "7", "weights": [[1]]},
        {"source": "a\nb ", "output": "<&", "weights": [[0, 0, 0, 1], [1, 0, 0, 0]]},
    ],
)
def test_one_small_example_needs_no_list(show, item):
    figure = show({"examples": [item]})
    assert figure.get_by_role("combobox").count() == 0
    for side in ("output", "source"):
        for place in range(len(item[side])):
            cells(figure, side).nth(place).click()
            assert_it_shows(figure, item, side, place)


def test_two_figures_do_not_disturb_each_other(open_live):
    page = open_live(("alignment", DATA, "One"), ("alignment", DATA, "Two"))
    first, second = page.locator("figure.live").all()
    first.get_by_role("combobox").select_option("2")
    cells(first, "source").nth(5).click()
    assert_it_shows(second, DATA["examples"][0], "output", 0)
    assert_it_shows(first, DATA["examples"][2], "source", 5)


@pytest.mark.parametrize("width", [320, 360])
def test_it_fits_a_small_phone(show, width):
    long = {"examples": [*DATA["examples"], example("a very long date, " * 6)]}
    figure = show(long, {"width": width, "height": 700})
    for i in range(len(long["examples"])):
        figure.get_by_role("combobox").select_option(str(i))
        assert figure.page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [cell.bounding_box() for cell in cells(figure, "source").all()]
    assert min(box["width"] for box in boxes) >= 24
    assert min(box["height"] for box in boxes) >= 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_use_it(show, scheme):
    sharp = {
        "source": "a b",
        "output": "xyz",
        "weights": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    }
    figure = show({"examples": [sharp, *DATA["examples"]]}, color_scheme=scheme)
    for place in (0, 2):
        cells(figure, "output").nth(place).click()
        found = (
            Axe()
            .run(figure.page, context={"include": [["figure"]]})
            .response["violations"]
        )
        assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found] == []


@pytest.mark.parametrize(
    "weights", [[[1, 0]], [[1, 0, 0]], [[1, 0], [0, 1], [0, 1]], [[1, 0], [1]]]
)
def test_weights_that_do_not_fit_leave_the_fallback(chromium, tmp_path, weights):
    data = {"examples": [{"source": "ab", "output": "xy", "weights": weights}]}
    path = tmp_path / "bad.html"
    path.write_text(
        live.show("alignment", data, title="Bad", fallback="Words.").data,
        encoding="utf-8",
    )
    page = chromium.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    assert page.locator(".live-root").inner_text() == "Words."
    assert "the weights of 'ab' must hold 2 numbers for each of 2" in errors[0]
    page.close()
