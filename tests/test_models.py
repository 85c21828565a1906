import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from utils.cells import GRUScratch, LSTMScratch, RNNScratch
from utils.models import (
    LanguageModel,
    LastStep,
    NGramModel,
    check_ids,
    check_layer,
    check_text,
    ngram_perplexity,
)
from utils.text import Vocab, split

# ---- LanguageModel ----


def test_a_language_model_scores_every_character_of_the_vocabulary(
    make_model, any_layer, ids, vocab
):
    logits, state = make_model(any_layer)(ids.view(50, 3))
    assert logits.shape == (50, 3, len(vocab))
    hidden = state[0] if isinstance(state, tuple) else state
    assert hidden.shape == (1, 3, 8)


def test_a_language_model_reads_on_from_a_state(make_model, any_layer, ids):
    model = make_model(any_layer)
    whole, _ = model(ids[:20].unsqueeze(1))
    first, state = model(ids[:7].unsqueeze(1))
    second, _ = model(ids[7:20].unsqueeze(1), state)
    torch.testing.assert_close(torch.cat([first, second]), whole)


@pytest.mark.parametrize(
    ("kind", "scratch"),
    [(nn.RNN, RNNScratch), (nn.GRU, GRUScratch), (nn.LSTM, LSTMScratch)],
)
def test_a_copied_layer_gives_the_same_language_model(make_model, ids, kind, scratch):
    model = make_model(kind)
    copy = LanguageModel(scratch.from_torch(model.rnn), model.vocab_size)
    copy.W_hq, copy.b_q = model.W_hq, model.b_q
    torch.testing.assert_close(copy(ids.view(50, 3))[0], model(ids.view(50, 3))[0])


@pytest.mark.parametrize("dtype", [torch.int32, torch.float32])
def test_ids_of_the_wrong_dtype_are_refused(make_model, ids, dtype):
    with pytest.raises(TypeError, match=rf"dtype {dtype}; expected torch\.int64"):
        make_model()(ids.view(50, 3).to(dtype))


@pytest.mark.parametrize("shape", [(5,), (0, 3), (5, 0), (5, 3, 1)], ids=str)
def test_ids_of_the_wrong_shape_are_refused(make_model, shape):
    with pytest.raises(ValueError, match=r"ids have shape .*\(num_steps, batch\)"):
        make_model()(torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (0, 5), (7, 9)])
def test_ids_out_of_range_are_refused(low, high):
    with pytest.raises(
        ValueError, match=f"ids range from {low} to {high}; expected 0 to 4"
    ):
        check_ids(torch.tensor([[low, high]]), 5)


def test_ids_on_another_device_than_the_model_are_refused(make_model, ids):
    with pytest.raises(ValueError, match="on device meta; expected cpu"):
        make_model()(ids.view(50, 3).to("meta"))


# ---- NGramModel ----

symbols = st.integers(0, 4)


@given(
    st.integers(1, 4),
    st.lists(symbols, min_size=2, max_size=60),
    st.lists(symbols, max_size=6),
)
def test_the_probabilities_after_any_context_sum_to_1(order, text, context):
    model = NGramModel(order, 5).fit(torch.tensor(text, dtype=torch.int64))
    shares = [model.probability(character, context) for character in range(5)]
    assert math.fsum(shares) == pytest.approx(1)
    assert min(shares) > 0


@given(st.integers(1, 4), st.lists(symbols, min_size=2, max_size=40))
def test_perplexity_is_exp_of_the_mean_loss_of_all_but_the_first(order, text):
    ids = torch.tensor(text)
    model = NGramModel(order, 5).fit(ids)
    nll = [
        -math.log(model.probability(ids[t].item(), text[:t]))
        for t in range(1, len(text))
    ]
    assert ngram_perplexity(model, ids) == pytest.approx(math.exp(sum(nll) / len(nll)))


def test_without_counts_every_character_is_equally_likely():
    model = NGramModel(3, 8)
    assert model.probability(2, [1, 1, 1]) == 1 / 8
    assert ngram_perplexity(model, torch.tensor([1, 2, 3])) == pytest.approx(8)


def test_a_unigram_is_smoothed_as_witten_and_bell_say():
    model = NGramModel(1, 4).fit(torch.tensor([1, 1, 2]))  # 3 characters, 2 kinds
    assert model.probability(1, []) == pytest.approx((2 + 2 / 4) / (3 + 2))
    assert model.probability(3, []) == pytest.approx((0 + 2 / 4) / (3 + 2))


readers = pytest.mark.parametrize(
    "read",
    [check_text, NGramModel(2, 5).fit, partial(ngram_perplexity, NGramModel(2, 5))],
    ids=["check_text", "fit", "ngram_perplexity"],
)


@readers
@pytest.mark.parametrize("dtype", [torch.int32, torch.float32])
def test_a_text_of_the_wrong_dtype_is_refused(read, dtype):
    with pytest.raises(TypeError, match=rf"dtype {dtype}; expected torch\.int64"):
        read(torch.zeros(9, dtype=dtype))


