"""The live figure of blanks in a text, filled as a reader fills them."""

import random

import pytest
from axe_playwright_python.sync_playwright import Axe

from tools import browser
from utils import live

pytestmark = pytest.mark.browser

TEXT = "the tide came in, and the old clock on the stair\nstruck nine before the boat was tied to the pier"
MODELS = ["left to right", "right to left", "both"]
SHOWN = {" ": "␣", "\n": "↵"}


def blank(text, position, ranks, seed=0):
    """Return a blank; ``ranks`` says at which place each model has the right answer (5: nowhere)."""
    answer = text[position]
    chance = random.Random(f"{position} {seed}")
    guesses = {}
    for model, rank in zip(MODELS, ranks, strict=True):
        characters = chance.sample(sorted(set("etaoin sh\n") - {answer}), 5)
        characters.insert(rank, answer)
        weights = sorted((chance.random() ** 3 for _ in range(6)), reverse=True)
        guesses[model] = [
            [character, round(weight / sum(weights), 4)]
            for character, weight in zip(characters[:5], weights, strict=False)
        ]
    return {"position": position, "answer": answer, "guesses": guesses}


DATA = {
    "text": TEXT,
    "blanks": [
        blank(TEXT, 1, (0, 1, 0)),
        blank(TEXT, 26, (2, 0, 0)),
        blank(TEXT, TEXT.index("\n"), (5, 3, 0)),
        blank(TEXT, 60, (1, 4, 1)),
        blank(TEXT, len(TEXT) - 1, (0, 5, 0)),
    ],
}
SIZES = pytest.mark.parametrize(
    "size", [browser.DESKTOP, browser.PHONE], ids=["desktop", "phone"]
)


@pytest.fixture
def show(open_live):
    def show(data=DATA, size=browser.DESKTOP, **options):
        page = open_live(("cloze", data, "Fill the blank"), viewport=size, **options)
        return page.locator("figure.live")

    return show


def slots(figure):
    return figure.locator(".blank")


def chart(figure, model):
    return figure.get_by_role("img", name=f"{model}, has read")


def percent(p):
    return "<1%" if 0 < p < 0.005 else f"{int(100 * p + 0.5)}%"


def assert_it_shows(figure, data, chosen):
    item = data["blanks"][chosen]
    pressed = slots(figure).evaluate_all(
        "nodes => nodes.map(node => node.ariaPressed === 'true')"
    )
    assert pressed == [i == chosen for i in range(len(data["blanks"]))]
    count = len(data["blanks"])
    assert figure.locator("output").inner_text() == f"blank {chosen + 1} of {count}"
    for model in MODELS:
        rows = chart(figure, model).locator(".bar").all()
        guesses = item["guesses"][model]
        assert len(rows) == len(guesses)
        for row, (character, p) in zip(rows, guesses, strict=True):
            cells = row.locator("> *").all_inner_texts()
            right = character == item["answer"]
            assert cells[0] == SHOWN.get(character, character)
            assert cells[2:] == [percent(p), "✓" if right else ""]
            bar = row.locator("i")
            track = bar.locator("..").bounding_box()["width"]
            assert bar.bounding_box()["width"] == pytest.approx(p * track, abs=1.1)
            color = bar.evaluate("node => getComputedStyle(node).backgroundColor")
            assert color == ("rgb(0, 158, 115)" if right else "rgb(140, 140, 140)")
    assert "NaN" not in figure.inner_html()
    assert "undefined" not in figure.inner_html()


def highlighted(figure):
    """Return the highlighted characters of the text, with _ for a blank."""
    return "".join(
        "_" if blank else text
        for text, blank, marked in figure.locator(".cloze > span").evaluate_all(
            "nodes => nodes.map(node => [node.textContent, node.className === 'blank',"
            " node.style.backgroundColor !== ''])"
        )
        if marked
    )


def gapped(text, data=DATA):
    places = {item["position"] for item in data["blanks"]}
    return "".join("_" if i in places else c for i, c in enumerate(text))


@SIZES
def test_it_starts_with_the_first_blank_and_hides_all_answers(show, size):
    figure = show(size=size)
    assert_it_shows(figure, DATA, 0)
    shown = figure.locator(".cloze").evaluate("node => node.textContent")
    assert shown == gapped(TEXT).replace("_", "\xa0")
    assert highlighted(figure) == ""
    assert "It starts so." not in figure.inner_text()


