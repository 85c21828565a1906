"""The live figure of `output` and `h_n`, held against what PyTorch returns."""

import re

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from torch import nn

from tools import browser
from utils import live

pytestmark = pytest.mark.browser

DATA = {"num_steps": 5, "batch": 4, "num_hiddens": 16, "rnn": "GRU"}
INPUTS = 3
COLORS = {"RNN": "#E69F00", "GRU": "#009E73", "LSTM": "#0072B2"}
CASES = [
    (layers, directions, batch_first)
    for layers in (1, 2, 3)
    for directions in (1, 2)
    for batch_first in (False, True)
]


@pytest.fixture
def show(open_live):
    def show(data=DATA, size=browser.DESKTOP, **options):
        page = open_live(
            ("output_and_state", data, "What they hold"), viewport=size, **options
        )
        return page.locator("figure.live")

    return show


def choose(figure, layers, directions, batch_first):
    for name, number in (("layers", layers), ("directions", directions)):
        group = figure.get_by_role("group", name=name)
        group.get_by_role("button", name=str(number), exact=True).click()
    figure.get_by_role("checkbox", name="batch_first").set_checked(batch_first)


def run(layers, directions, batch_first, data=DATA):
    """Return ``output``, ``h_n`` and all states ``[layer][direction][step]`` of a network of random weights.

    The states come from networks of one layer each, stacked by hand, that share the big one's weights.
    """
    torch.manual_seed(0)
    hiddens = data["num_hiddens"]
    options = {"bidirectional": directions == 2}
    deep = nn.GRU(
        INPUTS, hiddens, num_layers=layers, batch_first=batch_first, **options
    )
    x = torch.randn(data["num_steps"], data["batch"], INPUTS)
    output, h_n = deep(x.transpose(0, 1) if batch_first else x)
    states = []
    for layer in range(layers):
        single = nn.GRU(x.shape[-1], hiddens, **options)
        single.load_state_dict(
            {
                name: deep.get_parameter(name.replace("_l0", f"_l{layer}"))
                for name, _ in single.named_parameters()
            }
        )
        x, _ = single(x)
        states.append(
            [
                list(half)
                for half in zip(*[s.split(hiddens, -1) for s in x], strict=True)
            ]
        )
    return output, h_n, states


def cells(figure):
    """Return what the figure says about each cell, by (layer, direction, step)."""
    labels = figure.locator("[role=option]").evaluate_all(
        "nodes => nodes.map(node => node.getAttribute('aria-label'))"
    )
    found = {}
    for label in labels:
        where, text = re.fullmatch(
            r"(layer \d of \d, \w+, step \d+): (.*)", label
        ).groups()
        layer, _, direction, step = re.fullmatch(
            r"layer (\d) of (\d), (\w+), step (\d+)", where
        ).groups()
        key = (
            int(layer) - 1,
            ["forward", "backward"].index(direction),
            int(step),
        )
        assert key not in found
        found[key] = text
    return found


def stated(text, name):
    """Return the expression for ``output`` or ``h_n`` in what is said about a cell, or None."""
    match = re.search(rf"\b{name}\[[^\]]*\]", text)
    return match and match.group()


def evaluate(expression, output, h_n):
    assert re.fullmatch(r"(output|h_n)\[[\d:, -]+\]", expression)
    return eval(expression, {"output": output, "h_n": h_n})


def reading(figure):
    return figure.locator("p.held").inner_text()


@pytest.mark.parametrize("case", CASES)
def test_the_stated_indices_are_those_of_pytorch(show, case):
    figure = show()
    choose(figure, *case)
    output, h_n, states = run(*case)
    said = cells(figure)
    assert len(said) == case[0] * case[1] * DATA["num_steps"]
    steps_of_output = output.transpose(0, 1) if case[2] else output
    for (layer, direction, step), text in said.items():
        state = states[layer][direction][step]
        for name, parts in (
            ("output", steps_of_output.split(DATA["num_hiddens"], -1)),
            ("h_n", [h_n]),
        ):
            expression = stated(text, name)
            held = any(
                torch.allclose(state, row, atol=1e-6) for part in parts for row in part
            )
            assert held == (expression is not None), text
            if expression:
                value = evaluate(expression, output, h_n)
                assert torch.allclose(value, state, atol=1e-6), text
    stated_states = [stated(text, "h_n") for text in said.values()]
    assert [name for name in stated_states if name] == [
        f"h_n[{i}]" for i in range(len(h_n))
    ]


