"""What ``utils.checks.check_causal`` finds, and what it says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.layers import BOTH_WAYS, RIGHT_TO_LEFT
from utils.cells import GRUScratch
from utils.checks import check_causal
from utils.models import LanguageModel, Tagger

SIZE = 6  # of the vocabulary
LEAKING = RIGHT_TO_LEFT | BOTH_WAYS


def draw_ids(num_steps=7, batch=3):
    return torch.randint(SIZE, (num_steps, batch))


def scores_of(ids):
    return F.one_hot(ids, SIZE).float()


@pytest.mark.parametrize("make", LEAKING.values(), ids=LEAKING)
def test_a_model_that_reads_from_the_right_fails_wherever_the_text_changes(
    capsys, make
):
    torch.manual_seed(0)
    model = Tagger(make(SIZE, 8), SIZE, 2)
    with pytest.raises(
        AssertionError,
        match=r"^leak: expected no change of the past .* got other scores before the "
        r"change, .* from steps \[1, 2, 3, 4, 5, 6\] on\. Hint: does a layer read from "
        "right to left",
    ):
        check_causal("leak", model, draw_ids(), SIZE)
    assert capsys.readouterr().out == ""


def looks_ahead(steps, only_at=None):
    """Return scores that hold the id so many steps later, or do at one step."""

    def predict(ids):
        later = ids.roll(-steps, 0)
        if only_at is not None:
            later = torch.where(torch.arange(len(ids)).view(-1, 1) == only_at, later, 0)
        return scores_of(later)

    return predict


@given(st.integers(2, 8), st.integers(1, 3))
@settings(max_examples=15)
def test_one_step_ahead_is_too_far(num_steps, batch):
    with pytest.raises(AssertionError, match=r"^leak: "):
        check_causal("leak", looks_ahead(1), draw_ids(num_steps, batch), SIZE)


@given(st.integers(0, 5))
def test_a_look_ahead_at_one_step_alone_is_found_and_the_step_after_it_named(step):
    with pytest.raises(AssertionError, match=rf"changes from steps \[{step + 1}\] on"):
        check_causal("leak", looks_ahead(1, only_at=step), draw_ids(), SIZE)


def test_a_look_ahead_in_one_row_of_the_batch_is_found():
    def predict(ids):
        scores = scores_of(ids)
        scores[:, 1] = looks_ahead(1)(ids)[:, 1]
        return scores

    with pytest.raises(AssertionError, match=r"^leak: "):
        check_causal("leak", predict, draw_ids(), SIZE)


def test_what_was_read_before_and_the_step_itself_may_count(capsys):
    check_causal("past", lambda ids: scores_of(ids).cumsum(0), draw_ids(), SIZE)
    said = capsys.readouterr().out
    assert said == "✓ past: no change of the past when the future changes\n"


@pytest.mark.parametrize(("leak", "passes"), [(1e-7, True), (1e-3, False)])
def test_differences_within_the_tolerance_are_rounding(leak, passes):
    def predict(ids):
        return leak * looks_ahead(1)(ids)

    if passes:
        check_causal("rounding", predict, draw_ids(), SIZE)
    else:
        with pytest.raises(AssertionError):
            check_causal("rounding", predict, draw_ids(), SIZE)
        check_causal("rounding", predict, draw_ids(), SIZE, tolerance=1e-2)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_scores_that_are_no_numbers_prove_nothing(bad):
    with pytest.raises(AssertionError, match=r"from steps \[1, 2, 3, 4, 5, 6\] on"):
        check_causal("bad", lambda ids: scores_of(ids) + bad, draw_ids(), SIZE)


def test_one_nan_is_enough():
    def predict(ids):
        scores = scores_of(ids)
        scores[4, 1, 2] = torch.nan
        return scores

    with pytest.raises(AssertionError, match=r"for changes from steps \[5, 6\] on"):
        check_causal("NaN", predict, draw_ids(), SIZE)


@given(st.integers(2, 6), st.integers(2, 5))
def test_the_model_sees_texts_of_the_same_shape_within_the_vocabulary(
    num_steps, vocab_size
):
    ids, seen = torch.randint(vocab_size, (num_steps, 2)), []

    def predict(changed):
        seen.append(changed)
        return torch.zeros(num_steps, 2, vocab_size)

    before = ids.clone()
    check_causal("shapes", predict, ids, vocab_size)
    assert torch.equal(ids, before)
    assert all(changed.shape == ids.shape for changed in seen)
    assert all(c.min() >= 0 and c.max() < vocab_size for c in seen)
    changed_from = set()
    for changed in seen[1:]:  # every id from there on is another one
        first = int((changed != ids).any(1).int().argmax())
        assert (changed[first:] != ids[first:]).all()
        changed_from.add(first)
    assert changed_from == {*range(1, num_steps)}


def test_checking_needs_no_gradients():
    model = LanguageModel(GRUScratch(SIZE, 8), SIZE)
    scores = []

    def predict(ids):
        scores.append(model(ids)[0])
        return scores[-1]

    check_causal("no gradients", predict, draw_ids(), SIZE)
    assert not any(s.requires_grad for s in scores)


@pytest.mark.parametrize(
    ("ids", "vocab_size", "message"),
    [
        (draw_ids(1), SIZE, "num_steps is 1; expected a whole number of at least 2"),
        (draw_ids(0), SIZE, "num_steps is 0; expected a whole number of at least 2"),
        (draw_ids() * 0, 1, "vocab_size is 1; expected a whole number of at least 2"),
    ],
    ids=["one step", "no steps", "one character"],
)
def test_where_nothing_can_change_there_is_nothing_to_check(ids, vocab_size, message):
    with pytest.raises(ValueError, match=message):
        check_causal("nothing", looks_ahead(1), ids, vocab_size)
