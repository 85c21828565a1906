import itertools
import math
from functools import partial

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tests.helpers import (
    VOCABS,
    build_translator,
    decoders,
    modes_of,
    seeded,
    seeds,
)
from utils.cells import GRUScratch, LSTMScratch
from utils.dates import encode_pairs
from utils.decoding import (
    Hypothesis,
    beam_search,
    choose,
    exact_match,
    generate,
    grow,
    select_rows,
    translate,
)
from utils.models import AttentionDecoder, LanguageModel

scores = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=6)
tables = st.lists(st.tuples(*[st.floats(-9, 9, width=32)] * 5), min_size=1, max_size=4)

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


@given(
    st.integers(1, 5),
    st.sampled_from([0.2, 0.7, 1.0, 2.0, 50.0]),
    st.sampled_from([None, 1, 3, 8]),
    st.booleans(),
    st.integers(0, 10**6),
)
@settings(max_examples=300)
def test_it_draws_exactly_what_multinomial_draws(
    batch, temperature, top_k, ruled_out, seed
):
    logits = 3 * torch.randn(batch, 8, generator=seeded(seed))
    if ruled_out:
        logits[:, seed % 8] = -torch.inf
    ours, torchs = seeded(seed), seeded(seed)
    ranked, ids = logits.sort(stable=True, dim=1, descending=True)
    if top_k is None:
        ranked, ids = logits, torch.arange(8).expand(batch, 8)
    shares = (ranked[:, :top_k] - logits.amax(1, keepdim=True)) / temperature
    places = torch.multinomial(shares.softmax(1), 1, generator=torchs)
    drawn = choose(logits, temperature, top_k, ours)
    assert torch.equal(drawn, ids.gather(1, places).squeeze(1))
    assert torch.equal(ours.get_state(), torchs.get_state())
    assert logits.gather(1, drawn.unsqueeze(1)).isfinite().all()


# ---- generate ----


@pytest.fixture(scope="module")
def model(make_model):
    return make_model()


@pytest.fixture(scope="module")
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


def test_the_seed_alone_decides_what_is_written(model, vocab):
    texts = []
    for seed in [0, 1, 2, 3, 4, 4, 3, 2, 1, 0]:
        torch.manual_seed(len(texts))  # the default generator plays no part
        texts.append(generate(model, vocab, "a", 30, temperature=1.0, seed=seed))
    assert texts == texts[::-1]
    assert len({*texts}) == 5


@pytest.mark.parametrize("training", [True, False])
def test_writing_leaves_the_model_in_the_mode_it_was(model, vocab, training):
    model.train(training)
    generate(model, vocab, "tide", 3)
    assert model.training is training


@pytest.mark.parametrize(
    ("prefix", "num_chars", "options", "message"),
    [
        ("", 5, {}, "the prefix is empty"),
        ("Tide 7", 5, {}, r"'Tide 7' has characters .* seen: 'T' '7'\. Expected"),
        ("tide", -1, {}, "num_chars is -1; expected"),
        ("tide", 0, {"temperature": -1.0}, "temperature is -1.0; expected 0"),
        ("tide", 0, {"temperature": math.nan}, "temperature is nan; expected 0"),
        ("tide", 0, {"temperature": math.inf}, "temperature is inf; expected 0"),
        ("tide", 0, {"top_k": 0}, "top_k is 0; expected 1 to 28, .* or None"),
        ("tide", 0, {"top_k": 29}, "top_k is 29; expected 1 to 28"),
    ],
    ids=str,
)
def test_what_cannot_be_written_is_refused(
    model, vocab, prefix, num_chars, options, message
):
    with pytest.raises(ValueError, match=message):
        generate(model, vocab, prefix, num_chars, **options)


NO_SCORES = pytest.mark.parametrize("score", [math.nan, -math.inf, math.inf])
NO_CHOICE = r"scores are NaN or infinite, or leave nothing .* training diverged\?"


@NO_SCORES
@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.7}, {"temperature": 1.0, "top_k": 3}], ids=str
)
def test_scores_that_are_no_numbers_are_no_text(make_model, vocab, score, options):
    model = make_model()
    nn.init.constant_(model.b_q, score)
    with pytest.raises(ValueError, match=NO_CHOICE):
        generate(model, vocab, "tide", 5, **options)


class Failing(LanguageModel):
    """A language model whose scores are NaN after so many calls."""

    def forward(self, ids, state=None):
        logits, state = super().forward(ids, state)
        self.calls += 1
        return (logits * math.nan if self.calls == self.fails_at else logits), state


