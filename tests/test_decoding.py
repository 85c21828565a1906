import itertools
import math
from functools import partial

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from utils.cells import GRUScratch, LSTMScratch
from utils.decoding import (
    Hypothesis,
    beam_search,
    check_beam,
    choose,
    generate,
    grow,
    select_rows,
    translate,
)
from utils.models import (
    AttentionDecoder,
    Decoder,
    Encoder,
    LanguageModel,
    Seq2Seq,
)

scores = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=6)
tables = st.lists(st.tuples(*[st.floats(-9, 9, width=32)] * 5), min_size=1, max_size=4)
seeds = st.integers(0, 1000)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


# ---- choose ----


@given(tables)
def test_temperature_0_takes_the_most_likely_id(rows):
    logits = torch.tensor(rows)
    chosen = choose(logits)
    assert chosen.shape == (len(rows),)
    assert chosen.dtype == torch.int64
    best = logits.gather(1, chosen.unsqueeze(1)).squeeze(1)
    assert torch.equal(best, logits.max(1).values)


@given(scores, st.floats(0.1, 5), seeds)
@example([0.0, 0.0], 1.0, 3)
def test_top_1_is_greedy_at_any_temperature(row, temperature, seed):
    logits = torch.tensor([row] * 20)
    chosen = choose(logits, temperature, top_k=1, generator=seeded(seed))
    assert torch.equal(chosen, choose(logits))


@given(scores, st.integers(1, 2), seeds)
@example([0.0, 0.0, 0.0], 2, 3)
def test_top_k_draws_at_most_k_different_ids_and_the_likeliest_ones(row, top_k, seed):
    logits = torch.tensor([row] * 50)
    chosen = choose(logits, 1.0, top_k=top_k, generator=seeded(seed))
    allowed = sorted(row)[-top_k:]
    assert {row[index] for index in chosen.tolist()} <= set(allowed)
    assert len(chosen.unique()) <= top_k


@given(tables, st.floats(0, 1e-6, exclude_min=True), seeds)
def test_a_tiny_temperature_is_greedy_and_does_not_overflow(rows, temperature, seed):
    logits = torch.tensor(rows)
    chosen = choose(logits, temperature, generator=seeded(seed))
    gap = logits.max(1).values - logits.gather(1, chosen.unsqueeze(1)).squeeze(1)
    assert gap.max() < 1e-3


def test_temperature_1_draws_as_often_as_the_model_says():
    shares = torch.tensor([0.5, 0.3, 0.2])
    drawn = choose(shares.log().expand(20_000, 3), 1.0, generator=seeded(0))
    torch.testing.assert_close(
        drawn.bincount(minlength=3) / 20_000, shares, rtol=0, atol=0.015
    )


def test_temperature_2_flattens_the_distribution():
    shares = torch.tensor([0.9, 0.1])
    drawn = choose(shares.log().expand(20_000, 2), 2.0, generator=seeded(0))
    expected = shares.sqrt() / shares.sqrt().sum()
    torch.testing.assert_close(drawn.bincount() / 20_000, expected, rtol=0, atol=0.015)


@pytest.mark.parametrize("temperature", [-0.1, float("nan")])
def test_a_temperature_below_0_is_refused(temperature):
    with pytest.raises(ValueError, match=f"temperature is {temperature}; expected 0"):
        choose(torch.zeros(1, 5), temperature)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("top_k", [0, -1, 6])
def test_top_k_outside_the_vocabulary_is_refused(temperature, top_k):
    with pytest.raises(ValueError, match=f"top_k is {top_k}; expected 1 to 5"):
        choose(torch.zeros(1, 5), temperature, top_k)


# ---- generate ----


@pytest.fixture(scope="session")
def model(make_model):
    return make_model()


@pytest.fixture(scope="session")
def unk_lover(make_model):
    """A model for which <unk> is by far the most likely next character."""
    model = make_model()
    with torch.no_grad():
        model.b_q[0] = 100
    return model


def greedy_by_hand(model, vocab, prefix, num_chars):
    """Read the whole text anew for every character."""
    text = prefix
    for _ in range(num_chars):
        logits, _ = model(vocab.encode(text).unsqueeze(1))
        text += vocab.tokens[1 + int(logits[-1, 0, 1:].argmax())]
    return text


@pytest.mark.parametrize("prefix", ["t", "the tide "])
def test_greedy_text_is_what_reading_all_of_it_anew_gives(model, vocab, prefix):
    expected = greedy_by_hand(model, vocab, prefix, 30)
    assert generate(model, vocab, prefix, 30) == expected


