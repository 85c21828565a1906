"""Encoder, decoders, attention, and the model that they make."""

import math
import re
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from utils.models import (
    AdditiveAttention,
    AttentionDecoder,
    Decoder,
    Encoder,
    Seq2Seq,
)
from utils.padding import length_mask

SOURCES, TARGETS = 9, 7  # the sizes of the two vocabularies
DECODERS = [Decoder, AttentionDecoder]
decoders = pytest.mark.parametrize("decoder", DECODERS)
parts = pytest.mark.parametrize("part", [Encoder, *DECODERS])
seeds = st.integers(0, 1000)


def build(decoder, num_layers=1, num_hiddens=4, seed=0):
    """Return a small model in float64."""
    torch.manual_seed(seed)
    encoder = Encoder(SOURCES, 3, num_hiddens, num_layers)
    return Seq2Seq(encoder, decoder(TARGETS, 5, num_hiddens, num_layers)).double()


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64)


def draw_batch(lengths, target_steps, more=0):
    """Return sources with ``more`` steps than the longest, and targets, at random."""
    sources = torch.randint(SOURCES, (max(lengths) + more, len(lengths)))
    return sources, torch.randint(TARGETS, (target_steps, len(lengths)))


# ---- Shapes ----


@decoders
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_the_shapes_are_those_that_the_docstrings_promise(decoder, num_layers):
    model = build(decoder, num_layers)
    sources, targets = draw_batch([4, 6, 2], 5)
    lengths = torch.tensor([4, 6, 2])
    memory, state = model.encoder(sources, lengths)
    assert memory.shape == (6, 3, 4)
    assert state.shape == (num_layers, 3, 4)
    logits, state = model.decoder(targets, state, memory, length_mask(lengths, 6))
    assert logits.shape == (5, 3, TARGETS)
    assert state.shape == (num_layers, 3, 4)
    assert torch.equal(model(sources, lengths, targets), logits)


@decoders
@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_gradient_reaches_all_parameters(decoder, num_layers):
    model = build(decoder, num_layers)
    sources, targets = torch.arange(SOURCES), torch.arange(TARGETS)
    logits = model(sources.view(-1, 1), torch.tensor([SOURCES]), targets.view(-1, 1))
    nn.functional.cross_entropy(logits[:-1, 0], targets[1:]).backward()
    untouched = [n for n, p in model.named_parameters() if not p.grad.abs().max() > 0]
    assert untouched == []


# ---- Padding of the sources ----

