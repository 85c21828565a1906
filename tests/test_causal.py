"""utils.checks.check_causal, on every model of the course that must not look ahead, and on some that do."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from utils.cells import GRUScratch, LSTMScratch, RNNScratch
from utils.checks import check_causal
from utils.models import (
    AttentionDecoder,
    Bidirectional,
    Decoder,
    DeepRNN,
    Embedded,
    Encoder,
    LanguageModel,
    Normalized,
    Residual,
    Reversed,
    Seq2Seq,
    Tagger,
    make_layers,
)

SIZE = 6  # of the vocabulary


def draw_ids(num_steps=7, batch=3):
    return torch.randint(SIZE, (num_steps, batch))


def deep(make_layer):
    return DeepRNN(make_layers(make_layer, SIZE, 8, 3))


def both_ways(make_layer, *sizes):
    return Bidirectional(make_layer(*sizes), make_layer(*sizes))


# ---- Models that do not look ahead ----

CAUSAL = {
    "RNNScratch": lambda: RNNScratch(SIZE, 8),
    "GRUScratch": lambda: GRUScratch(SIZE, 8),
    "LSTMScratch": lambda: LSTMScratch(SIZE, 8),
    "nn.RNN": lambda: nn.RNN(SIZE, 8),
    "nn.GRU": lambda: nn.GRU(SIZE, 8),
    "nn.LSTM": lambda: nn.LSTM(SIZE, 8, 2),
    "deep": lambda: deep(GRUScratch),
    "deep, of PyTorch's": lambda: deep(nn.LSTM),
    "residual": lambda: deep(lambda *sizes: Residual(GRUScratch(*sizes))),
    "normalized": lambda: deep(lambda *sizes: Normalized(LSTMScratch(*sizes))),
    "embedded": lambda: Embedded(GRUScratch(4, 8), SIZE),
}


@pytest.mark.parametrize("layer", CAUSAL)
@pytest.mark.parametrize(
    "build", [LanguageModel, partial(Tagger, num_labels=2)], ids=["language", "tagger"]
)
def test_a_model_that_reads_from_left_to_right_passes_and_it_says_so(
    capsys, build, layer
):
    torch.manual_seed(0)
    model = build(CAUSAL[layer](), SIZE)

    def predict(ids):
        result = model(ids)
        return result[0] if build is LanguageModel else result

    check_causal(layer, predict, draw_ids(), SIZE)
    said = f"✓ {layer}: no change of the past when the future changes\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("decoder", [Decoder, AttentionDecoder])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_what_a_decoder_writes_does_not_depend_on_later_targets(
    capsys, decoder, num_layers
):
    torch.manual_seed(0)
    encoder = Encoder(9, 4, 8, num_layers)
    model = Seq2Seq(encoder, decoder(SIZE, 4, 8, num_layers))
    sources, lengths = torch.randint(9, (5, 3)), torch.tensor([3, 5, 1])
    check_causal("targets", lambda ids: model(sources, lengths, ids), draw_ids(), SIZE)
    assert capsys.readouterr().out.startswith("✓ targets: ")


# ---- Models that do ----

LEAKING = {
    "nn.LSTM, both ways": lambda: nn.LSTM(SIZE, 8, bidirectional=True),
    "ours, both ways": lambda: both_ways(GRUScratch, SIZE, 8),
    "deep, both ways": lambda: deep(partial(both_ways, LSTMScratch)),
    "reversed": lambda: Reversed(GRUScratch(SIZE, 8)),
    "one of three": lambda: DeepRNN(
        [GRUScratch(SIZE, 8), Reversed(GRUScratch(8, 8)), GRUScratch(8, 8)]
    ),
}


@pytest.mark.parametrize("layer", LEAKING)
def test_a_model_that_reads_from_right_to_left_fails_wherever_the_text_changes(
    capsys, layer
):
    torch.manual_seed(0)
    model = Tagger(LEAKING[layer](), SIZE, 2)
    with pytest.raises(
        AssertionError,
        match=r"^leak: expected no change of the past when the future changes, got other scores "
        r"before the change, for changes from steps \[1, 2, 3, 4, 5, 6\] on\. Hint: does "
        "a layer read from right to left, or average over time",
    ):
        check_causal("leak", model, draw_ids(), SIZE)
    assert capsys.readouterr().out == ""


def looks_ahead(steps, only_at=None):
    """Return scores that hold the id so many steps later, or do at one step."""

    def predict(ids):
        later = ids.roll(-steps, 0)
        if only_at is not None:
            later = torch.where(torch.arange(len(ids)).view(-1, 1) == only_at, later, 0)
        return F.one_hot(later, SIZE).float()

    return predict


@given(st.integers(2, 8), st.integers(1, 3))
@settings(max_examples=15)
def test_one_step_ahead_is_too_far(num_steps, batch):
    with pytest.raises(AssertionError, match=r"^leak: expected no change of the past"):
        check_causal("leak", looks_ahead(1), draw_ids(num_steps, batch), SIZE)


@given(st.integers(0, 5))
def test_a_look_ahead_at_one_step_alone_is_found_and_the_step_after_it_named(step):
    with pytest.raises(AssertionError, match=rf"changes from steps \[{step + 1}\] on"):
        check_causal("leak", looks_ahead(1, only_at=step), draw_ids(), SIZE)


def test_a_look_ahead_in_one_row_of_the_batch_is_found():
    def predict(ids):
        scores = F.one_hot(ids, SIZE).float()
        scores[:, 1] = looks_ahead(1)(ids)[:, 1]
        return scores

    with pytest.raises(AssertionError, match=r"^leak: "):
        check_causal("leak", predict, draw_ids(), SIZE)


def test_what_was_read_before_and_the_step_itself_may_count():
    def predict(ids):
        return F.one_hot(ids, SIZE).float().cumsum(0)

    check_causal("the past", predict, draw_ids(), SIZE)


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


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_prove_nothing(bad):
    with pytest.raises(
        AssertionError, match=r"changes from steps \[1, 2, 3, 4, 5, 6\]"
    ):
        check_causal(
            "bad", lambda ids: torch.full((*ids.shape, SIZE), bad), draw_ids(), SIZE
        )


def test_one_nan_is_enough():
    def predict(ids):
        scores = F.one_hot(ids, SIZE).float()
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
    changed_from = {int((c != ids).any(1).int().argmax()) for c in seen[1:]}
    assert changed_from == {*range(1, num_steps)}
    for changed in seen[1:]:  # every id from there on is another one
        first = int((changed != ids).any(1).int().argmax())
        assert (changed[first:] != ids[first:]).all()


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
    with pytest.raises(ValueError, match=f"^{message}"):
        check_causal("nothing", looks_ahead(1), ids, vocab_size)