@given(st.text("abc ", min_size=1, max_size=5), st.integers(0, 20), seeds)
def test_the_text_is_the_prefix_and_so_many_known_characters(
    model, vocab, prefix, num_chars, seed
):
    text = generate(model, vocab, prefix, num_chars, temperature=1.0, seed=seed)
    assert text.startswith(prefix)
    assert len(text) == len(prefix) + num_chars
    assert vocab.unknown(text) == []


@given(seeds, st.sampled_from([0.0, 0.5, 2.0]), st.sampled_from([None, 1, 28]))
def test_unk_is_never_written(unk_lover, vocab, seed, temperature, top_k):
    options = {"temperature": temperature, "top_k": top_k, "seed": seed}
    text = generate(unk_lover, vocab, "tide", 10, **options)
    assert vocab.unknown(text) == []
    assert len(text) == 14


@given(seeds)
def test_top_1_writes_the_greedy_text(model, vocab, seed):
    text = generate(model, vocab, "tide", 15, temperature=1.0, top_k=1, seed=seed)
    assert text == generate(model, vocab, "tide", 15)


@given(seeds)
def test_the_same_seed_writes_the_same_text(model, vocab, seed):
    torch.manual_seed(seed)  # the default generator plays no part
    first = generate(model, vocab, "tide", 15, temperature=1.0, seed=5)
    assert first == generate(model, vocab, "tide", 15, temperature=1.0, seed=5)


def test_another_seed_writes_another_text(model, vocab):
    texts = {generate(model, vocab, "a", 30, temperature=1.0, seed=s) for s in range(9)}
    assert len(texts) == 9


@pytest.mark.parametrize("training", [True, False])
def test_writing_leaves_the_model_in_the_mode_it_was(model, vocab, training):
    model.train(training)
    generate(model, vocab, "tide", 3)
    assert model.training is training


def test_an_empty_prefix_is_refused(model, vocab):
    with pytest.raises(ValueError, match="the prefix is empty"):
        generate(model, vocab, "", 5)


def test_a_prefix_outside_the_vocabulary_is_refused_and_its_characters_named(
    model, vocab
):
    with pytest.raises(ValueError, match=r"'Tide 7' has characters .* seen: 'T' '7'"):
        generate(model, vocab, "Tide 7", 5)


def test_a_negative_length_is_refused(model, vocab):
    with pytest.raises(ValueError, match="num_chars is -1; expected"):
        generate(model, vocab, "tide", -1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, r"temperature is -1\.0; expected 0"),
        ({"top_k": 0}, "top_k is 0; expected 1 to 28"),
        ({"top_k": 29}, "top_k is 29; expected 1 to 28"),
    ],
    ids=str,
)
def test_bad_sampling_is_refused_before_anything_is_written(
    model, vocab, options, message
):
    with pytest.raises(ValueError, match=message):
        generate(model, vocab, "tide", 0, **options)


@pytest.mark.cuda
def test_a_model_on_cuda_writes_there(make_model, vocab):
    model = make_model().cuda()
    greedy = generate(model, vocab, "tide", 20)
    assert len(greedy) == 24
    drawn = generate(model, vocab, "tide", 20, temperature=1.0, seed=1)
    assert drawn == generate(model, vocab, "tide", 20, temperature=1.0, seed=1)


# ---- translate ----

START, END, NUM_IDS = 1, 2, 6
decoders = pytest.mark.parametrize("decoder", [Decoder, AttentionDecoder])


def build_translator(decoder, num_layers=1, seed=0, never=(), dropout=0.0):
    """Return a small model in float64 that never writes the ids of ``never``."""
    torch.manual_seed(seed)
    writer = decoder(NUM_IDS, 4, 8, num_layers, dropout)
    for weights in (writer.linear.weight, writer.embedding.weight):
        nn.init.normal_(weights, std=2)  # so that it does not always write the same
    with torch.no_grad():
        writer.linear.bias[list(never)] = -1e9
    return Seq2Seq(Encoder(9, 3, 8, num_layers, dropout), writer).double()


def draw_sources(lengths):
    return torch.randint(9, (max(lengths), len(lengths))), torch.tensor(lengths)


def translate_by_hand(model, source, max_steps):
    """Read all that was written anew for every id of one target, up to its end."""
    written = []
    while len(written) < max_steps and END not in written:
        targets = torch.tensor([START, *written]).unsqueeze(1)
        logits = model(source, torch.tensor([len(source)]), targets)
        written.append(int(logits[-1, 0].argmax()))
    return written