@SIZES
def test_a_click_chooses_a_blank(show, size):
    figure = show(size=size)
    for chosen in (3, 4, 2, 0, 1):
        slots(figure).nth(chosen).click()
        assert_it_shows(figure, DATA, chosen)


def test_a_finger_chooses_a_blank_and_a_model(show):
    figure = show(size=browser.PHONE, has_touch=True)
    slots(figure).nth(2).tap()
    assert_it_shows(figure, DATA, 2)
    chart(figure, "right to left").tap()
    assert highlighted(figure) == gapped(TEXT)[DATA["blanks"][2]["position"] + 1 :]


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_keys_choose_a_blank_and_keep_the_focus(show, key):
    figure = show()
    keyboard = figure.page.keyboard
    slots(figure).first.focus()
    keyboard.press("Tab")
    keyboard.press("Tab")
    keyboard.press(key)
    assert_it_shows(figure, DATA, 2)
    assert slots(figure).nth(2).evaluate("node => node === document.activeElement")


def test_buttons_go_around_the_blanks(show):
    figure = show()
    previous = figure.get_by_role("button", name="previous blank")
    following = figure.get_by_role("button", name="next blank")
    for button, chosen in [
        (following, 1),
        (following, 2),
        (previous, 1),
        (previous, 0),
        (previous, 4),
        (following, 0),
    ]:
        button.click()
        assert_it_shows(figure, DATA, chosen)


def test_the_answers_come_and_go(show):
    figure = show()
    button = figure.get_by_role("button", name="show the answers")
    answers = [SHOWN.get(item["answer"], item["answer"]) for item in DATA["blanks"]]
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert slots(figure).all_inner_texts() == answers
    assert slots(figure).nth(2).get_attribute("aria-label") == "blank 3, line break"
    figure.get_by_role("button", name="next blank").click()
    assert_it_shows(figure, DATA, 1)
    assert slots(figure).all_inner_texts() == answers
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    texts = slots(figure).evaluate_all("nodes => nodes.map(node => node.textContent)")
    assert texts == ["\xa0"] * 5
    assert slots(figure).nth(2).get_attribute("aria-label") == "blank 3"


@pytest.mark.parametrize("chosen", range(5))
def test_a_model_shows_what_it_has_read(show, chosen):
    figure = show()
    slots(figure).nth(chosen).click()
    place = DATA["blanks"][chosen]["position"]
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
        assert f"{model}, has read" in figure.page.evaluate(
            "document.activeElement.ariaLabel"
        )
        chart(figure, model).blur()
        assert highlighted(figure) == ""


def test_one_character_is_not_plural(show):
    figure = show()
    assert "the 1 character before it" in chart(figure, "left to right").inner_text()


def test_a_chart_says_its_bars(show):
    figure = show(
        {
            "text": "a b",
            "blanks": [
                {
                    "position": 1,
                    "answer": " ",
                    "guesses": {
                        model: [[" ", 0.914], ["\n", 0.0041], ["b", 0]]
                        for model in MODELS
                    },
                }
            ],
        }
    )
    assert chart(figure, "both").get_attribute("aria-label") == (
        "both, has read all 2 characters around it: space 91% (right), line break <1%, b 0%"
    )


@pytest.mark.parametrize("blanks", [DATA["blanks"], DATA["blanks"][3:4]])
def test_it_counts_right_first_choices(show, blanks):
    figure = show(DATA | {"blanks": blanks})
    counts = [
        f"{model} "
        + str(sum(item["guesses"][model][0][0] == item["answer"] for item in blanks))
        for model in MODELS
    ]
    assert figure.locator(".hits").inner_text() == (
        f"First choices that are right, of {len(blanks)}: {', '.join(counts)}."
    )


def test_one_blank_alone_in_its_text(show):
    item = blank("x", 0, (0, 0, 0))
    figure = show({"text": "x", "blanks": [item]})
    assert figure.get_by_role("button", name="next blank").is_disabled()
    assert_it_shows(figure, {"blanks": [item]}, 0)
    for model in MODELS:
        chart(figure, model).hover()
        assert highlighted(figure) == ""
    assert "the 0 characters before it" in figure.inner_text()


def test_blanks_in_any_order_and_side_by_side(show):
    blanks = [blank(TEXT, place, (0, 1, 2)) for place in (5, 6, 3)]
    figure = show(DATA | {"blanks": blanks})
    assert_it_shows(figure, {"blanks": sorted(blanks, key=lambda b: b["position"])}, 0)
    figure.get_by_role("button", name="show the answers").click()
    shown = figure.locator(".cloze").evaluate("node => node.textContent")
    assert shown == TEXT[:3] + "␣" + TEXT[4:]