@pytest.mark.parametrize("case", CASES)
def test_the_shapes_and_the_last_sentence_are_those_of_pytorch(show, case):
    figure = show()
    choose(figure, *case)
    output, h_n, _ = run(*case)
    for name, tensor in (("output", output), ("h_n", h_n)):
        line = figure.locator(f"[data-value={name}]").inner_text()
        assert line.replace("\xa0", " ").endswith(f") = {tuple(tensor.shape)}")
    line = figure.locator("[data-value=output]").inner_text().replace("\xa0", " ")
    axes = ["batch", "num_steps"] if case[2] else ["num_steps", "batch"]
    assert line.startswith(f"output ({', '.join(axes)}, directions * num_hiddens) = ")
    sentence = figure.locator(".verdict").inner_text()
    compared = re.match(r"h_n\[-1\] == (output\[[^\]]+\]): (yes|no)", sentence)
    last = evaluate(compared[1], output, h_n)
    assert torch.equal(last, h_n[-1]) == (compared[2] == "yes")
    if case[1] == 2:
        instead = re.search(r"at step 0: (output\[[^\]]+\])", sentence)[1]
        assert torch.equal(evaluate(instead, output, h_n), h_n[-1])
    assert ("never h_n" in sentence) == case[2]


@pytest.mark.parametrize("rnn", COLORS)
def test_color_and_outline_say_what_holds_a_cell(show, rnn):
    figure = show(DATA | {"rnn": rnn})
    for case in CASES[::2]:
        choose(figure, *case)
        drawn = figure.locator("rect.unit").evaluate_all(
            "nodes => nodes.map(node => [node.getAttribute('fill'), node.getAttribute('stroke')])"
        )
        for (fill, stroke), text in zip(drawn, cells(figure).values(), strict=True):
            assert (fill == COLORS[rnn] + "bf") == ("output[" in text)
            assert (stroke == "#D55E00") == ("h_n[" in text)
    swatches = figure.locator(".legend li").all_inner_texts()
    assert swatches == ["in output", "in h_n", "in both", "in neither"]


def test_the_drawing_has_steps_to_the_right_and_layers_upward(show):
    figure = show()
    boxes = dict(
        zip(
            cells(figure),
            [node.bounding_box() for node in figure.locator("rect.unit").all()],
            strict=True,
        )
    )
    for (layer, direction, step), box in boxes.items():
        if step:
            before = boxes[layer, direction, step - 1]
            assert box["x"] > before["x"] + before["width"]
        if direction:
            assert box["y"] + box["height"] < boxes[layer, 0, step]["y"]
        if layer:
            assert box["y"] + box["height"] < boxes[layer - 1, 1, step]["y"]


@pytest.mark.parametrize("size", [browser.DESKTOP, browser.PHONE])
def test_a_click_on_a_cell_says_what_it_is(show, size):
    figure = show(size=size)
    assert (
        reading(figure)
        == "layer 2 of 2, backward, step 0: output[0, :, 16:] and h_n[3]"
    )
    options = figure.locator("[role=option]")
    for i in range(options.count()):
        options.nth(i).click()
        assert reading(figure) == options.nth(i).get_attribute("aria-label")
        assert options.nth(i).get_attribute("aria-selected") == "true"
        assert figure.locator("[aria-selected=true]").count() == 1
        assert figure.locator("[role=option][tabindex='0']").count() == 1
    options.nth(2).click()
    assert reading(figure) == (
        "layer 1 of 2, forward, step 2: in neither; only layer 2 and step 3 of this row read it"
    )
    options.nth(7).click()
    assert reading(figure).endswith("only layer 2 and step 1 of this row read it")
    options.nth(12).click()
    assert reading(figure).endswith("step 2: output[2, :, :16], not in h_n")
    options.nth(5).click()
    assert reading(figure).endswith("step 0: h_n[1], not in output")


def test_a_finger_picks_a_cell(show):
    figure = show(size=browser.PHONE, has_touch=True)
    figure.locator("[role=option]").nth(4).tap()
    assert reading(figure).startswith("layer 1 of 2, forward, step 4: h_n[0]")