@decoders
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.integers(1, 6),
    st.integers(1, 2),
    seeds,
)
@settings(max_examples=25)
def test_a_greedy_target_is_the_likeliest_id_at_each_step_up_to_the_end(
    decoder, lengths, max_steps, num_layers, seed
):
    model = build_translator(decoder, num_layers, seed)
    sources, lengths = draw_sources(lengths)
    ids, finished = translate(
        model, sources, lengths, start=START, end=END, max_steps=max_steps
    )
    assert ids.shape == (max_steps, len(lengths))
    assert ids.dtype == torch.int64
    assert finished.dtype == torch.bool
    for row, length in enumerate(lengths):
        expected = translate_by_hand(model, sources[:length, row : row + 1], max_steps)
        assert finished[row] == (expected[-1] == END)
        expected += [END] * (max_steps - len(expected))
        assert ids[:, row].tolist() == expected


def ends_of(seed):
    """Return for a few targets after how many ids they end; 0: not in 8 steps."""
    model = build_translator(AttentionDecoder, seed=seed)
    sources, lengths = draw_sources([3, 5, 2, 4])
    options = {"start": START, "end": END, "max_steps": 8}
    ids, finished = translate(model, sources, lengths, **options)
    places = (ids == END).int().argmax(0) + 1
    return (places * finished).tolist()


def test_the_models_of_these_tests_end_early_late_and_never():
    assert {end for seed in range(20) for end in ends_of(seed)} >= {0, 1, 2, 3, 4}


@decoders
def test_a_target_that_never_ends_stops_at_max_steps_and_is_not_finished(decoder):
    sources, lengths = draw_sources([3, 5, 2])
    ids, finished = translate(
        build_translator(decoder, never=[END]),
        sources,
        lengths,
        start=START,
        end=END,
        max_steps=9,
    )
    assert ids.shape == (9, 3)
    assert not (ids == END).any()
    assert finished.tolist() == [False] * 3


@pytest.mark.parametrize("max_steps", [0, -1, 2.5])
def test_fewer_than_one_step_is_no_target(max_steps):
    sources, lengths = draw_sources([3, 5])
    with pytest.raises(
        ValueError,
        match=f"^max_steps is {max_steps}; expected a whole number of at least 1",
    ):
        translate(
            build_translator(Decoder),
            sources,
            lengths,
            start=START,
            end=END,
            max_steps=max_steps,
        )


def test_writing_targets_needs_no_gradients():
    model = build_translator(AttentionDecoder)
    seen = []
    model.decoder.register_forward_hook(lambda *given: seen.append(given[2][0]))
    sources, lengths = draw_sources([3])
    translate(model, sources, lengths, start=START, end=END, max_steps=2)
    assert seen
    assert not any(logits.requires_grad for logits in seen)


def modes_of(model):
    return {module.training for module in model.modules()}


@decoders
@pytest.mark.parametrize("training", [True, False])
def test_writing_targets_ignores_dropout_and_leaves_the_model_in_its_mode(
    decoder, training
):
    model = build_translator(decoder, 2, dropout=0.9)
    seen = []
    model.decoder.register_forward_hook(lambda *_: seen.append(modes_of(model)))
    sources, lengths = draw_sources([3, 5, 2, 4, 1])
    options = {"start": START, "end": END, "max_steps": 8}
    plain = build_translator(decoder, 2)  # the same weights
    expected = translate(plain, sources, lengths, **options)
    model.train(training)
    assert all(
        map(torch.equal, translate(model, sources, lengths, **options), expected)
    )
    assert modes_of(model) == {training}
    assert seen == [{False}] * 8


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_after_an_error_the_model_is_in_its_mode_too(training, part):
    model = build_translator(AttentionDecoder)

    def fail(*_):
        raise RuntimeError("out of memory")

    getattr(model, part).register_forward_hook(fail)
    model.train(training)
    with pytest.raises(RuntimeError, match="out of memory"):
        translate(model, *draw_sources([3, 5]), start=START, end=END, max_steps=2)
    assert modes_of(model) == {training}


# ---- beam_search ----