@pytest.mark.parametrize("fails_at", [1, 3, 5, 6])
def test_one_step_without_scores_is_enough(vocab, fails_at):
    model = Failing(nn.GRU(len(vocab), 4), len(vocab))
    model.calls, model.fails_at = 0, fails_at
    if fails_at > 5:
        assert len(generate(model, vocab, "tide", 5)) == 9
        return
    with pytest.raises(ValueError, match=NO_CHOICE):
        generate(model, vocab, "tide", 5, temperature=1.0)
    assert model.calls == 5  # it is asked once, at the end


@pytest.mark.cuda
def test_a_model_on_cuda_writes_there(make_model, vocab):
    model = make_model().cuda()
    greedy = generate(model, vocab, "tide", 20)
    assert len(greedy) == 24
    drawn = generate(model, vocab, "tide", 20, temperature=1.0, seed=1)
    assert drawn == generate(model, vocab, "tide", 20, temperature=1.0, seed=1)


# ---- translate ----

START, END = VOCABS[1].encode("^$").tolist()
NUM_SOURCE_IDS = len(VOCABS[0])
SIGNS = {"start": START, "end": END}


def lively_translator(decoder, num_layers=1, seed=0, never=()):
    """Return a model in float64 that writes this and that, but no id of ``never``."""
    model = build_translator(decoder, num_layers=num_layers, seed=seed)
    for name, weights in model.named_parameters():
        if "rnn" not in name and weights.dim() > 1:
            nn.init.normal_(weights, std=2)  # so that it does not always write the same
    with torch.no_grad():
        model.decoder.linear.bias[END] = 1.0
        model.decoder.linear.bias[list(never)] = -1e9
    return model.double()


def draw_sources(lengths):
    shape = (max(lengths), len(lengths))
    return torch.randint(NUM_SOURCE_IDS, shape), torch.tensor(lengths)


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
    model = lively_translator(decoder, num_layers, seed)
    sources, lengths = draw_sources(lengths)
    ids, finished = translate(model, sources, lengths, **SIGNS, max_steps=max_steps)
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
    model = lively_translator(AttentionDecoder, seed=seed)
    sources, lengths = draw_sources([3, 5, 2, 4])
    ids, finished = translate(model, sources, lengths, **SIGNS, max_steps=8)
    places = (ids == END).int().argmax(0) + 1
    return (places * finished).tolist()


def test_the_models_of_these_tests_end_early_late_and_never():
    assert {end for seed in range(20) for end in ends_of(seed)} >= {0, 1, 2, 3, 4}


@decoders
def test_a_target_that_never_ends_stops_at_max_steps_and_is_not_finished(decoder):
    model = lively_translator(decoder, never=[END])
    ids, finished = translate(model, *draw_sources([3, 5, 2]), **SIGNS, max_steps=9)
    assert ids.shape == (9, 3)
    assert not (ids == END).any()
    assert finished.tolist() == [False] * 3


def test_fewer_than_one_step_is_no_target():
    with pytest.raises(ValueError, match="max_steps is 0; expected a whole number"):
        translate(build_translator(), *draw_sources([3]), **SIGNS, max_steps=0)


@NO_SCORES
@decoders
def test_scores_that_are_no_numbers_are_no_target(decoder, score):
    model = build_translator(decoder)
    nn.init.constant_(model.decoder.linear.bias, score)
    with pytest.raises(ValueError, match=NO_CHOICE):
        translate(model, *draw_sources([3, 5]), **SIGNS, max_steps=4)


def test_writing_targets_needs_no_gradients():
    model, seen = build_translator(AttentionDecoder), []
    model.decoder.register_forward_hook(lambda *given: seen.append(given[2][0]))
    translate(model, *draw_sources([3]), **SIGNS, max_steps=2)
    assert seen
    assert not any(logits.requires_grad for logits in seen)


@decoders
@pytest.mark.parametrize("training", [True, False])
def test_writing_targets_happens_in_eval_mode_and_leaves_the_model_in_its_own(
    decoder, training
):
    model, seen = build_translator(decoder).train(training), []
    model.decoder.register_forward_hook(lambda *_: seen.append(modes_of(model)))
    translate(model, *draw_sources([3, 5]), **SIGNS, max_steps=8)
    assert modes_of(model) == {training}
    assert seen == [{False}] * 8


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_after_an_error_the_model_is_in_its_mode_too(training, part):
    model = build_translator(AttentionDecoder).train(training)

    def fail(*_):
        raise RuntimeError("out of memory")

    getattr(model, part).register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        translate(model, *draw_sources([3, 5]), **SIGNS, max_steps=2)
    assert modes_of(model) == {training}


