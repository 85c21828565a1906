import math

import pytest
import torch

from utils.checks import check_between, check_close, check_shape

# A check, arguments that pass and what it says then, arguments that fail, and then.
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


@pytest.mark.parametrize(("check", "passing", "says", "failing", "complains"), CASES)
def test_a_check_says_that_it_passed_or_what_was_expected_what_came_and_the_hint(
    capsys, check, passing, says, failing, complains
):
    check(*passing)
    assert capsys.readouterr().out == says + "\n"
    for hint in ("", "look at the axes"):
        with pytest.raises(AssertionError) as caught:
            check(*failing, hint=hint)
        assert str(caught.value) == complains + (f" Hint: {hint}" if hint else "")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("check", "arguments"),
    [
        (check_close, (math.nan, 0.5)),
        (check_close, (torch.tensor([1.0, math.nan]), torch.ones(2))),
        (check_between, (math.nan, 0, 1)),
    ],
)
def test_nan_passes_no_check(check, arguments):
    with pytest.raises(AssertionError, match=r"got .*nan"):
        check("value", *arguments)


@pytest.mark.parametrize("value", [3.0, 4.0])
def test_the_bounds_themselves_are_between(capsys, value):
    check_between("value", value, 3, 4)
    assert capsys.readouterr().out.startswith("✓")
