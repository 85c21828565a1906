"""An example of each live figure: what `test_every_live_figure.py` is fed with."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Locator

Steps = Iterator[None]


def press_everything(figure: Locator) -> Steps:
    switches = figure.get_by_role("button").or_(figure.get_by_role("checkbox"))
    for switch in switches.all():
        switch.click()
        yield


@dataclass(frozen=True)
class Example:
    """The live figure ``name`` with ``data``, and how the tests of every figure use it.

    ``operate`` moves the figure, whatever its data, and stops at each new view. The
    last view differs from the first. ``refused`` gives for messages the changes of the
    data that lead to them. A ``scaled`` figure has a drawing of fixed width, whose text
    shrinks with the page.
    """

    name: str
    data: dict[str, Any]
    operate: Callable[[Locator], Steps] = press_everything
    refused: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    scaled: bool = False

    def views(self, figure: Locator) -> Steps:
        """Stop at the start, and then at each view that ``operate`` leads to."""
        yield
        yield from self.operate(figure)


TEXT = (
    "the tide came in, and the old clock on the stair\n"
    "struck nine before the boat was tied to the pier"
)

PERPLEXITY = {
    "batches": [
        {"loss": loss, "tokens": 8 if loss == 1.0 else 32}
        for loss in (1.2, 1.4, 2.9, 1.3, 1.0)
    ],
    "max_loss": 4,
}

_chance = random.Random(3)
REACH = {
    "x": [round(_chance.gauss(0, 1), 3) for _ in range(100)],
    "weight": 0.9,
    "scale": 0.5,
}


def move_sliders_to_their_ends(figure: Locator) -> Steps:
    for key in ("Home", "End"):
        for slider in figure.get_by_role("slider").all():
            slider.press(key)
            yield


UNITS = [17, 42, 101]


def gates(color: str, formula: str, keys: str, names: str, **more) -> dict:
    """Return numbers between 0 and 1 for gates, -1 and 1 for the rest, wider for c."""
    chance = random.Random(color)

    def value(key):
        wide = 2.5 if key.startswith("c") else 1
        return round(chance.uniform(0 if key in "zrifo" else -wide, wide), 3)

    quantities = [
        {"key": name[-1], "name": name, "low": -("gate" not in name), "high": 1}
        for name in names.split(", ")
    ]
    values = {key: [[value(key) for _ in TEXT] for _ in UNITS] for key in keys.split()}
    data = {"text": TEXT, "units": UNITS, "color": color, "formula": formula}
    return {**data, "quantities": quantities, "values": values, **more}


GRU = gates(
    "gru",
    "h = (1 - {z}) · {n} + {z} · {h_before} = {h}",
    "z r n h h_before",
    "update gate z, reset gate r, candidate n, hidden state h",
)
LSTM = gates(
    "lstm",
    "c = {f} · {c_before} + {i} · {g} = {c};  h = {o} · tanh({c}) = {h}",
    "i f g o c c_before h",
    "input gate i, forget gate f, output gate o, cell state c, hidden state h",
    start=18,
)

STATES = {"num_steps": 5, "batch": 4, "num_hiddens": 16, "rnn": "GRU"}

MODELS = ["left to right", "right to left", "both"]


def blank(text: str, position: int, ranks: tuple[int, int, int]) -> dict:
    """Return a blank; ``ranks`` says where each model has the answer (5: nowhere)."""
    chance = random.Random(position)
    guesses = {}
    for model, rank in zip(MODELS, ranks, strict=True):
        characters = chance.sample(sorted(set("etaoin sh\n") - {text[position]}), 5)
        characters.insert(rank, text[position])
        weights = sorted((chance.random() ** 3 for _ in range(6)), reverse=True)
        pairs = zip(characters[:5], weights[:5], strict=True)
        guesses[model] = [[c, round(weight / sum(weights), 4)] for c, weight in pairs]
    return {"position": position, "answer": text[position], "guesses": guesses}


CLOZE = {
    "text": TEXT,
    "blanks": [
        blank(TEXT, 1, (0, 1, 0)),
        blank(TEXT, 26, (2, 0, 0)),
        blank(TEXT, TEXT.index("\n"), (5, 3, 0)),
        blank(TEXT, 60, (1, 4, 1)),
        blank(TEXT, len(TEXT) - 1, (0, 5, 0)),
    ],
}


def show_answers_and_readers(figure: Locator) -> Steps:
    figure.get_by_role("button", name="show the answers").click()
    for chart in figure.get_by_role("img").all():
        chart.hover()
        yield


def weighted(source: str, output: str = "2026-11-23") -> dict:
    """Return an example for an alignment whose weights no two characters share."""
    chance = random.Random(source)
    rows = [[chance.random() ** 6 for _ in source] for _ in output]
    weights = [[round(value / sum(row), 4) for value in row] for row in rows]
    return {"source": source, "output": output, "weights": weights}


SHARP = {"source": "a b", "output": "xyz", "weights": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}
ALIGNMENT = {
    "examples": [
        weighted("Mon, Nov 23, 2026"),
        weighted("2026年11月23日 星期一"),
        weighted("the <b>3rd</b> of \"May\" & 'June' 😀", "2025-05-03"),
        SHARP,
        weighted("a very long date, " * 6),
    ]
}


def choose_examples(figure: Locator) -> Steps:
    choice = figure.get_by_role("combobox")
    output = figure.get_by_role("listbox").last
    for i in range(choice.get_by_role("option").count()):
        choice.select_option(str(i))
        yield
        output.get_by_role("option").nth(2).click()
        yield


MISFITS = [[[1, 0]], [[1, 0, 0]], [[1, 0], [0, 1], [0, 1]], [[1, 0], [1]]]
ONLY_BOTH = CLOZE["blanks"][0] | {"guesses": {"both": [["h", 1]]}}
EXAMPLES = [
    Example("perplexity", PERPLEXITY, scaled=True),
    Example(
        "gradient_reach",
        REACH,
        move_sliders_to_their_ends,
        {"x holds 50 numbers; expected more than 50": [{"x": [0.5] * 50}]},
    ),
    Example(
        "gates",
        GRU,
        refused={
            "values.nothing must hold 97 numbers for each": [{"formula": "{nothing}"}],
            "values.z must hold 3 numbers for each of 3 units": [{"text": "the"}],
            "values.z must hold 97 numbers for each of 1 units": [{"units": [17]}],
        },
    ),
    Example("gates", LSTM),
    Example(
        "output_and_state",
        STATES,
        refused={"rnn is CNN; expected RNN, GRU or LSTM": [{"rnn": "CNN"}]},
    ),
    Example(
        "cloze",
        CLOZE,
        show_answers_and_readers,
        {
            "the text has 'undefined' at position 26": [{"text": "the tale"}],
            "has 'y' at position 1; expected the answer 'h'": [{"text": "xyz" * 40}],
            "there are no blanks": [{"blanks": []}],
            "position 1 has no guesses 'left to right'": [{"blanks": [ONLY_BOTH]}],
        },
    ),
    Example(
        "alignment",
        ALIGNMENT,
        choose_examples,
        {
            "the weights of 'ab' must hold 2 numbers for each of 2": [
                {"examples": [{"source": "ab", "output": "xy", "weights": weights}]}
                for weights in MISFITS
            ]
        },
    ),
]
