import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.helpers import decoders, seeds
from tests.layers import (
    SCRATCH,
    UNSORTED,
    draw,
    each_causal,
    kinds,
    lists_of_lengths,
    row_of,
    values_and_gradients,
)
from utils.checks import check_causal
from utils.layers import Reversed
from utils.models import (
    AdditiveAttention,
    AttentionDecoder,
    Decoder,
    Encoder,
    LanguageModel,
    LastStep,
    Seq2Seq,
    Tagger,
)
from utils.padding import length_mask

SIZE = 6  # of the vocabulary

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


@kinds
def test_a_copied_layer_gives_the_same_language_model(make_model, ids, kind):
    model = make_model(kind)
    copy = LanguageModel(SCRATCH[kind].from_torch(model.rnn), model.vocab_size)
    copy.W_hq, copy.b_q = model.W_hq, model.b_q
    torch.testing.assert_close(copy(ids.view(50, 3))[0], model(ids.view(50, 3))[0])


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


@each_causal
def test_the_gradient_reaches_every_layer_and_the_first_input(make):
    torch.manual_seed(0)
    model, inputs = LastStep(make(2, 8)), torch.randn(7, 5, 2, requires_grad=True)
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


# ---- Models that do not look ahead, and the layers that they can use ----


@each_causal
@pytest.mark.parametrize("build", [LanguageModel, Tagger])
def test_on_a_layer_that_reads_from_left_to_right_no_model_looks_ahead(build, make):
    torch.manual_seed(0)
    model = build(make(SIZE, 8), SIZE, *[2] * (build is Tagger))

    def predict(ids):
        result = model(ids)
        return result[0] if build is LanguageModel else result

    check_causal("model", predict, torch.randint(SIZE, (7, 3)), SIZE)


BUILDERS = {
    "LanguageModel": partial(LanguageModel, vocab_size=SIZE),
    "LastStep": LastStep,
    "Tagger": partial(Tagger, vocab_size=SIZE, num_labels=2),
}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_a_layer_that_a_model_cannot_use_is_refused(build):
    with pytest.raises(TypeError, match="got a Linear; expected a recurrent layer"):
        build(nn.Linear(SIZE, 8))
    with pytest.raises(ValueError, match="batch_first=True; expected"):
        build(nn.GRU(SIZE, 8, batch_first=True))
    if build is not LastStep:
        with pytest.raises(ValueError, match="with 4 inputs; expected 6"):
            build(nn.GRU(4, 8))
    others = [nn.GRU(SIZE, 8, bidirectional=True), Reversed(nn.GRU(SIZE, 8))]
    for layer in others:
        if build is BUILDERS["Tagger"]:  # the tests of check_causal read with them
            assert build(layer).rnn is layer
        else:
            with pytest.raises(ValueError, match="=True; expected"):
                build(layer)


# ---- Ids ----


@pytest.mark.parametrize("dtype", [torch.int32, torch.float32])
def test_ids_of_the_wrong_dtype_are_refused(make_model, ids, dtype):
    with pytest.raises(TypeError, match=rf"dtype {dtype}; expected torch\.int64"):
        make_model()(ids.view(50, 3).to(dtype))


@pytest.mark.parametrize("shape", [(5,), (0, 3), (5, 0), (5, 3, 1)], ids=str)
def test_ids_of_the_wrong_shape_are_refused(make_model, shape):
    with pytest.raises(ValueError, match=r"ids have shape .*\(num_steps, batch\)"):
        make_model()(torch.zeros(shape, dtype=torch.int64))


def test_ids_on_another_device_than_the_model_are_refused(make_model, ids):
    with pytest.raises(ValueError, match="on device meta; expected cpu"):
        make_model()(ids.view(50, 3).to("meta"))


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (0, 6), (7, 9)])
def test_ids_out_of_range_are_refused_by_every_model(low, high):
    ids, good = torch.tensor([[low, high]]), torch.tensor([[0, 1]])
    lengths = torch.tensor([1, 1])
    models = [LanguageModel(nn.GRU(SIZE, 8), SIZE), Tagger(nn.GRU(SIZE, 8), SIZE, 2)]
    readers = [*models, partial(Encoder(SIZE, 3, 4), lengths=lengths)]
    for decoder in (Decoder, AttentionDecoder):
        model = Seq2Seq(Encoder(SIZE, 3, 4), decoder(SIZE, 3, 4))
        readers += [lambda ids, model=model: model(ids, lengths, good)]
        readers += [lambda ids, model=model: model(good, lengths, ids)]
    for read in readers:
        with pytest.raises(ValueError, match=f"from {low} to {high}; expected 0 to 5"):
            read(ids)