@pytest.mark.parametrize("count", [1, 3, 6, 99])
def test_texts_grow_by_the_likeliest_ids_whichever_text_they_continue(count):
    alive = [
        Hypothesis([4], math.log(0.6), False),
        Hypothesis([5], math.log(0.4), False),
    ]
    shares = torch.tensor([[0.5, 0.35, 0.15], [0.1, 0.8, 0.1]], dtype=torch.float64)
    grown = grow(alive, shares.log() + 7, 1, count)  # 7 more for all changes nothing
    expected = [
        (1, [5, 1], 0.32),
        (0, [4, 0], 0.30),
        (0, [4, 1], 0.21),
        (0, [4, 2], 0.09),
        (1, [5, 0], 0.04),
        (1, [5, 2], 0.04),
    ][:count]
    assert len(grown) == len(expected)
    for (parent, text), (from_text, ids, share) in zip(grown, expected, strict=True):
        assert parent == from_text
        assert text.ids[0] == ids[0]
        assert text.log_prob == pytest.approx(math.log(share))
        assert text.finished is (text.ids[-1] == 1)
    assert [text.ids for _, text in grown][:4] == [ids for _, ids, _ in expected][:4]
    assert [text.ids for text in alive] == [[4], [5]]


class Table:
    """A model whose logits are the rows of a table; which one, depends on all ids before.

    The state is ``(1, beams, 1)``, the number of the row, or a pair of it and its negative.
    """

    def __init__(self, num_ids, seed, *, pair=False, never=()):
        generator = torch.Generator().manual_seed(seed)
        shape = (997, num_ids)  # so many rows that no two texts are equally likely
        self.rows = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
        self.rows[:, list(never)] = -1e9
        self.pair = pair
        start = torch.zeros(1, 1, 1, dtype=torch.int64)
        self.state = (start, -start) if pair else start

    def next_row(self, row, last):
        return (self.rows.shape[1] * row + last + 1) % len(self.rows)

    def step(self, ids, state):
        """Return the logits and the next state, as a language model does."""
        row = state[0] if self.pair else state
        if self.pair:
            assert torch.equal(state[1], -row)  # both parts go the same way
        row = self.next_row(row, ids.unsqueeze(-1))
        return self.rows[row[..., 0]], (row, -row) if self.pair else row

    def log_prob(self, ids, start):
        """Return the log-probability of a text, by the definition."""
        row, total = 0, 0.0
        for before, last in itertools.pairwise([start, *ids]):
            row = self.next_row(row, before)
            scores = self.rows[row].tolist()
            total += scores[last] - math.log(sum(map(math.exp, scores)))
        return total


def beam_by_hand(table, start, end, beam_width, max_steps):
    """Keep the likeliest texts at each step, each scored anew from its start."""
    alive, ended = [[]], []
    for _ in range(max_steps):
        longer = [[*ids, last] for ids in alive for last in range(table.rows.shape[1])]
        longer.sort(key=lambda ids: table.log_prob(ids, start), reverse=True)
        kept = longer[: beam_width - len(ended)]
        ended += [ids for ids in kept if ids[-1] == end]
        alive = [ids for ids in kept if ids[-1] != end]
    return ended, alive


def best_first(texts, table, start, length_penalty):
    def score(ids):
        return table.log_prob(ids, start) / len(ids) ** length_penalty

    return sorted(texts, key=score, reverse=True)


@given(
    st.integers(2, 6),
    st.integers(1, 6),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.7, 1.0]),
    st.booleans(),
    st.booleans(),
    seeds,
)
@settings(max_examples=150)
def test_beam_search_finds_what_keeping_the_likeliest_texts_finds(
    num_ids, beam_width, max_steps, length_penalty, with_end, pair, seed
):
    beam_width, end = min(beam_width, num_ids), 1 if with_end else None
    table = Table(num_ids, seed, pair=pair)
    found = beam_search(
        table.step,
        table.state,
        start=0,
        end=end,
        beam_width=beam_width,
        max_steps=max_steps,
        length_penalty=length_penalty,
    )
    ended, alive = beam_by_hand(table, 0, end, beam_width, max_steps)
    ended, alive = (best_first(t, table, 0, length_penalty) for t in (ended, alive))
    assert [text.ids for text in found] == ended + alive
    assert [text.finished for text in found] == [True] * len(ended) + [False] * len(
        alive
    )
    assert [text.log_prob for text in found] == pytest.approx(
        [table.log_prob(text.ids, 0) for text in found]
    )
    for kind in (True, False):  # the best first, among those that have ended or not
        scores = [text.score(length_penalty) for text in found if text.finished is kind]
        assert scores == sorted(scores, reverse=True)