@readers
@pytest.mark.parametrize("shape", [(0,), (1,), (9, 1)], ids=str)
def test_a_text_must_be_one_row_of_at_least_two_ids(read, shape):
    with pytest.raises(ValueError, match=r"expected \(n,\) with n of at least 2"):
        read(torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize("order", [0, -1])
def test_an_order_below_1_is_refused(order):
    with pytest.raises(ValueError, match=rf"order is {order}; expected 1 \(unigram\)"):
        NGramModel(order, 5)


@pytest.fixture(scope="session")
def tide_clock_parts(tide_clock):
    cut = len(tide_clock) - int(len(tide_clock) * 0.1)
    vocab = Vocab(tide_clock[:cut])
    return vocab, *split(vocab.encode(tide_clock), 0.1)


@pytest.fixture(scope="session")
def seven_gram(tide_clock_parts):
    vocab, train, _ = tide_clock_parts
    return NGramModel(7, len(vocab)).fit(train)


@pytest.mark.parametrize(
    ("order", "expected"),
    [(1, 16.08), (2, 9.03), (3, 5.72), (4, 4.27), (5, 3.82), (6, 3.81), (7, 4.00)],
)
def test_n_grams_on_the_tide_clock_score_what_the_book_says(
    seven_gram, tide_clock_parts, monkeypatch, order, expected
):
    monkeypatch.setattr(seven_gram, "order", order)  # it holds the shorter ones too
    perplexity = ngram_perplexity(seven_gram, tide_clock_parts[2])
    assert perplexity == pytest.approx(expected, abs=0.015)


def test_a_shorter_n_gram_is_part_of_a_longer_one(ids, vocab, monkeypatch):
    long, short = (NGramModel(order, len(vocab)).fit(ids) for order in (4, 2))
    monkeypatch.setattr(long, "order", 2)
    assert ngram_perplexity(long, ids) == ngram_perplexity(short, ids)


# ---- LastStep ----


@pytest.mark.parametrize("num_outputs", [1, 3])
def test_the_last_output_alone_is_read(any_layer, num_outputs):
    torch.manual_seed(0)
    model, inputs = LastStep(any_layer(2, 8), num_outputs), torch.randn(7, 5, 2)
    answers = model(inputs)
    assert answers.shape == (5, num_outputs)
    last = model.rnn(inputs)[0][-1]
    expected = last @ model.linear.weight.T + model.linear.bias
    torch.testing.assert_close(answers, expected)


def test_one_number_a_sequence_is_returned_unless_more_are_asked_for():
    assert LastStep(nn.GRU(2, 8))(torch.zeros(7, 5, 2)).shape == (5, 1)


def test_the_gradient_reaches_all_parameters_and_the_first_input(any_layer):
    torch.manual_seed(0)
    model, inputs = LastStep(any_layer(2, 8)), torch.randn(7, 5, 2, requires_grad=True)
    model(inputs).sum().backward()
    assert (inputs.grad[0] != 0).any(dim=1).all()
    assert all(p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize("at", [0, 6])
def test_every_step_counts_and_the_rows_are_apart(any_layer, at):
    torch.manual_seed(0)
    model, inputs = LastStep(any_layer(2, 8)), torch.randn(7, 3, 2)
    changed = inputs.clone()
    changed[at, 1] += 1
    differs = (model(changed) - model(inputs)).abs().squeeze(1) > 1e-6
    assert differs.tolist() == [False, True, False]


# ---- The layers that a model can use ----

builders = pytest.mark.parametrize(
    "build",
    [partial(LanguageModel, vocab_size=28), LastStep],
    ids=["LanguageModel", "LastStep"],
)


@builders
@pytest.mark.parametrize(
    ("layer", "setting"),
    [
        (nn.GRU(28, 8, batch_first=True), "batch_first=True"),
        (nn.RNN(28, 8, bidirectional=True), "bidirectional=True"),
        (nn.LSTM(28, 8, proj_size=4), "proj_size=4"),
    ],
    ids=str,
)
def test_a_layer_that_a_model_cannot_use_is_refused(build, layer, setting):
    with pytest.raises(
        ValueError,
        match=rf"^the model got a {type(layer).__name__} with {setting}; expected a "
        r"layer that reads \(num_steps, batch, num_inputs\) in one direction\.$",
    ):
        build(layer)


@builders
def test_something_that_is_no_recurrent_layer_is_refused(build):
    with pytest.raises(
        TypeError, match=r"^the model got a Linear; expected a recurrent layer\.$"
    ):
        build(nn.Linear(28, 8))


def test_a_language_model_needs_an_input_for_each_character(any_layer):
    layer = any_layer(27, 8)
    with pytest.raises(
        ValueError,
        match=rf"^the model got a {type(layer).__name__} with 27 inputs; expected 28 "
        r"\(for one-hot characters, the vocabulary's size\)\.$",
    ):
        LanguageModel(layer, 28)


def test_any_number_of_inputs_will_do_unless_one_is_given(any_layer):
    assert check_layer(any_layer(27, 8)) == check_layer(any_layer(28, 8), 28) == 8