# ---- Encoder and decoder: shapes, gradients, padding ----

SOURCES, TARGETS = 9, 7  # the sizes of the two vocabularies
LENGTHS = torch.tensor([4, 6, 2])
one_layer_or_two = pytest.mark.parametrize("num_layers", [1, 2])


def seq2seq(decoder, num_layers=1, seed=0):
    """Return a small model in float64."""
    torch.manual_seed(seed)
    encoder = Encoder(SOURCES, 3, 4, num_layers)
    return Seq2Seq(encoder, decoder(TARGETS, 5, 4, num_layers)).double()


def draw_batch(lengths=LENGTHS, target_steps=5, more=0):
    """Return sources with ``more`` steps than the longest, lengths, and targets."""
    lengths = torch.as_tensor(lengths)
    sources = torch.randint(SOURCES, (int(lengths.max()) + more, len(lengths)))
    return sources, lengths, torch.randint(TARGETS, (target_steps, len(lengths)))


@decoders
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_the_shapes_are_those_that_the_docstrings_promise(decoder, num_layers):
    model = seq2seq(decoder, num_layers)
    sources, lengths, targets = draw_batch()
    memory, state = model.encoder(sources, lengths)
    assert memory.shape == (6, 3, 4)
    assert state.shape == (num_layers, 3, 4)
    logits, state = model.decoder(targets, state, memory, length_mask(lengths, 6))
    assert logits.shape == (5, 3, TARGETS)
    assert state.shape == (num_layers, 3, 4)
    assert torch.equal(model(sources, lengths, targets), logits)


@decoders
@one_layer_or_two
def test_the_gradient_reaches_all_parameters(decoder, num_layers):
    model = seq2seq(decoder, num_layers)
    sources, targets = torch.arange(SOURCES), torch.arange(TARGETS)
    logits = model(sources.view(-1, 1), torch.tensor([SOURCES]), targets.view(-1, 1))
    nn.functional.cross_entropy(logits[:-1, 0], targets[1:]).backward()
    untouched = [n for n, p in model.named_parameters() if not p.grad.abs().max() > 0]
    assert untouched == []


@decoders
@given(lists_of_lengths, st.integers(0, 2), st.integers(1, 2), seeds)
@settings(max_examples=20)
def test_a_source_alone_gets_the_logits_that_it_gets_in_a_padded_batch(
    decoder, lengths, more, num_layers, seed
):
    model = seq2seq(decoder, num_layers, seed)
    sources, _, targets = draw_batch(lengths, 4, more)
    logits = model(sources, torch.tensor(lengths), targets)
    for row, length in enumerate(lengths):
        source, target = row_of(sources[:length], row), row_of(targets, row)
        alone = model(source, torch.tensor([length]), target)
        torch.testing.assert_close(row_of(logits, row), alone, rtol=0, atol=1e-12)