@given(st.integers(2, 6), seeds)
def test_a_beam_as_wide_as_the_vocabulary_finds_the_best_text_of_two_ids(num_ids, seed):
    table = Table(num_ids, seed)
    best = beam_search(
        table.step,
        table.state,
        start=0,
        end=None,
        beam_width=num_ids,
        max_steps=2,
    )[0]
    every = itertools.product(range(num_ids), repeat=2)
    assert best.ids == [*max(every, key=lambda ids: table.log_prob(ids, 0))]


@given(st.integers(2, 6), seeds)
def test_of_width_1_it_is_greedy(num_ids, seed):
    table = Table(num_ids, seed)
    (found,) = beam_search(
        table.step, table.state, start=0, end=1, beam_width=1, max_steps=6
    )
    row, ids = 0, [0]
    while len(ids) < 7 and ids[-1] != 1:
        row = table.next_row(row, ids[-1])
        ids.append(int(table.rows[row].argmax()))
    assert found.ids == ids[1:]
    assert found.finished is (ids[-1] == 1)


@decoders
@given(st.integers(1, 5), st.integers(1, 2), seeds)
@settings(max_examples=15)
def test_of_width_1_it_writes_the_greedy_target(decoder, length, num_layers, seed):
    model = build_translator(decoder, num_layers, seed)
    sources, lengths = draw_sources([length])
    step, state = model.read(sources, lengths)
    options = {"start": START, "end": END, "max_steps": 6}
    (found,) = beam_search(step, state, beam_width=1, **options)
    ids, finished = translate(model, sources, lengths, **options)
    assert found.finished is finished.item()
    assert found.ids == ids[: len(found.ids), 0].tolist()
    assert set(ids[len(found.ids) :, 0].tolist()) <= {END}


@decoders
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_the_log_probability_of_a_target_is_the_models_own(decoder, num_layers, seed):
    model = build_translator(decoder, num_layers, seed)
    sources, lengths = draw_sources([5])
    step, state = model.read(sources, lengths)
    found = beam_search(step, state, start=START, end=END, max_steps=6)
    assert len(found) == 4
    for ids, log_prob, _ in found:
        targets = torch.tensor([START, *ids[:-1]]).unsqueeze(1)
        scores = model(sources, lengths, targets)[:, 0].log_softmax(1)
        expected = scores.gather(1, torch.tensor(ids).unsqueeze(1)).sum().item()
        assert log_prob == pytest.approx(expected)


@pytest.mark.parametrize(
    "layer",
    [GRUScratch, LSTMScratch, nn.LSTM, partial(nn.LSTM, num_layers=2)],
    ids=["GRUScratch", "LSTMScratch", "nn.LSTM", "nn.LSTM of two layers"],
)
def test_a_language_model_writes_on_from_what_it_has_read(layer):
    torch.manual_seed(0)
    model = LanguageModel(layer(6, 8), 6).double()
    nn.init.normal_(model.W_hq, std=2)
    prefix = torch.randint(6, (7, 1))
    _, state = model(prefix[:-1])
    found = beam_search(
        model, state, start=int(prefix[-1]), end=None, beam_width=5, max_steps=6
    )
    assert [len(text.ids) for text in found] == [6] * 5
    assert not any(text.finished for text in found)
    assert len({tuple(text.ids) for text in found}) == 5
    for ids, log_prob, _ in found:
        text = torch.cat([prefix, torch.tensor(ids[:-1]).unsqueeze(1)])
        scores = model(text)[0][6:, 0].log_softmax(1)
        expected = scores.gather(1, torch.tensor(ids).unsqueeze(1)).sum().item()
        assert log_prob == pytest.approx(expected)


def short_or_long(ids, state):
    """Id 1 ends the text: at once with 0.3, or after three ids 2, which have 0.6 and 0.9, 0.9.

    The mean log-probability of the long text is better, the log-probability of the short one not.
    """
    step = int(state[0, 0, 0])
    shares = [[0.1, 0.3, 0.6], [0.3, 0.1, 0.6], [0.05, 0.05, 0.9], [0.05, 0.9, 0.05]]
    row = torch.tensor(shares[min(step, 3)], dtype=torch.float64).log()
    return row.expand(1, ids.shape[1], 3), state + 1