# ---- exact_match ----


class Scripted(nn.Module):
    """A model that writes given texts, one a row, whatever it reads; then ``-``s."""

    def __init__(self, texts):
        super().__init__()
        self.texts, self.vocab = texts, VOCABS[1]
        self.anchor = nn.Parameter(torch.zeros(()))  # a model has a device

    def read(self, sources, lengths):
        def step(ids, state):
            place = int(state[0, 0, 0])
            now = "".join(text[place : place + 1] or "-" for text in self.texts)
            logits = F.one_hot(self.vocab.encode(now), len(self.vocab)).float()
            return logits.unsqueeze(0), state + 1

        return step, torch.zeros(1, sources.shape[1], 1)


WRONG = "2031-05 2031-05- 2031-051$ 2031-0$ 2031-0$5$ $ 2031-06$ 9031-05$ ^2031-05$ 9"


@pytest.mark.parametrize("written", ["2031-05$", "2031-05$9$9", *WRONG.split()])
@pytest.mark.parametrize("other", ["", "2031-05-05/2031-05-06"], ids=["alone", "wide"])
def test_a_target_is_right_if_all_of_it_is_written_and_then_the_end(written, other):
    pairs, texts = [("5", "2031-05")], [written]
    if other:  # a longer target in the batch leaves more steps to write in
        pairs, texts = [*pairs, ("5", other)], [*texts, f"{other}$"]
    found = exact_match(Scripted(texts), pairs, *VOCABS)
    assert found.dtype == torch.bool
    right = written not in WRONG.split()  # what follows the end is not read
    assert found.tolist() == [right, True][: len(pairs)]


targets_and_texts = st.tuples(st.text("01", max_size=3), st.text("01$", max_size=4))


@given(st.lists(targets_and_texts, min_size=1, max_size=5))
def test_each_row_is_right_or_wrong_for_itself(rows):
    pairs = [("5", target) for target, _ in rows]
    model = Scripted([written for _, written in rows])
    expected = [written.startswith(f"{target}$") for target, written in rows]
    assert exact_match(model, pairs, *VOCABS).tolist() == expected


@decoders
def test_what_greedy_decoding_writes_is_right_and_anything_else_is_not(decoder):
    model = lively_translator(decoder, never=[0])  # <unk>, which no target has
    lines = ["".join(pair) for pair in itertools.product("May5203", repeat=2)]
    sources, lengths, _ = encode_pairs([(line, "") for line in lines], *VOCABS)
    ids, finished = translate(model, sources, lengths, **SIGNS, max_steps=8)
    written = [VOCABS[1].decode(row).partition("$")[0] for row in ids.T]
    assert 10 < finished.sum() < 49
    assert len({*written}) > 5
    targets = [t if e else "0" for t, e in zip(written, finished, strict=True)]
    pairs = list(zip(lines, targets, strict=True))
    assert torch.equal(exact_match(model, pairs, *VOCABS), finished)
    for change in (lambda t: t + "0", lambda t: "/" + t):
        others = [(line, change(target)) for line, target in pairs]
        assert not exact_match(model, others, *VOCABS)[finished].any()


# ---- beam_search ----


@pytest.mark.parametrize("count", [1, 3, 6, 99])
def test_texts_grow_by_the_likeliest_ids_whichever_text_they_continue(count):
    alive = [Hypothesis([i], math.log(p), False) for i, p in [(4, 0.6), (5, 0.4)]]
    shares = torch.tensor([[0.5, 0.35, 0.15], [0.1, 0.77, 0.13]], dtype=torch.float64)
    grown = grow(alive, shares.log() + 7, 1, count)  # 7 more for all changes nothing
    ranking = [[5, 1], [4, 0], [4, 1], [4, 2], [5, 2], [5, 0]]
    assert [text.ids for _, text in grown] == ranking[:count]
    for parent, (ids, log_prob, finished) in grown:
        assert parent == ids[0] - 4
        share = (0.6, 0.4)[parent] * shares[parent, ids[-1]]
        assert math.exp(log_prob) == pytest.approx(share.item())
        assert finished is (ids[-1] == 1)
    assert [text.ids for text in alive] == [[4], [5]]