lists_of_lengths = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@decoders
@given(lists_of_lengths, st.integers(0, 2), st.integers(1, 2), seeds)
@settings(max_examples=20)
def test_a_source_alone_gets_the_logits_that_it_gets_in_a_padded_batch(
    decoder, lengths, more, num_layers, seed
):
    model = build(decoder, num_layers, seed=seed)
    sources, targets = draw_batch(lengths, 4, more)
    logits = model(sources, torch.tensor(lengths), targets)
    for row, length in enumerate(lengths):
        column = slice(row, row + 1)
        alone = model(
            sources[:length, column], torch.tensor([length]), targets[:, column]
        )
        torch.testing.assert_close(logits[:, column], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_encoder_stops_at_the_end_of_each_source(num_layers):
    encoder = build(Decoder, num_layers).encoder
    sources, _ = draw_batch([4, 6, 2], 1, more=1)
    outputs, state = encoder(sources, torch.tensor([4, 6, 2]))
    for row, length in enumerate([4, 6, 2]):
        alone, last = encoder(sources[:length, row : row + 1], torch.tensor([length]))
        torch.testing.assert_close(outputs[:length, row : row + 1], alone)
        torch.testing.assert_close(state[:, row : row + 1], last)
        assert not outputs[length:, row].any()


# ---- Teacher forcing, and one step at a time ----


@decoders
@given(lists_of_lengths, st.integers(1, 5), st.integers(1, 3), seeds)
@settings(max_examples=20)
def test_one_id_at_a_time_gives_the_logits_of_all_at_once(
    decoder, lengths, target_steps, num_layers, seed
):
    model = build(decoder, num_layers, seed=seed)
    sources, targets = draw_batch(lengths, target_steps)
    step, state = model.read(sources, torch.tensor(lengths))
    logits = []
    for ids in targets.split(1):
        scores, state = step(ids, state)
        logits.append(scores)
    torch.testing.assert_close(
        torch.cat(logits), model(sources, torch.tensor(lengths), targets)
    )


@decoders
def test_a_target_id_counts_from_its_own_step_on_and_in_its_own_row(decoder):
    model = build(decoder)
    sources, targets = draw_batch([4, 6, 2], 5)
    changed = targets.clone()
    changed[2, 1] = (changed[2, 1] + 1) % TARGETS
    lengths = torch.tensor([4, 6, 2])
    moved = model(sources, lengths, changed) - model(sources, lengths, targets)
    expected = torch.zeros(5, 3, dtype=torch.bool)
    expected[2:, 1] = True
    assert torch.equal(moved.abs().amax(2) > 1e-9, expected)


@pytest.mark.parametrize("at", [0, 5])
@decoders
def test_every_step_of_the_source_counts(decoder, at):
    model = build(decoder)
    sources, targets = draw_batch([6], 5)
    changed, lengths = sources.clone(), torch.tensor([6])
    changed[at] = (changed[at] + 1) % SOURCES
    moved = model(changed, lengths, targets) - model(sources, lengths, targets)
    assert moved.abs().amax(2).min() > 1e-9


def test_a_plain_decoder_knows_of_the_source_its_state_alone():
    decoder = build(Decoder).decoder
    _, targets = draw_batch([6], 5)
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
    context = [
        sum(w * key[unit] for w, key in zip(weights, memory, strict=True))
        for unit in units
    ]
    return context, weights


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


def test_of_a_memory_of_one_step_the_context_is_that_step():
    attention, memory = AdditiveAttention(4).double(), draw(1, 3, 4)
    mask = torch.ones(1, 3, dtype=torch.bool)
    context, weights = attention(draw(3, 4), memory, mask)
    torch.testing.assert_close(context, memory[0])
    assert weights.tolist() == [[1.0] * 3]


def test_another_query_looks_elsewhere():
    torch.manual_seed(0)
    attention, memory = AdditiveAttention(4).double(), draw(6, 1, 4)
    mask = torch.ones(6, 1, dtype=torch.bool)
    _, one = attention(draw(1, 4), memory, mask)
    _, other = attention(draw(1, 4), memory, mask)
    assert (one - other).abs().max() > 0.01


def test_one_memory_serves_many_queries_as_beam_search_needs_it():
    attention, memory = AdditiveAttention(4).double(), draw(6, 1, 4)
    queries, mask = draw(3, 4), torch.ones(6, 1, dtype=torch.bool)
    together = attention(queries, memory, mask)
    for row in range(3):
        context, weights = attention(queries[row : row + 1], memory, mask)
        torch.testing.assert_close(together[0][row : row + 1], context)
        torch.testing.assert_close(together[1][:, row : row + 1], weights)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_decoder_asks_with_the_top_layers_state_before_each_step(num_layers):
    decoder = build(AttentionDecoder, num_layers).decoder
    asked, attend = [], decoder.attention.forward

    def spy(query, memory, mask):
        asked.append(query)
        return attend(query, memory, mask)

    decoder.attention.forward = spy
    _, targets = draw_batch([6], 3)
    state = draw(num_layers, 1, 4)
    arguments = draw(6, 1, 4), torch.ones(6, 1, dtype=torch.bool)
    decoder(targets, state, *arguments)
    _, later = decoder(targets[:2], state, *arguments)
    assert torch.equal(asked[0], state[-1])
    torch.testing.assert_close(asked[2], later[-1])


@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_context_goes_into_the_layer_and_into_the_scores(num_layers):
    decoder = build(AttentionDecoder, num_layers).decoder
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
    ("num_layers", "shape"),
    [(1, (2, 3, 4)), (2, (1, 3, 4)), (1, (1, 2, 4)), (1, (1, 3, 5)), (1, (3, 4))],
    ids=["too many layers", "too few", "another batch", "other hiddens", "2-d"],
)
def test_a_decoder_refuses_a_state_that_is_not_its_own(decoder, num_layers, shape):
    part = decoder(TARGETS, 5, 4, num_layers)
    ids, mask = torch.zeros(2, 3, dtype=torch.int64), torch.ones(6, 3).bool()
    with pytest.raises(
        ValueError,
        match=rf"^the decoder got a state of shape {re.escape(str(shape))}; expected "
        rf"\(num_layers, batch, num_hiddens\) = \({num_layers}, 3, 4\)\. Give the "
        "encoder and the decoder the same num_layers and num_hiddens",
    ):
        part(ids, torch.zeros(shape), torch.zeros(6, 3, 4), mask)


