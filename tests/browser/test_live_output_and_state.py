"""The live figure of `output` and `h_n`, held against what PyTorch returns."""

import functools
import itertools
import re

import pytest
import torch
from torch import nn

from tests.browser.figures import STATES
from tests.browser.reader import PHONE, SIZES, narrow, needed_width, text_heights

pytestmark = pytest.mark.browser

HIDDENS, INPUTS = STATES["num_hiddens"], 3
COLORS = {"RNN": "#E69F00", "GRU": "#009E73", "LSTM": "#0072B2"}
CASES = list(itertools.product((1, 2, 3), (1, 2), (False, True)))
EACH_CASE = pytest.mark.parametrize("case", CASES)


def choose(figure, layers, directions, batch_first):
    for name, number in (("layers", layers), ("directions", directions)):
        group = figure.get_by_role("group", name=name)
        group.get_by_role("button", name=str(number), exact=True).click()
    figure.get_by_role("checkbox", name="batch_first").set_checked(batch_first)


@functools.cache
def run(layers, directions, batch_first):
    """Return ``output``, ``h_n`` and all states ``[layer][direction][step]``.

    The network has random weights. The states come from networks of one layer each,
    stacked by hand, that share its weights.
    """
    torch.manual_seed(0)
    options = {"bidirectional": directions == 2}
    sizes = {"num_layers": layers, "batch_first": batch_first}
    deep = nn.GRU(INPUTS, HIDDENS, **sizes, **options)
    x = torch.randn(STATES["num_steps"], STATES["batch"], INPUTS)
    output, h_n = deep(x.transpose(0, 1) if batch_first else x)
    states = []
    for layer in range(layers):
        single = nn.GRU(x.shape[-1], HIDDENS, **options)
        for name, weights in single.named_parameters():
            shared = deep.get_parameter(name.replace("_l0", f"_l{layer}"))
            weights.data = shared.data
        x, _ = single(x)
        states.append(x.split(HIDDENS, -1))
    return output, h_n, states


def cells(figure):
    """Return what the figure says about each cell, by (layer, direction, step)."""
    labels = figure.locator("[role=option]").evaluate_all(
        "nodes => nodes.map(node => node.getAttribute('aria-label'))"
    )
    found = {}
    for label in labels:
        pattern = r"layer (\d) of \d, (\w+), step (\d+): (.*)"
        layer, direction, step, text = re.fullmatch(pattern, label).groups()
        key = int(layer) - 1, ["forward", "backward"].index(direction), int(step)
        assert key not in found
        found[key] = text
    return found


def stated(text, name):
    """Return the expression for ``output`` or ``h_n`` in the text, or None."""
    match = re.search(rf"\b{name}\[[^\]]*\]", text)
    return match and match.group()


def evaluate(expression, output, h_n):
    assert re.fullmatch(r"(output|h_n)\[[\d:, -]+\]", expression)
    return eval(expression, {"output": output, "h_n": h_n})


def reading(figure):
    return figure.locator("p.held").inner_text()


def plain(text):
    return text.replace("\xa0", " ")


@EACH_CASE
def test_the_stated_indices_are_those_of_pytorch(show, case):
    figure = show()
    choose(figure, *case)
    output, h_n, states = run(*case)
    said = cells(figure)
    assert len(said) == case[0] * case[1] * STATES["num_steps"]
    by_step = output.transpose(0, 1) if case[2] else output
    held_by = {"output": torch.cat(by_step.split(HIDDENS, -1)), "h_n": h_n}
    for (layer, direction, step), text in said.items():
        state = states[layer][direction][step]
        for name, rows in held_by.items():
            expression = stated(text, name)
            held = any(torch.allclose(state, row, atol=1e-6) for row in rows)
            assert held == (expression is not None), text
            if expression:
                value = evaluate(expression, output, h_n)
                assert torch.allclose(value, state, atol=1e-6), text
    names = [name for text in said.values() if (name := stated(text, "h_n"))]
    assert names == [f"h_n[{i}]" for i in range(len(h_n))]


@EACH_CASE
def test_the_shapes_and_the_last_sentence_are_those_of_pytorch(show, case):
    figure = show()
    choose(figure, *case)
    output, h_n, _ = run(*case)
    lines = {
        name: plain(figure.locator(f"[data-value={name}]").inner_text())
        for name in ("output", "h_n")
    }
    assert lines["output"].endswith(f") = {tuple(output.shape)}")
    assert lines["h_n"].endswith(f") = {tuple(h_n.shape)}")
    axes = "batch, num_steps" if case[2] else "num_steps, batch"
    assert lines["output"].startswith(f"output ({axes}, directions * num_hiddens) = ")
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
    figure = show(STATES | {"rnn": rnn})
    for case in CASES[::2]:
        choose(figure, *case)
        drawn = figure.locator("rect.unit").evaluate_all(
            "nodes => nodes.map("
            "node => ['fill', 'stroke'].map(name => node.getAttribute(name)))"
        )
        for (fill, stroke), text in zip(drawn, cells(figure).values(), strict=True):
            assert (fill == COLORS[rnn] + "bf") == ("output[" in text)
            assert (stroke == "#D55E00") == ("h_n[" in text)
    swatches = figure.locator(".legend li").all_inner_texts()
    assert swatches == ["in output", "in h_n", "in both", "in neither"]


def test_the_drawing_has_steps_to_the_right_and_layers_upward(show):
    figure = show()
    drawn = [node.bounding_box() for node in figure.locator("rect.unit").all()]
    boxes = dict(zip(cells(figure), drawn, strict=True))
    for (layer, direction, step), box in boxes.items():
        if step:
            before = boxes[layer, direction, step - 1]
            assert box["x"] > before["x"] + before["width"]
        if direction:
            assert box["y"] + box["height"] < boxes[layer, 0, step]["y"]
        if layer:
            assert box["y"] + box["height"] < boxes[layer - 1, 1, step]["y"]


@SIZES
def test_a_click_on_a_cell_says_what_it_is(show, size):
    figure = show(size=size)
    start = "layer 2 of 2, backward, step 0: output[0, :, 16:] and h_n[3]"
    assert reading(figure) == start
    options = figure.locator("[role=option]")
    for i in range(options.count()):
        options.nth(i).click()
        assert reading(figure) == options.nth(i).get_attribute("aria-label")
        assert options.nth(i).get_attribute("aria-selected") == "true"
        assert figure.locator("[aria-selected=true]").count() == 1
        assert figure.locator("[role=option][tabindex='0']").count() == 1
    reads = "in neither; only layer 2 and step {} of this row read it"
    for i, text in [
        (2, "layer 1 of 2, forward, step 2: " + reads.format(3)),
        (7, "layer 1 of 2, backward, step 2: " + reads.format(1)),
        (12, "layer 2 of 2, forward, step 2: output[2, :, :16], not in h_n"),
        (5, "layer 1 of 2, backward, step 0: h_n[1], not in output"),
    ]:
        options.nth(i).click()
        assert reading(figure) == text


def test_a_finger_picks_a_cell(show):
    figure = show(size=PHONE, has_touch=True)
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
    assert "(4, 5, 32)" in plain(figure.inner_text())


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
    data = STATES | {"num_steps": steps, "batch": 1, "num_hiddens": 512}
    figure = show(data, narrow(width))
    for case in CASES:
        choose(figure, *case)
        assert needed_width(figure.page) <= width
        assert min(text_heights(figure)) >= 12
        assert len(cells(figure)) == case[0] * case[1] * steps
    if steps == 1:
        assert cells(figure)[2, 1, 0] == "output[:, 0, 512:] and h_n[5]"
