"""The live figure of blanks in a text, filled as a reader fills them."""

import pytest

from tests.browser.figures import CLOZE, MODELS, TEXT, blank
from tests.browser.reader import PHONE, SIZES, narrow, needed_width

pytestmark = pytest.mark.browser

SHOWN = {" ": "␣", "\n": "↵"}
SEEN = """figure => ({
  pressed: Array.from(figure.querySelectorAll(".blank"), n => n.ariaPressed === "true"),
  where: figure.querySelector("output").innerText,
  charts: Array.from(figure.querySelectorAll("[role=img]"), chart => ({
    model: chart.querySelector("strong").innerText,
    rows: Array.from(chart.querySelectorAll(".bar"), row => {
      const [name, track, ...rest] = row.children;
      const bar = track.firstElementChild;
      return { texts: [name, ...rest].map(node => node.innerText),
        track: track.getBoundingClientRect().width,
        width: bar.getBoundingClientRect().width,
        color: getComputedStyle(bar).backgroundColor };
    }),
  })),
})"""


def slots(figure):
    return figure.locator(".blank")


def chart(figure, model):
    return figure.get_by_role("img", name=f"{model}, has read")


def written(figure):
    return figure.locator(".cloze").evaluate("node => node.textContent")


def percent(p):
    return "<1%" if 0 < p < 0.005 else f"{int(100 * p + 0.5)}%"


def assert_it_shows(figure, chosen, data=CLOZE):
    seen = figure.evaluate(SEEN)
    item, count = data["blanks"][chosen], len(data["blanks"])
    assert seen["pressed"] == [i == chosen for i in range(count)]
    assert seen["where"] == f"blank {chosen + 1} of {count}"
    assert [each["model"] for each in seen["charts"]] == MODELS
    for each in seen["charts"]:
        guesses = item["guesses"][each["model"]]
        for row, (character, p) in zip(each["rows"], guesses, strict=True):
            right = character == item["answer"]
            texts = [SHOWN.get(character, character), percent(p), "✓" if right else ""]
            assert row["texts"] == texts
            assert row["width"] == pytest.approx(p * row["track"], abs=1.1)
            color = "rgb(0, 158, 115)" if right else "rgb(140, 140, 140)"
            assert row["color"] == color


def highlighted(figure):
    """Return the highlighted characters of the text, with _ for a blank."""
    parts = figure.locator(".cloze > span").evaluate_all(
        "nodes => nodes.filter(node => node.style.backgroundColor !== '')"
        ".map(node => node.className === 'blank' ? '_' : node.textContent)"
    )
    return "".join(parts)


def gapped(text, data=CLOZE):
    places = {item["position"] for item in data["blanks"]}
    return "".join("_" if i in places else c for i, c in enumerate(text))


@SIZES
def test_it_starts_with_the_first_blank_and_hides_all_answers(show, size):
    figure = show(size=size)
    assert_it_shows(figure, 0)
    assert written(figure) == gapped(TEXT).replace("_", "\xa0")
    assert highlighted(figure) == ""


@SIZES
def test_a_click_chooses_a_blank(show, size):
    figure = show(size=size)
    for chosen in (3, 4, 2, 0, 1):
        slots(figure).nth(chosen).click()
        assert_it_shows(figure, chosen)


def test_a_finger_chooses_a_blank_and_a_model(show):
    figure = show(size=PHONE, has_touch=True)
    slots(figure).nth(2).tap()
    assert_it_shows(figure, 2)
    chart(figure, "right to left").tap()
    assert highlighted(figure) == gapped(TEXT)[CLOZE["blanks"][2]["position"] + 1 :]


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_keys_choose_a_blank_and_keep_the_focus(show, key):
    figure = show()
    slots(figure).first.focus()
    for press in ("Tab", "Tab", key):
        figure.page.keyboard.press(press)
    assert_it_shows(figure, 2)
    assert slots(figure).nth(2).evaluate("node => node === document.activeElement")


def test_buttons_go_around_the_blanks(show):
    figure = show()
    for name, places in [("next", (1, 2)), ("previous", (1, 0, 4)), ("next", (0,))]:
        for chosen in places:
            figure.get_by_role("button", name=f"{name} blank").click()
            assert_it_shows(figure, chosen)


def test_the_answers_come_and_go(show):
    figure = show()
    button = figure.get_by_role("button", name="show the answers")
    answers = [SHOWN.get(item["answer"], item["answer"]) for item in CLOZE["blanks"]]
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert slots(figure).all_inner_texts() == answers
    assert slots(figure).nth(2).get_attribute("aria-label") == "blank 3, line break"
    figure.get_by_role("button", name="next blank").click()
    assert_it_shows(figure, 1)
    assert slots(figure).all_inner_texts() == answers
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert written(figure) == gapped(TEXT).replace("_", "\xa0")
    assert slots(figure).nth(2).get_attribute("aria-label") == "blank 3"