@pytest.mark.parametrize(
    "text", ["<b>&amp;</b> \"x\" 'y' <i>", "學而時習之,不亦說乎?😀有朋"]
)
def test_html_and_other_scripts_are_text(show, text):
    data = {"text": text, "blanks": []}
    for place in (0, 4, len(text) - 1):
        data["blanks"].append(blank(text, place, (0, 0, 1)))
    figure = show(data)
    figure.get_by_role("button", name="show the answers").click()
    slots(figure).last.click()
    assert_it_shows(figure, data, 2)
    shown = figure.locator(".cloze").evaluate("node => node.textContent")
    assert shown == "".join(
        SHOWN.get(c, c) if i in (0, 4, len(text) - 1) else c for i, c in enumerate(text)
    )
    chart(figure, "left to right").hover()
    assert highlighted(figure) == gapped(text, data)[:-1]


def test_two_figures_do_not_disturb_each_other(open_live):
    page = open_live(("cloze", DATA, "One"), ("cloze", DATA, "Two"))
    first, second = page.locator("figure.live").all()
    slots(first).nth(3).click()
    first.get_by_role("button", name="show the answers").click()
    chart(first, "both").hover()
    assert_it_shows(second, DATA, 0)
    assert highlighted(second) == ""
    assert slots(second).first.inner_text().strip() == ""


@pytest.mark.parametrize("width", [320, 360])
def test_it_fits_a_small_phone_and_stacks_the_charts(show, width):
    figure = show(size={"width": width, "height": 700})
    assert figure.page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [chart(figure, model).bounding_box() for model in MODELS]
    assert len({box["x"] for box in boxes}) == 1
    assert len({box["y"] for box in boxes}) == 3


def test_the_charts_stand_side_by_side_on_a_desktop(show):
    figure = show()
    boxes = [chart(figure, model).bounding_box() for model in MODELS]
    assert len({box["y"] for box in boxes}) == 1
    assert boxes[0]["width"] == pytest.approx(boxes[2]["width"], abs=1)


def test_a_word_with_a_blank_stays_whole_unless_it_is_too_long(show):
    text = "word " * 40
    blanks = [blank(text, place, (0, 0, 0)) for place in range(2, 200, 15)]
    figure = show({"text": text, "blanks": blanks}, {"width": 360, "height": 700})
    tops = figure.locator(".cloze").evaluate(
        """node => {
          const ranges = [];
          for (const span of node.children) for (let i = 0; i < span.textContent.length; i++) {
            const range = document.createRange();
            range.setStart(span.firstChild, i);
            range.setEnd(span.firstChild, i + 1);
            const box = range.getBoundingClientRect();
            ranges.push((box.top + box.bottom) / 2);
          }
          return ranges;
        }"""
    )
    for start in range(0, len(text), 5):
        word = tops[start : start + 4]
        assert max(word) - min(word) < 10
    long = "x" * 300
    figure = show(
        {"text": long, "blanks": [blank(long, 7, (0, 0, 0))]},
        {"width": 360, "height": 700},
    )
    assert figure.page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_use_it(show, scheme):
    figure = show(color_scheme=scheme)
    figure.get_by_role("button", name="show the answers").click()
    for model in MODELS:
        chart(figure, model).hover()
        found = (
            Axe()
            .run(figure.page, context={"include": [["figure"]]})
            .response["violations"]
        )
        assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "the tale"}, "the text has 'undefined' at position 26"),
        ({"text": "xyz" * 40}, "has 'y' at position 1; expected the answer 'h'"),
        ({"blanks": []}, "there are no blanks"),
        (
            {"blanks": [DATA["blanks"][0] | {"guesses": {"both": [["h", 1]]}}]},
            "position 1 has no guesses 'left to right'",
        ),
    ],
)
def test_data_that_does_not_fit_leaves_the_fallback(
    chromium, tmp_path, change, message
):
    path = tmp_path / "bad.html"
    path.write_text(
        live.show("cloze", DATA | change, title="Bad", fallback="Words.").data,
        encoding="utf-8",
    )
    page = chromium.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    assert page.locator(".live-root").inner_text() == "Words."
    assert message in errors[0]
    page.close()
