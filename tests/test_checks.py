import pytest
import torch

from utils.checks import check_between, check_close, check_shape

# Each row: a check, arguments that pass, what it then says, arguments that fail, what it then says.
CASES = [
    (
        check_shape,
        ("H", torch.zeros(2, 3), (2, 3)),
        "✓ H: shape (2, 3)",
        ("H", torch.zeros(2, 3), (3, 2)),
        "H: expected shape (3, 2), got shape (2, 3).",
    ),
    (
        check_close,
        ("loss", 0.5, torch.tensor(0.5)),
        "✓ loss: 0.5 within 1e-06",
        ("loss", torch.tensor(0.75), 0.5),
        "loss: expected 0.5 within 1e-06, got 0.75.",
    ),
    (
        check_close,
        ("H", torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.25]), 0.5),
        "✓ H: a difference of at most 0.5",
        ("H", torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]), 0.5),
        "H: expected a difference of at most 0.5, got a difference of 1.",
    ),
    (
        check_close,
        ("grad", torch.ones(2, requires_grad=True), torch.ones(2)),
        "✓ grad: a difference of at most 1e-06",
        ("grad", torch.ones(2, 1), torch.ones(2)),
        "grad: expected shape (2,), got shape (2, 1).",
    ),
    (
        check_between,
        ("perplexity", 4.0, 3, 4),
        "✓ perplexity: a value from 3 to 4",
        ("perplexity", 4.5, 3, 4),
        "perplexity: expected a value from 3 to 4, got 4.5.",
    ),
]


@pytest.mark.parametrize(("check", "passing", "says"), [case[:3] for case in CASES])
def test_a_check_that_passes_says_so(capsys, check, passing, says):
    check(*passing)
    assert capsys.readouterr().out == says + "\n"


@pytest.mark.parametrize(
    ("check", "failing", "says"), [(case[0], *case[3:]) for case in CASES]
)
@pytest.mark.parametrize("hint", ["", "look at the axes"])
def test_a_check_that_fails_says_what_was_expected_what_came_and_the_hint(
    capsys, check, failing, says, hint
):
    with pytest.raises(AssertionError) as caught:
        check(*failing, hint=hint)
    assert str(caught.value) == says + (f" Hint: {hint}" if hint else "")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("check", "arguments"),
    [
        (check_close, (float("nan"), 0.5)),
        (check_close, (torch.tensor([1.0, float("nan")]), torch.ones(2))),
        (check_between, (float("nan"), 0, 1)),
    ],
)
def test_nan_passes_no_check(check, arguments):
    with pytest.raises(AssertionError, match=r"got .*nan"):
        check("value", *arguments)


@pytest.mark.parametrize("value", [3.0, 4.0])
def test_the_bounds_themselves_are_between(capsys, value):
    check_between("value", value, 3, 4)
    assert capsys.readouterr().out.startswith("✓")