def test_keys_move_through_the_drawing(show):
    figure = show()
    keyboard = figure.page.keyboard
    figure.get_by_role("checkbox").focus()
    keyboard.press("Tab")
    for key, where in [
        ("ArrowUp", "layer 2 of 2, backward, step 0"),
        ("ArrowRight", "layer 2 of 2, backward, step 1"),
        ("ArrowDown", "layer 2 of 2, forward, step 1"),
        ("ArrowDown", "layer 1 of 2, backward, step 1"),
        ("End", "layer 1 of 2, backward, step 4"),
        ("ArrowRight", "layer 1 of 2, backward, step 4"),
        ("ArrowDown", "layer 1 of 2, forward, step 4"),
        ("ArrowDown", "layer 1 of 2, forward, step 4"),
        ("Home", "layer 1 of 2, forward, step 0"),
        ("ArrowLeft", "layer 1 of 2, forward, step 0"),
    ]:
        keyboard.press(key)
        assert reading(figure).startswith(where + ": ")
        focused = figure.page.evaluate("document.activeElement.ariaLabel")
        assert focused == reading(figure)
    keyboard.press("Shift+Tab")
    keyboard.press("Space")
    assert reading(figure).startswith("layer 1 of 2, forward, step 0: ")
    assert "(4, 5, 32)" in figure.inner_text().replace("\xa0", " ")


def test_the_chosen_cell_stays_or_gives_way_when_the_network_shrinks(show):
    figure = show()
    figure.locator("[role=option]").nth(18).click()
    assert reading(figure).startswith("layer 2 of 2, backward, step 3")
    choose(figure, 3, 2, False)
    assert reading(figure).startswith("layer 2 of 3, backward, step 3: in neither")
    choose(figure, 3, 1, False)
    assert reading(figure).startswith("layer 2 of 3, forward, step 3: in neither")
    choose(figure, 1, 1, True)
    assert reading(figure) == "layer 1 of 1, forward, step 3: output[:, 3], not in h_n"
    pressed = figure.locator("button[aria-pressed=true]").all_inner_texts()
    assert pressed == ["1", "1"]


@pytest.mark.parametrize("steps", [1, 12])
@pytest.mark.parametrize("width", [320, 360])
def test_few_and_many_steps_fit_a_phone(show, steps, width):
    data = DATA | {"num_steps": steps, "batch": 1, "num_hiddens": 512}
    figure = show(data, {"width": width, "height": 700})
    for case in CASES:
        choose(figure, *case)
        assert figure.page.evaluate("document.documentElement.scrollWidth") <= width
        assert "NaN" not in figure.inner_html()
        assert len(cells(figure)) == case[0] * case[1] * steps
    text = figure.locator("svg text").evaluate_all(
        "nodes => nodes.map(node => node.getBoundingClientRect().height)"
    )
    assert min(text) >= 12
    if steps == 1:
        assert cells(figure)[2, 1, 0] == "output[:, 0, 512:] and h_n[5]"


def test_the_focus_survives_a_change_of_width(show):
    figure = show(size={"width": 360, "height": 700})
    figure.locator("[role=option]").nth(3).focus()
    figure.page.set_viewport_size({"width": 900, "height": 700})
    figure.page.wait_for_function(
        "Math.abs(document.querySelector('svg').viewBox.baseVal.width"
        " - document.querySelector('svg').clientWidth) <= 1"
    )
    focused = figure.page.evaluate("document.activeElement.ariaLabel")
    assert focused.startswith("layer 1 of 2, forward, step 3")


def test_two_figures_do_not_disturb_each_other(open_live):
    page = open_live(
        ("output_and_state", DATA, "One"), ("output_and_state", DATA, "Two")
    )
    first, second = page.locator("figure.live").all()
    choose(first, 1, 1, True)
    first.locator("[role=option]").nth(1).click()
    assert reading(second).startswith("layer 2 of 2, backward, step 0: ")
    assert len(cells(second)) == 20


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_use_it(show, scheme):
    figure = show(color_scheme=scheme)
    for case in CASES[::5]:
        choose(figure, *case)
        found = (
            Axe()
            .run(figure.page, context={"include": [["figure"]]})
            .response["violations"]
        )
        assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found] == []


def test_an_unknown_network_leaves_the_fallback(chromium, tmp_path):
    path = tmp_path / "bad.html"
    shown = live.show(
        "output_and_state", DATA | {"rnn": "CNN"}, title="Bad", fallback="Words."
    )
    path.write_text(shown.data, encoding="utf-8")
    page = chromium.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    assert page.locator(".live-root").inner_text() == "Words."
    assert "rnn is CNN; expected RNN, GRU or LSTM" in errors[0]
    page.close()