@pytest.mark.parametrize(
    ("length_penalty", "expected"), [(0.0, [1]), (1.0, [2, 2, 2, 1])]
)
def test_the_length_penalty_decides_between_a_short_text_and_a_likelier_long_one(
    length_penalty, expected
):
    found = beam_search(
        short_or_long,
        torch.zeros(1, 1, 1),
        start=0,
        end=1,
        beam_width=3,
        max_steps=4,
        length_penalty=length_penalty,
    )
    texts = {tuple(text.ids): text for text in found if text.finished}
    short, long = texts[1,], texts[2, 2, 2, 1]
    assert short.log_prob == pytest.approx(math.log(0.3))
    assert long.log_prob == pytest.approx(math.log(0.6 * 0.6 * 0.9 * 0.9))
    assert found[0].ids == expected


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_text_that_has_ended_comes_before_a_likelier_one_that_has_not(length_penalty):
    found = beam_search(
        short_or_long,
        torch.zeros(1, 1, 1),
        start=0,
        end=1,
        beam_width=2,
        max_steps=1,
        length_penalty=length_penalty,
    )
    assert [(text.ids, text.finished) for text in found] == [([1], True), ([2], False)]
    assert found[0].log_prob < found[1].log_prob


def test_a_score_is_the_log_probability_over_a_power_of_the_length():
    text = Hypothesis([3, 1, 4, 1], -6.0, finished=True)
    assert text.score(0.0) == -6
    assert text.score(0.5) == -3
    assert text.score(1.0) == -1.5


@pytest.mark.parametrize("end", [2, 99], ids=["never chosen", "not an id"])
@given(st.integers(1, 5), st.integers(1, 8), seeds)
@settings(max_examples=15)
def test_texts_that_never_end_stop_at_max_steps_and_say_so(
    end, beam_width, max_steps, seed
):
    table = Table(6, seed, never=[2])
    found = beam_search(
        table.step,
        table.state,
        start=0,
        end=end,
        beam_width=beam_width,
        max_steps=max_steps,
    )
    assert [len(text.ids) for text in found] == [max_steps] * beam_width
    assert not any(text.finished for text in found)


def test_it_stops_as_soon_as_all_texts_have_ended():
    table, calls = Table(2, 0), []
    table.rows[:, 1] = 50.0  # the end

    def step(ids, state):
        calls.append(ids.tolist())
        return table.step(ids, state)

    found = beam_search(step, table.state, start=0, end=1, beam_width=2, max_steps=50)
    assert [text.ids for text in found] == [[1], [0, 1]]
    assert calls == [[[0]], [[0]]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_width": 0}, "beam_width is 0; expected a whole number of at least 1"),
        ({"beam_width": -1}, "beam_width is -1; expected a whole number of at least"),
        ({"beam_width": 6}, "beam_width is 6; expected 1 to 5, the vocabulary's size"),
        ({"max_steps": 0}, "max_steps is 0; expected a whole number of at least 1"),
        ({"max_steps": 1.5}, r"max_steps is 1\.5; expected a whole number of at least"),
    ],
    ids=str,
)
def test_a_search_that_makes_no_sense_is_refused(settings, message):
    table = Table(5, 0)
    with pytest.raises(ValueError, match=f"^{message}"):
        beam_search(table.step, table.state, start=0, end=1, **settings)


def test_a_beam_may_be_as_wide_as_the_vocabulary_and_no_wider():
    check_beam(5, 5)
    with pytest.raises(
        ValueError, match=r"^beam_width is 6; expected 1 to 5, the vocabulary's size\.$"
    ):
        check_beam(6, 5)


@pytest.mark.parametrize("rows", [[0], [2, 0], [1, 1, 1]], ids=str)
def test_rows_of_a_state_are_selected_in_all_its_layers_and_parts(rows):
    H, C = torch.rand(2, 3, 4), torch.rand(2, 3, 4)
    assert torch.equal(select_rows(H, torch.tensor(rows)), H[:, rows])
    pair = select_rows((H, C), torch.tensor(rows))
    assert isinstance(pair, tuple)
    assert all(map(torch.equal, pair, (H[:, rows], C[:, rows])))


@pytest.mark.cuda
@decoders
def test_targets_are_written_on_cuda_too(decoder):
    model = build_translator(decoder)
    sources, lengths = draw_sources([3, 5, 2])
    options = {"start": START, "end": END, "max_steps": 6}
    expected, ended = translate(model, sources, lengths, **options)
    best = beam_search(*model.read(sources[:, 1:2], lengths[1:2]), **options)
    model.cuda()
    ids, finished = translate(model, sources.cuda(), lengths, **options)
    assert ids.is_cuda
    assert torch.equal(ids.cpu(), expected)
    assert torch.equal(finished.cpu(), ended)
    found = beam_search(*model.read(sources[:, 1:2].cuda(), lengths[1:2]), **options)
    assert [text.ids for text in found] == [text.ids for text in best]