@decoders
@pytest.mark.parametrize(
    ("encoder", "got"),
    [((4, 2), (2, 3, 4)), ((6, 1), (1, 3, 6))],
    ids=["of two layers", "of other hiddens"],
)
def test_an_encoder_that_does_not_fit_the_decoder_is_refused(decoder, encoder, got):
    model = Seq2Seq(Encoder(SOURCES, 3, *encoder), decoder(TARGETS, 5, 4, 1))
    sources, targets = draw_batch([4, 6, 2], 5)
    with pytest.raises(
        ValueError,
        match=rf"^the decoder got a state of shape {re.escape(str(got))}; .* = \(1, 3, 4\)",
    ):
        model(sources, torch.tensor([4, 6, 2]), targets)


@decoders
def test_another_number_of_targets_than_of_sources_is_refused(decoder):
    sources, _ = draw_batch([4, 6, 2], 5)
    _, targets = draw_batch([1, 1], 5)
    with pytest.raises(
        ValueError,
        match=r"^the decoder got a state of shape \(1, 3, 4\); .*\(1, 2, 4\)",
    ):
        build(decoder)(sources, torch.tensor([4, 6, 2]), targets)


@decoders
@pytest.mark.parametrize("which", ["sources", "targets"])
@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda ids: ids + 9, ValueError, "^ids range from .*; expected 0 to "),
        (lambda ids: ids - 9, ValueError, "^ids range from -.*; expected 0 to "),
        (lambda ids: ids.float(), TypeError, r"^ids have dtype torch\.float32; exp"),
        (lambda ids: ids[:0], ValueError, r"^ids have shape \(0, 3\); expected \(num"),
        (lambda ids: ids[0], ValueError, r"^ids have shape \(3,\); expected \(num_st"),
    ],
    ids=["too high", "below 0", "float", "no steps", "1-d"],
)
def test_ids_that_are_none_are_refused(decoder, which, spoil, error, message):
    sources, targets = draw_batch([4, 6, 2], 5)
    batch = {"sources": sources, "targets": targets}
    batch[which] = spoil(batch[which])
    with pytest.raises(error, match=message):
        build(decoder)(**batch, lengths=torch.tensor([4, 6, 2]))


@decoders
def test_lengths_that_do_not_fit_the_sources_are_refused(decoder):
    sources, targets = draw_batch([4, 6, 2], 5)
    with pytest.raises(ValueError, match=r"^row 2 has length 7; expected 1 to 6"):
        build(decoder)(sources, torch.tensor([4, 6, 7]), targets)


# ---- Layers and dropout ----


@parts
def test_dropout_with_one_layer_drops_nothing_and_says_so(part):
    with pytest.warns(
        UserWarning, match=r"^dropout is 0\.5 but num_layers is 1: .*nothing is dropped"
    ) as caught:
        module = part(9, 3, 4, dropout=0.5)
    # PyTorch's own does not come on top.
    assert [warning.filename for warning in caught] == [__file__]
    assert module.rnn.dropout == 0


@parts
def test_dropout_with_two_layers_acts_between_them_in_training_only(part):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = part(9, 3, 4, num_layers=2, dropout=0.5)
    ids, lengths = torch.zeros(6, 3, dtype=torch.int64), torch.tensor([4, 6, 2])
    others = {
        Encoder: (lengths,),
        Decoder: (torch.zeros(2, 3, 4), None, None),
        AttentionDecoder: (
            torch.zeros(2, 3, 4),
            torch.zeros(6, 3, 4),
            length_mask(lengths, 6),
        ),
    }[part]
    one, other = (module(ids, *others)[0] for _ in range(2))
    assert not torch.equal(one, other)
    module.eval()
    one, other = (module(ids, *others)[0] for _ in range(2))
    assert torch.equal(one, other)


@parts
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_layers": 0}, "num_layers is 0; expected a whole number of at least 1"),
        ({"num_layers": 2, "dropout": 1.0}, r"dropout is 1\.0; expected a share"),
        ({"num_layers": 2, "dropout": -0.1}, r"dropout is -0\.1; expected a share"),
    ],
    ids=str,
)
def test_a_depth_or_a_dropout_that_makes_no_sense_is_refused(part, settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        part(9, 3, 4, **settings)


@pytest.mark.cuda
@decoders
def test_on_cuda_the_logits_are_the_same_and_the_lengths_stay_on_the_cpu(decoder):
    model = build(decoder, 2)
    sources, targets = draw_batch([4, 6, 2], 5)
    lengths = torch.tensor([4, 6, 2])
    expected = model(sources, lengths, targets)
    logits = model.cuda()(sources.cuda(), lengths, targets.cuda())
    assert logits.is_cuda
    torch.testing.assert_close(logits.cpu(), expected)