class Table:
    """A model whose logits are rows of a table; which one, all ids before decide.

    The state is ``(1, beams, 1)``, a row's number, or a pair of it and its negative.
    The ids of ``never`` and a share of all others are ruled out, but not whole rows.
    """

    def __init__(self, num_ids, seed, *, pair=False, never=(), ruled_out=0.0):
        generator = seeded(seed)
        shape = (997, num_ids)  # so many rows that no two texts are equally likely
        self.rows = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
        out = torch.rand(shape, generator=generator) < ruled_out
        out[torch.arange(997), torch.arange(997) % num_ids] = False
        out[:, list(never)] = True
        self.rows[out] = -torch.inf
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

    def log_prob(self, ids):
        """Return the log-probability of a text that starts with id 0, by definition."""
        row, total = 0, 0.0
        for before, last in itertools.pairwise([0, *ids]):
            row = self.next_row(row, before)
            scores = self.rows[row].tolist()
            total += scores[last] - math.log(sum(map(math.exp, scores)))
        return total

    def search(self, **options):
        return beam_search(self.step, self.state, **{"start": 0, "end": 1, **options})


def beam_by_hand(table, end, beam_width, max_steps):
    """Keep the likeliest texts at each step, each scored anew from its start."""
    alive, ended = [[]], []
    for _ in range(max_steps):
        longer = [[*ids, last] for ids in alive for last in range(table.rows.shape[1])]
        longer = [ids for ids in longer if table.log_prob(ids) > -math.inf]
        longer.sort(key=table.log_prob, reverse=True)
        kept = longer[: beam_width - len(ended)]
        ended += [ids for ids in kept if ids[-1] == end]
        alive = [ids for ids in kept if ids[-1] != end]
    return ended, alive


@given(
    st.integers(2, 6),
    st.integers(1, 6),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.7, 1.0]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.3, 0.8]),
    seeds,
)
@settings(max_examples=200)
def test_beam_search_finds_what_keeping_the_likeliest_texts_finds(
    num_ids, beam_width, max_steps, length_penalty, with_end, pair, ruled_out, seed
):
    beam_width, end = min(beam_width, num_ids), 1 if with_end else None
    table = Table(num_ids, seed, pair=pair, ruled_out=ruled_out)
    options = {"end": end, "beam_width": beam_width, "max_steps": max_steps}
    found = table.search(**options, length_penalty=length_penalty)

    def score(ids):
        return table.log_prob(ids) / len(ids) ** length_penalty

    # The best first, among those that have ended or not.
    ended, alive = (
        sorted(texts, key=score, reverse=True)
        for texts in beam_by_hand(table, end, beam_width, max_steps)
    )
    assert [text.ids for text in found] == ended + alive
    assert [text.ids for text in found if text.finished] == ended
    for text in found:
        assert text.log_prob == pytest.approx(table.log_prob(text.ids))
        assert math.isfinite(text.log_prob)  # no text of probability 0
        assert text.score(length_penalty) == pytest.approx(score(text.ids))


def test_an_end_of_probability_0_ends_no_text():
    logits = torch.tensor([0.0, -1.0, -2.0, -torch.inf])

    def step(ids, state):
        return logits.expand(1, ids.shape[1], 4), state

    options = {"start": 0, "end": 3, "beam_width": 4, "max_steps": 2}
    found = beam_search(step, torch.zeros(1, 1, 1), **options)
    assert [text.ids for text in found][:3] == [[0, 0], [0, 1], [1, 0]]
    assert len(found) == 4
    for ids, log_prob, finished in found:
        expected = logits.log_softmax(0)[ids].sum().item()
        assert log_prob == pytest.approx(expected)
        assert math.isfinite(log_prob)
        assert not finished


@pytest.mark.parametrize("fails_at", [1, 2, 3])
@pytest.mark.parametrize("row", ["nan", "inf 0 0 0", "-inf -inf -inf -inf"])
def test_a_search_among_scores_that_are_no_numbers_is_refused(row, fails_at):
    table, calls = Table(4, 0), []
    bad = torch.tensor([float(score) for score in row.split()], dtype=torch.float64)

    def step(ids, state):
        calls.append(ids)
        logits, state = table.step(ids, state)
        if len(calls) == fails_at:
            logits[:, -1] = bad  # of one of the texts
        return logits, state

    with pytest.raises(ValueError, match=NO_CHOICE):
        beam_search(step, table.state, start=0, end=None, max_steps=4)
    assert len(calls) == fails_at


@given(st.integers(2, 6), seeds)
def test_a_beam_as_wide_as_the_vocabulary_finds_the_best_text_of_two_ids(num_ids, seed):
    table = Table(num_ids, seed)
    best = table.search(end=None, beam_width=num_ids, max_steps=2)[0]
    every = itertools.product(range(num_ids), repeat=2)
    assert best.ids == [*max(every, key=table.log_prob)]