@pytest.mark.parametrize("chosen", range(5))
def test_a_model_shows_what_it_has_read(show, chosen):
    figure = show()
    slots(figure).nth(chosen).click()
    place = CLOZE["blanks"][chosen]["position"]
    text = gapped(TEXT)
    before, after = text[:place], text[place + 1 :]
    for model, expected, count in [
        ("left to right", before, f"the {len(before)} character"),
        ("right to left", after, f"the {len(after)} character"),
        ("both", before + after, f"all {len(before + after)} character"),
    ]:
        chart(figure, model).hover()
        assert highlighted(figure) == expected
        assert f"has read {count}" in chart(figure, model).inner_text()
        figure.page.mouse.move(1, 1)
        assert highlighted(figure) == ""
        chart(figure, model).focus()
        assert highlighted(figure) == expected
        focused = figure.page.evaluate("document.activeElement.ariaLabel")
        assert f"{model}, has read" in focused
        chart(figure, model).blur()
        assert highlighted(figure) == ""


def test_one_character_is_not_plural(show):
    text = chart(show(), "left to right").inner_text()
    assert "the 1 character before it" in text


def test_a_chart_says_its_bars(show):
    guesses = [[" ", 0.914], ["\n", 0.0041], ["b", 0]]
    item = {"position": 1, "answer": " ", "guesses": dict.fromkeys(MODELS, guesses)}
    figure = show({"text": "a b", "blanks": [item]})
    assert chart(figure, "both").get_attribute("aria-label") == (
        "both, has read all 2 characters around it:"
        " space 91% (right), line break <1%, b 0%"
    )


@pytest.mark.parametrize("blanks", [CLOZE["blanks"], CLOZE["blanks"][3:4]])
def test_it_counts_right_first_choices(show, blanks):
    counts = {
        model: sum(item["guesses"][model][0][0] == item["answer"] for item in blanks)
        for model in MODELS
    }
    listed = ", ".join(f"{model} {count}" for model, count in counts.items())
    text = show(CLOZE | {"blanks": blanks}).locator(".hits").inner_text()
    assert text == f"First choices that are right, of {len(blanks)}: {listed}."


def test_one_blank_alone_in_its_text(show):
    data = {"text": "x", "blanks": [blank("x", 0, (0, 0, 0))]}
    figure = show(data)
    assert figure.get_by_role("button", name="next blank").is_disabled()
    assert_it_shows(figure, 0, data)
    for model in MODELS:
        chart(figure, model).hover()
        assert highlighted(figure) == ""
    assert "the 0 characters before it" in figure.inner_text()


def test_blanks_in_any_order_and_side_by_side(show):
    blanks = [blank(TEXT, place, (0, 1, 2)) for place in (5, 6, 3)]
    figure = show(CLOZE | {"blanks": blanks})
    assert_it_shows(figure, 0, {"blanks": [blanks[2], *blanks[:2]]})
    figure.get_by_role("button", name="show the answers").click()
    assert written(figure) == TEXT[:3] + "␣" + TEXT[4:]


@pytest.mark.parametrize(
    "text", ["<b>&amp;</b> \"x\" 'y' <i>", "學而時習之,不亦說乎?😀有朋"]
)
def test_html_and_other_scripts_are_text(show, text):
    places = (0, 4, len(text) - 1)
    data = {"text": text, "blanks": [blank(text, place, (0, 0, 1)) for place in places]}
    figure = show(data)
    figure.get_by_role("button", name="show the answers").click()
    slots(figure).last.click()
    assert_it_shows(figure, 2, data)
    assert written(figure) == "".join(
        SHOWN.get(c, c) if i in places else c for i, c in enumerate(text)
    )
    chart(figure, "left to right").hover()
    assert highlighted(figure) == gapped(text, data)[:-1]


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_the_charts_stand_side_by_side_or_are_stacked(show, width):
    figure = show(size=narrow(width))
    boxes = [chart(figure, model).bounding_box() for model in MODELS]
    columns, rows = ({box[axis] for box in boxes} for axis in "xy")
    assert (len(columns), len(rows)) == ((3, 1) if width == 1280 else (1, 3))
    assert boxes[0]["width"] == pytest.approx(boxes[2]["width"], abs=1)


def test_a_word_with_a_blank_stays_whole_unless_it_is_too_long(show):
    text = "word " * 40
    blanks = [blank(text, place, (0, 0, 0)) for place in range(2, 200, 15)]
    figure = show({"text": text, "blanks": blanks}, narrow(360))
    heights = figure.locator(".cloze > span").evaluate_all(
        """spans => spans.flatMap(span => Array.from(span.textContent, (_, i) => {
          const range = document.createRange();
          range.setStart(span.firstChild, i);
          range.setEnd(span.firstChild, i + 1);
          const box = range.getBoundingClientRect();
          return (box.top + box.bottom) / 2;
        }))"""
    )
    for start in range(0, len(text), 5):
        word = heights[start : start + 4]
        assert max(word) - min(word) < 10
    long = "x" * 300
    figure = show({"text": long, "blanks": [blank(long, 7, (0, 0, 0))]}, narrow(360))
    assert needed_width(figure.page) <= 360