@one_layer_or_two
def test_the_encoder_stops_at_the_end_of_each_source(num_layers):
    encoder = seq2seq(Decoder, num_layers).encoder
    sources, lengths, _ = draw_batch(more=1)
    outputs, state = encoder(sources, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, last = encoder(row_of(sources[:length], row), torch.tensor([length]))
        torch.testing.assert_close(row_of(outputs[:length], row), alone)
        torch.testing.assert_close(row_of(state, row), last)
        assert not outputs[length:, row].any()


@decoders
def test_what_the_padding_of_a_source_is_embedded_as_does_not_matter(decoder):
    model, batch = seq2seq(decoder), draw_batch(more=1)
    batch[0][~length_mask(LENGTHS, 7)] = 8  # and nowhere else
    batch[0][length_mask(LENGTHS, 7)] %= 8
    expected = model(*batch)
    with torch.no_grad():
        model.encoder.embedding.weight[8] = torch.nan
    logits = model(*batch)
    assert torch.equal(logits, expected)
    logits.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert not model.encoder.embedding.weight.grad[8].any()


# ---- Teacher forcing, and one step at a time ----


@decoders
@given(lists_of_lengths, st.integers(1, 5), st.integers(1, 3), seeds)
@settings(max_examples=20)
def test_one_id_at_a_time_gives_the_logits_of_all_at_once(
    decoder, lengths, target_steps, num_layers, seed
):
    model = seq2seq(decoder, num_layers, seed)
    sources, lengths, targets = draw_batch(lengths, target_steps)
    step, state = model.read(sources, lengths)
    logits = []
    for ids in targets.split(1):
        scores, state = step(ids, state)
        logits.append(scores)
    expected = model(sources, lengths, targets)
    torch.testing.assert_close(torch.cat(logits), expected)


@decoders
@one_layer_or_two
def test_what_a_decoder_writes_does_not_depend_on_later_targets(decoder, num_layers):
    model = seq2seq(decoder, num_layers)
    predict = partial(model, *draw_batch()[:2])
    check_causal("targets", predict, torch.randint(TARGETS, (5, 3)), TARGETS)


@decoders
def test_a_target_id_counts_from_its_own_step_on_and_in_its_own_row(decoder):
    model = seq2seq(decoder)
    sources, lengths, targets = draw_batch()
    changed = targets.clone()
    changed[2, 1] = (changed[2, 1] + 1) % TARGETS
    moved = model(sources, lengths, changed) - model(sources, lengths, targets)
    expected = torch.zeros(5, 3, dtype=torch.bool)
    expected[2:, 1] = True
    assert torch.equal(moved.abs().amax(2) > 1e-9, expected)


@pytest.mark.parametrize("at", [0, 5])
@decoders
def test_every_step_of_the_source_counts(decoder, at):
    model = seq2seq(decoder)
    sources, lengths, targets = draw_batch([6])
    changed = sources.clone()
    changed[at] = (changed[at] + 1) % SOURCES
    moved = model(changed, lengths, targets) - model(sources, lengths, targets)
    assert moved.abs().amax(2).min() > 1e-9


def test_a_plain_decoder_knows_of_the_source_its_state_alone():
    decoder, targets = seq2seq(Decoder).decoder, draw_batch([6])[2]
    state, mask = draw(1, 1, 4), torch.ones(6, 1, dtype=torch.bool)
    logits = [decoder(targets, state, draw(6, 1, 4), mask)[0] for _ in range(2)]
    assert torch.equal(*logits)


# ---- Attention ----


@given(lists_of_lengths, st.integers(0, 2), seeds)
def test_the_weights_sum_to_1_and_are_0_on_padding(lengths, more, seed):
    torch.manual_seed(seed)
    attention = AdditiveAttention(4).double()
    mask = length_mask(torch.tensor(lengths), max(lengths) + more)
    context, weights = attention(draw(len(lengths), 4), draw(*mask.shape, 4), mask)
    assert context.shape == (len(lengths), 4)
    torch.testing.assert_close(weights.sum(0), torch.ones(len(lengths)).double())
    assert torch.equal(weights > 0, mask)
    assert not weights[~mask].any()


def attend_by_hand(attention, query, memory):
    """Return the context and the weights of one ``query``, with numbers alone."""
    W_q, W_k, w_v = (p.tolist() for p in (attention.W_q, attention.W_k, attention.w_v))
    units, scores = range(len(query)), []
    for key in memory:
        score = 0.0
        for unit in units:
            total = sum(query[i] * W_q[i][unit] + key[i] * W_k[i][unit] for i in units)
            score += w_v[unit] * math.tanh(total)
        scores.append(math.exp(score))
    weights = [score / sum(scores) for score in scores]
    pairs = [*zip(weights, memory, strict=True)]
    return [sum(weight * key[unit] for weight, key in pairs) for unit in units], weights


@given(st.integers(1, 5), st.integers(0, 2), st.integers(1, 4), seeds)
def test_context_and_weights_are_those_computed_by_hand(
    length, padding, num_hiddens, seed
):
    torch.manual_seed(seed)
    attention = AdditiveAttention(num_hiddens).double()
    query, memory = draw(1, num_hiddens), draw(length + padding, 1, num_hiddens)
    mask = length_mask(torch.tensor([length]), length + padding)
    context, weights = attention(query, memory, mask)
    expected = attend_by_hand(attention, query[0].tolist(), memory[:length, 0].tolist())
    assert context[0].tolist() == pytest.approx(expected[0])
    assert weights[:length, 0].tolist() == pytest.approx(expected[1])


@pytest.mark.parametrize("bad", [1e3, torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("attends", [AdditiveAttention, AttentionDecoder])
def test_memory_in_the_padding_reaches_neither_result_nor_any_gradient(attends, bad):
    torch.manual_seed(0)
    mask, memory = length_mask(UNSORTED, 6), draw(6, 4, 4)
    if attends is AdditiveAttention:
        module, asked = AdditiveAttention(4).double(), [draw(4, 4)]
    else:
        module, asked = AttentionDecoder(TARGETS, 5, 4, 2).double(), [draw(2, 4, 4)]
    ids = [torch.randint(TARGETS, (3, 4))] * (attends is AttentionDecoder)

    def read(memory, query):
        return module(*ids, query, memory, mask)

    given = asked, [*module.parameters()]
    expected = values_and_gradients(read, memory, *given)
    memory[~mask] = bad
    results = values_and_gradients(read, memory, *given)
    assert all(map(torch.equal, results, expected))
    assert torch.equal((results[2] != 0).any(dim=2), mask)


def test_of_a_memory_of_one_step_the_context_is_that_step():
    attention, memory = AdditiveAttention(4).double(), draw(1, 3, 4)
    mask = torch.ones(1, 3, dtype=torch.bool)
    context, weights = attention(draw(3, 4), memory, mask)
    torch.testing.assert_close(context, memory[0])
    assert weights.tolist() == [[1.0] * 3]


def test_one_memory_serves_many_queries_as_beam_search_needs_it():
    torch.manual_seed(0)
    attention, memory = AdditiveAttention(4).double(), draw(6, 1, 4)
    queries, mask = draw(3, 4), torch.ones(6, 1, dtype=torch.bool)
    together = attention(queries, memory, mask)
    for row in range(3):
        context, weights = attention(queries[row : row + 1], memory, mask)
        torch.testing.assert_close(together[0][row : row + 1], context)
        torch.testing.assert_close(row_of(together[1], row), weights)
    assert (together[1][:, 0] - together[1][:, 1]).abs().max() > 0.01


@one_layer_or_two
def test_the_decoder_asks_with_the_top_layers_state_before_each_step(num_layers):
    decoder = seq2seq(AttentionDecoder, num_layers).decoder
    asked, attend = [], decoder.attention.forward

    def spy(query, memory, mask):
        asked.append(query)
        return attend(query, memory, mask)

    decoder.attention.forward = spy
    targets, state = torch.randint(TARGETS, (3, 1)), draw(num_layers, 1, 4)
    memory_and_mask = draw(6, 1, 4), torch.ones(6, 1, dtype=torch.bool)
    decoder(targets, state, *memory_and_mask)
    _, later = decoder(targets[:2], state, *memory_and_mask)
    assert torch.equal(asked[0], state[-1])
    torch.testing.assert_close(asked[2], later[-1])


@one_layer_or_two
def test_the_context_goes_into_the_layer_and_into_the_scores(num_layers):
    decoder = seq2seq(AttentionDecoder, num_layers).decoder
    ids, state, memory = torch.tensor([[3, 0]]), draw(num_layers, 2, 4), draw(6, 2, 4)
    mask = length_mask(torch.tensor([6, 2]), 6)
    context, _ = decoder.attention(state[-1], memory, mask)
    read = torch.cat([decoder.embedding(ids), context.unsqueeze(0)], dim=2)
    outputs, last = decoder.rnn(read, state)
    expected = decoder.linear(torch.cat([outputs, context.unsqueeze(0)], dim=2))
    torch.testing.assert_close(decoder(ids, state, memory, mask), (expected, last))


# ---- What does not fit together ----


@decoders
@pytest.mark.parametrize(
    ("num_hiddens", "num_layers"), [(4, 2), (6, 1)], ids=["layers", "hiddens"]
)
def test_an_encoder_that_does_not_fit_the_decoder_is_refused(
    decoder, num_hiddens, num_layers
):
    encoder = Encoder(SOURCES, 3, num_hiddens, num_layers)
    model, batch = Seq2Seq(encoder, decoder(TARGETS, 5, 4, 1)), draw_batch()
    message = rf"state of shape \({num_layers}, 3, {num_hiddens}\); .* = \(1, 3, 4\)"
    for use in (lambda: model(*batch), lambda: model.read(*batch[:2])):
        with pytest.raises(ValueError, match=message):
            use()


@decoders
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_another_number_of_targets_than_of_sources_is_refused(decoder, batch):
    sources, lengths, _ = draw_batch()
    targets = torch.zeros(5, batch, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"shape \(\d, 3, \d\); expected .*Give the"):
        seq2seq(decoder)(sources, lengths, targets)


@decoders
def test_lengths_that_do_not_fit_the_sources_are_refused(decoder):
    sources, _, targets = draw_batch()
    with pytest.raises(ValueError, match=r"^row 2 has length 7; expected 1 to 6"):
        seq2seq(decoder)(sources, torch.tensor([4, 6, 7]), targets)


@pytest.mark.cuda
@decoders
def test_on_cuda_the_logits_are_the_same_and_the_lengths_stay_on_the_cpu(decoder):
    model, (sources, lengths, targets) = seq2seq(decoder, 2), draw_batch()
    expected = model(sources, lengths, targets)
    logits = model.cuda()(sources.cuda(), lengths, targets.cuda())
    assert logits.is_cuda
    torch.testing.assert_close(logits.cpu(), expected)
