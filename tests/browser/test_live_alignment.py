"""The live figure of a decoder's attention, moved as a reader moves it."""

import re

import pytest

from tests.browser.figures import ALIGNMENT
from tests.browser.reader import PHONE, SIZES, narrow

pytestmark = pytest.mark.browser

FIRST = ALIGNMENT["examples"][0]
SHOWN = {" ": "␣", "\n": "↵"}
NAMES = {" ": "space", "\n": "line break"}
STRONGEST = 0.45
SEEN = """figure => ({
  cells: Object.fromEntries(["source", "output"].map(side => [side, Array.from(
    figure.querySelector(`[aria-label="the characters of the ${side}"]`).children,
    node => ({ text: node.innerText, selected: node.ariaSelected === "true",
      reached: node.tabIndex === 0, focused: node === document.activeElement,
      color: getComputedStyle(node).backgroundColor }))])),
  rows: Array.from(figure.querySelectorAll("tr"), row =>
    [row.querySelector("th").innerText, Number(row.querySelector("output").innerText)]),
  sentence: [...figure.querySelectorAll(".live-root > p")].pop().innerText,
})"""


def cells(figure, side):
    line = figure.get_by_role("listbox", name=f"the characters of the {side}")
    return line.get_by_role("option")


def opacity(color):
    """Return how opaque a character's shade is; it must be the GRU's green."""
    *rgb, alpha = [float(n) for n in re.findall(r"[\d.]+", f"{color} 1")][:4]
    assert rgb in ([0, 158, 115], [0, 0, 0])
    return alpha


def quoted(character):
    return NAMES.get(character, f"'{character}'")


def assert_it_shows(figure, item, side, place, focused=False):
    seen = figure.evaluate(SEEN)
    other = "source" if side == "output" else "output"
    table = item["weights"]
    weights = table[place] if side == "output" else [row[place] for row in table]
    for each, found in seen["cells"].items():
        assert [cell["text"] for cell in found] == [SHOWN.get(c, c) for c in item[each]]
        selected = [i for i, cell in enumerate(found) if cell["selected"]]
        assert selected == ([place] if each == side else [])
        assert sum(cell["reached"] for cell in found) == 1
    assert seen["cells"][side][place]["focused"] or not focused
    shades = {s: [opacity(c["color"]) for c in seen["cells"][s]] for s in (side, other)}
    assert shades[other] == pytest.approx([STRONGEST * w for w in weights], abs=0.01)
    assert shades[side] == [0] * len(item[side])
    most = sorted(range(len(weights)), key=lambda i: -weights[i])[:3]
    assert [heading for heading, _ in seen["rows"]] == [
        f"{quoted(item[other][i])}, character {i + 1}" for i in most
    ]
    numbers = [number for _, number in seen["rows"]]
    assert numbers == pytest.approx([weights[i] for i in most], abs=0.0051)
    named = f"{quoted(item[side][place])}, character {place + 1} of the {side}, "
    assert named in seen["sentence"]


@SIZES
def test_it_starts_with_the_first_character_of_the_output(show, size):
    figure = show(size=size)
    assert_it_shows(figure, FIRST, "output", 0)
    assert figure.locator(".space").all_inner_texts() == ["␣"] * 3


@SIZES
@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_clicks_choose_examples_and_characters(show, size, chosen):
    figure = show(size=size)
    figure.get_by_role("combobox", name="example").select_option(str(chosen))
    item = ALIGNMENT["examples"][chosen]
    assert_it_shows(figure, item, "output", 0)
    for side in ("output", "source"):
        for place in range(len(item[side])):
            cells(figure, side).nth(place).click()
            assert_it_shows(figure, item, side, place)


def test_another_example_starts_at_its_beginning(show):
    figure = show()
    cells(figure, "source").nth(16).click()
    figure.get_by_role("combobox").select_option("1")
    assert_it_shows(figure, ALIGNMENT["examples"][1], "output", 0)
    names = figure.get_by_role("combobox").get_by_role("option").all_inner_texts()
    assert names == [item["source"] for item in ALIGNMENT["examples"]]


def test_pointing_is_enough_and_stays(show):
    figure = show()
    for side, place in [("output", 6), ("source", 3), ("source", 4), ("output", 0)]:
        cells(figure, side).nth(place).hover()
        assert_it_shows(figure, FIRST, side, place)
    cells(figure, "source").nth(9).hover()
    figure.page.mouse.move(1, 1)
    assert_it_shows(figure, FIRST, "source", 9)


def test_a_finger_picks_by_tapping(show):
    figure = show(size=PHONE, has_touch=True)
    for side, place in [("output", 4), ("source", 13)]:
        cells(figure, side).nth(place).tap()
        assert_it_shows(figure, FIRST, side, place)


@SIZES
def test_keys_move_along_both_lines(show, size):
    figure = show(size=size)
    figure.get_by_role("combobox").focus()
    for side, keys, places in [
        ("source", "Tab ArrowRight End ArrowRight", (0, 1, 16, 16)),
        ("output", "Tab ArrowLeft ArrowRight ArrowRight ArrowLeft", (0, 0, 1, 2, 1)),
        ("output", "End Home", (9, 0)),
        ("source", "Shift+Tab", (16,)),
    ]:
        for key, place in zip(keys.split(), places, strict=True):
            figure.page.keyboard.press(key)
            assert_it_shows(figure, FIRST, side, place, focused=True)


def test_each_character_says_its_strongest_partner(show):
    item = {"source": "a b", "output": "x ", "weights": [[0.1, 0.7, 0.2], [0.9, 0, 0]]}
    figure = show({"examples": [item]})
    labels = "nodes => nodes.map(node => node.ariaLabel)"
    assert cells(figure, "output").evaluate_all(labels) == [
        "x, most with space, 0.70",
        "space, most with 'a', 0.90",
    ]
    assert cells(figure, "source").evaluate_all(labels) == [
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


def test_a_finger_can_hit_each_character(show):
    figure = show(size=narrow(320))
    figure.get_by_role("combobox").select_option("4")
    for box in [cell.bounding_box() for cell in cells(figure, "source").all()]:
        assert min(box["width"], box["height"]) >= 24