@decoders
@given(st.integers(1, 5), st.integers(1, 2), seeds)
@settings(max_examples=15)
def test_of_width_1_it_writes_the_greedy_target(decoder, length, num_layers, seed):
    model = lively_translator(decoder, num_layers, seed)
    sources, lengths = draw_sources([length])
    options = {**SIGNS, "max_steps": 6}
    (found,) = beam_search(*model.read(sources, lengths), beam_width=1, **options)
    ids, finished = translate(model, sources, lengths, **options)
    assert found.finished is finished.item()
    assert found.ids == ids[: len(found.ids), 0].tolist()
    assert set(ids[len(found.ids) :, 0].tolist()) <= {END}


def log_prob_of(ids, logits):
    """Return the sum of the log-probabilities of ``ids``, one a row of ``logits``."""
    return logits.log_softmax(1).gather(1, torch.tensor(ids).unsqueeze(1)).sum().item()


@decoders
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_the_log_probability_of_a_target_is_the_models_own(decoder, num_layers, seed):
    model = lively_translator(decoder, num_layers, seed)
    sources, lengths = draw_sources([5])
    found = beam_search(*model.read(sources, lengths), **SIGNS, max_steps=6)
    assert len(found) == 4
    for ids, log_prob, _ in found:
        targets = torch.tensor([START, *ids[:-1]]).unsqueeze(1)
        logits = model(sources, lengths, targets)[:, 0]
        assert log_prob == pytest.approx(log_prob_of(ids, logits))


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
    options = {"start": int(prefix[-1]), "end": None, "beam_width": 5, "max_steps": 6}
    found = beam_search(model, state, **options)
    assert [len(text.ids) for text in found] == [6] * 5
    assert not any(text.finished for text in found)
    assert len({tuple(text.ids) for text in found}) == 5
    for ids, log_prob, _ in found:
        text = torch.cat([prefix, torch.tensor(ids[:-1]).unsqueeze(1)])
        assert log_prob == pytest.approx(log_prob_of(ids, model(text)[0][6:, 0]))


def short_or_long(ids, state):
    """Id 1 ends the text: at once with 0.3, or after ids 2 with 0.6, 0.6, 0.9 and 0.9.

    The long text has the better mean log-probability, the short one the better sum.
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
    options = {"start": 0, "end": 1, "beam_width": 3, "max_steps": 4}
    options["length_penalty"] = length_penalty
    found = beam_search(short_or_long, torch.zeros(1, 1, 1), **options)
    texts = {tuple(text.ids): text for text in found if text.finished}
    assert texts[1,].log_prob == pytest.approx(math.log(0.3))
    assert texts[2, 2, 2, 1].log_prob == pytest.approx(math.log(0.6 * 0.6 * 0.9 * 0.9))
    assert found[0].ids == expected


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_a_text_that_has_ended_comes_before_a_likelier_one_that_has_not(length_penalty):
    options = {"start": 0, "end": 1, "beam_width": 2, "max_steps": 1}
    options["length_penalty"] = length_penalty
    found = beam_search(short_or_long, torch.zeros(1, 1, 1), **options)
    assert [(text.ids, text.finished) for text in found] == [([1], True), ([2], False)]
    assert found[0].log_prob < found[1].log_prob


@pytest.mark.parametrize("end", [2, 99], ids=["never chosen", "not an id"])
@given(st.integers(1, 5), st.integers(1, 8), seeds)
@settings(max_examples=15)
def test_texts_that_never_end_stop_at_max_steps_and_say_so(
    end, beam_width, max_steps, seed
):
    table = Table(6, seed, never=[2])
    found = table.search(end=end, beam_width=beam_width, max_steps=max_steps)
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
        ({"beam_width": 6}, "beam_width is 6; expected 1 to 5, the vocabulary's size"),
        ({"max_steps": 0}, "max_steps is 0; expected a whole number of at least 1"),
    ],
    ids=str,
)
def test_a_search_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Table(5, 0).search(**settings)


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
    model = lively_translator(decoder)
    sources, lengths = draw_sources([3, 5, 2])
    options = {**SIGNS, "max_steps": 6}
    expected, ended = translate(model, sources, lengths, **options)
    best = beam_search(*model.read(sources[:, 1:2], lengths[1:2]), **options)
    model.cuda()
    ids, finished = translate(model, sources.cuda(), lengths, **options)
    assert ids.is_cuda
    assert torch.equal(ids.cpu(), expected)
    assert torch.equal(finished.cpu(), ended)
    found = beam_search(*model.read(sources[:, 1:2].cuda(), lengths[1:2]), **options)
    assert [text.ids for text in found] == [text.ids for text in best]
