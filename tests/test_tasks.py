import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.helpers import seeded, seeds
from utils.tasks import (
    COPY_VOCAB_SIZE,
    MarkovSource,
    adding_problem,
    adding_problem_baseline,
    blank_out,
    copy_memory,
    copy_memory_baseline,
    fresh_batches,
    sentences,
    word_starts,
)

# ---- Random sources ----

sources = st.builds(
    MarkovSource,
    num_symbols=st.integers(2, 5),
    order=st.integers(1, 3),
    concentration=st.floats(0.05, 10),
    seed=st.integers(0, 100),
)


def next_shares(source, share):
    """Return the shares of the contexts one symbol later, by the definition."""
    k, contexts = source.num_symbols, len(source.transitions)
    after = torch.zeros(contexts, dtype=torch.float64)
    for context in range(contexts):
        for symbol in range(k):
            target = (context * k + symbol) % contexts
            after[target] += share[context] * source.transitions[context, symbol]
    return after


@given(sources)
@settings(max_examples=15)
def test_the_rows_and_the_shares_of_the_contexts_are_distributions(source):
    rows = source.num_symbols**source.order
    assert source.transitions.shape == (rows, source.num_symbols)
    assert (source.transitions > 0).all()
    ones = torch.ones(rows, dtype=torch.float64)
    torch.testing.assert_close(source.transitions.sum(1), ones)
    share = source.stationary()
    assert share.sum().item() == pytest.approx(1)
    torch.testing.assert_close(next_shares(source, share), share, rtol=0, atol=1e-9)
    assert 0 < source.entropy_rate() <= math.log(source.num_symbols) + 1e-12


@given(st.floats(0.05, 10), st.integers(0, 100))
@example(0.05, 24)  # one symbol is left once in a million steps
def test_two_symbols_have_the_shares_of_the_closed_form(concentration, seed):
    source = MarkovSource(2, 1, concentration, seed)
    leave, come_back = source.transitions[0, 1], source.transitions[1, 0]
    expected = torch.stack([come_back, leave]) / (leave + come_back)
    torch.testing.assert_close(source.stationary(), expected, rtol=0, atol=1e-6)


def test_the_entropy_rate_of_a_known_chain_is_the_textbooks():
    source = MarkovSource(2, order=1)
    source.transitions = torch.tensor([[0.9, 0.1], [0.5, 0.5]], dtype=torch.float64)
    expected = torch.tensor([5 / 6, 1 / 6], dtype=torch.float64)
    torch.testing.assert_close(source.stationary(), expected)
    row = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert source.entropy_rate() == pytest.approx(5 / 6 * row + math.log(2) / 6)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_true_model_scores_the_entropy_rate_on_a_long_sample(order):
    source = MarkovSource(4, order, seed=1)
    sample = source.sample(30_000)
    # Row t: the symbols from place t on, as many as the order, the oldest first.
    windows = sample[:-1].unfold(0, order, 1)
    contexts = windows @ 4 ** torch.arange(order).flip(0)
    nll = -source.transitions[contexts, sample[order:]].log().mean().item()
    assert nll == pytest.approx(source.entropy_rate(), abs=0.02)


def test_a_sample_has_the_length_the_range_and_the_dtype_of_ids():
    sample = MarkovSource(3).sample(50)
    assert sample.shape == (50,)
    assert sample.dtype == torch.int64
    assert set(sample.tolist()) <= {0, 1, 2}


def test_seeds_repeat_the_source_and_the_sample():
    one, other = MarkovSource(seed=1), MarkovSource(seed=2)
    assert torch.equal(one.transitions, MarkovSource(seed=1).transitions)
    assert not torch.equal(one.transitions, other.transitions)
    assert torch.equal(one.sample(100, seed=3), one.sample(100, seed=3))
    assert not torch.equal(one.sample(100, seed=3), one.sample(100, seed=4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((1, 1), "num_symbols is 1; expected a whole number of at least 2"),
        ((4, 0), "order is 0; expected a whole number of at least 1"),
        ((9, 4), "order 4 make 6561 contexts; expected at most 4096"),
        ((8, 2, 0), "concentration is 0; expected a positive number"),
        ((8, 2, math.nan), "concentration is nan; expected"),
    ],
    ids=str,
)
def test_a_source_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MarkovSource(*settings)


def test_a_sample_of_no_symbols_is_refused():
    with pytest.raises(ValueError, match="length is 0; expected a whole number"):
        MarkovSource().sample(0)


# ---- The adding problem ----


@given(st.integers(1, 6), st.integers(2, 40), seeds)
def test_the_target_is_the_sum_of_two_marked_numbers_one_in_each_half(
    batch_size, num_steps, seed
):
    inputs, targets = adding_problem(batch_size, num_steps, seeded(seed))
    assert inputs.shape == (num_steps, batch_size, 2)
    assert targets.shape == (batch_size, 1)
    for sequence, target in zip(inputs.unbind(1), targets, strict=True):
        numbers, marks = sequence.t().tolist()
        assert sorted(marks) == [0.0] * (num_steps - 2) + [1.0] * 2
        first, second = (t for t, mark in enumerate(marks) if mark)
        assert first < num_steps // 2 <= second
        assert target.item() == pytest.approx(numbers[first] + numbers[second])
        assert 0 <= min(numbers) <= max(numbers) <= 1


@pytest.mark.parametrize("num_steps", [2, 3, 10])
def test_every_step_is_marked_in_some_sequence(num_steps):
    inputs, _ = adding_problem(500, num_steps, seeded(0))
    share = inputs[:, :, 1].mean(1)
    assert (share > 0).all()
    half = num_steps // 2
    expected = [1 / half] * half + [1 / (num_steps - half)] * (num_steps - half)
    assert share.tolist() == pytest.approx(expected, abs=0.07)


def test_always_answering_1_scores_the_baseline():
    _, targets = adding_problem(20_000, 10, seeded(0))
    assert targets.mean().item() == pytest.approx(1, abs=0.01)
    error = (targets - 1).square().mean().item()
    assert error == pytest.approx(adding_problem_baseline(), abs=0.005)


# ---- Copy memory ----


@given(st.integers(1, 6), st.integers(1, 40), seeds)
def test_ten_symbols_are_asked_for_after_the_delay(batch_size, delay, seed):
    inputs, targets = copy_memory(batch_size, delay, seeded(seed))
    assert inputs.dtype == targets.dtype == torch.int64
    assert inputs.shape == targets.shape == (delay + 20, batch_size)
    for seen, wanted in zip(inputs.t().tolist(), targets.t().tolist(), strict=True):
        symbols = seen[:10]
        assert set(symbols) <= {1, 2, 3, 4, 5, 6, 7, 8}
        assert seen[10:] == [0] * (delay - 1) + [9] + [0] * 10
        assert wanted == [0] * (delay + 10) + symbols


def test_every_symbol_is_drawn_at_every_place_and_fits_the_vocabulary():
    inputs, _ = copy_memory(500, 1, seeded(0))
    assert all(set(row.tolist()) == set(range(1, 9)) for row in inputs[:10])
    assert inputs.max() == COPY_VOCAB_SIZE - 1


@given(st.integers(1, 300))
def test_knowing_the_blanks_and_guessing_the_symbols_scores_the_baseline(delay):
    _, targets = copy_memory(4, delay, seeded(delay))
    guess = torch.zeros(delay + 20, 10, dtype=torch.float64)
    guess[: delay + 10, 0] = 1  # nothing but blanks until the signal has come
    guess[delay + 10 :, 1:9] = 1 / 8
    nll = -guess.log().unsqueeze(1).expand(-1, 4, -1).gather(2, targets.unsqueeze(2))
    assert nll.mean().item() == pytest.approx(copy_memory_baseline(delay))
    assert copy_memory_baseline(delay) == pytest.approx(10 * math.log(8) / (delay + 20))


def test_no_guess_without_memory_beats_the_baseline():
    _, targets = copy_memory(20_000, 5, seeded(0))
    best = F.one_hot(targets, 10).double().mean(1)  # the shares at each step
    entropy = -torch.special.xlogy(best, best).sum(1).mean().item()
    assert entropy == pytest.approx(copy_memory_baseline(5), rel=0.001)


# ---- Both tasks ----

tasks = pytest.mark.parametrize("task", [adding_problem, copy_memory])


def same(one, other):
    return all(map(torch.equal, one, other))


@tasks
def test_the_generator_or_without_one_the_global_seed_decides(task):
    generator = seeded(3)
    first, second = task(4, 20, generator), task(4, 20, generator)
    assert same(first, task(4, 20, seeded(3)))
    assert not same(first, second)
    torch.manual_seed(3)
    assert same(first, task(4, 20))
    assert same(second, task(4, 20))


@pytest.mark.parametrize("use", [lambda task, *sizes: task(*sizes), fresh_batches])
@pytest.mark.parametrize(
    ("task", "sizes", "message"),
    [
        (adding_problem, (0, 10), "batch_size is 0; expected a whole number"),
        (adding_problem, (4, 1), "num_steps is 1; .* whole number of at least 2"),
        (copy_memory, (0, 10), "batch_size is 0; expected a whole number"),
        (copy_memory, (4, 0), "delay is 0; .* whole number of at least 1"),
    ],
    ids=["no sum", "no second half", "no copy", "no delay"],
)
def test_a_bad_size_is_refused_also_before_any_batch_is_asked_for(
    use, task, sizes, message
):
    with pytest.raises(ValueError, match=message):
        use(task, *sizes)


def test_there_is_no_baseline_for_no_delay():
    with pytest.raises(ValueError, match="delay is 0; expected"):
        copy_memory_baseline(0)


@tasks
def test_an_epoch_has_100_batches_and_each_is_another_one(task):
    batches = [*fresh_batches(task, 2, 10)(0)]
    assert len(batches) == 100
    assert len({inputs.numpy().tobytes() for inputs, _ in batches}) == 100
    shapes = [tensor.shape for tensor in task(2, 10)]
    assert all([tensor.shape for tensor in batch] == shapes for batch in batches)


@tasks
def test_an_epoch_repeats_and_another_epoch_or_seed_differs(task):
    def first_two(epoch, seed=0):
        epoch = fresh_batches(task, 2, 10, seed=seed)(epoch)
        return [*next(epoch), *next(epoch)]

    assert same(first_two(3), first_two(3))
    assert not same(first_two(3), first_two(4))
    assert not same(first_two(3), first_two(3, seed=1))
    assert same(first_two(3, seed=1), first_two(3, seed=1))


@tasks
def test_batches_do_not_depend_on_what_else_is_drawn(task):
    batches = fresh_batches(task, 2, 10)
    expected = [tensor for batch in batches(0) for tensor in batch]
    drawn = []
    for batch in batches(0):
        drawn += batch
        torch.rand(7)
        next(batches(1))
    assert same(drawn, expected)


@tasks
def test_batches_draw_nothing_from_the_global_generator(task):
    before = torch.get_rng_state()
    next(fresh_batches(task, 2, 10)(0))
    assert torch.equal(torch.get_rng_state(), before)


@tasks
def test_batches_come_on_the_device_that_was_asked_for(task):
    batch = next(fresh_batches(task, 2, 10, device="meta")(0))
    assert {tensor.device.type for tensor in batch} == {"meta"}


# ---- Blanks ----

shares = st.floats(0.05, 0.95)


@given(st.integers(1, 20), st.integers(1, 5), shares, seeds)
def test_a_blank_is_exactly_where_the_mask_is_and_nothing_else_changes(
    num_steps, batch, share, seed
):
    ids = torch.randint(1, 9, (num_steps, batch), generator=seeded(seed))
    before = ids.clone()
    blanked, mask = blank_out(ids, share, seeded(seed))
    assert torch.equal(ids, before)
    assert mask.dtype == torch.bool
    assert blanked.dtype == torch.int64
    assert torch.equal(blanked == 0, mask)
    assert torch.equal(blanked[~mask], ids[~mask])


@pytest.mark.parametrize(("given", "share"), [((), 0.15), ((0.5,), 0.5), ((0.9,), 0.9)])
def test_so_many_places_are_blanks(given, share):
    ids = torch.ones(400, 50, dtype=torch.int64)
    _, mask = blank_out(ids, *given, generator=seeded(0))
    assert mask.float().mean().item() == pytest.approx(share, abs=0.015)
    assert mask.float().mean(0).min() > share - 0.12  # in every row
    assert mask.float().mean(1).max() < share + 0.35  # and not whole steps


@given(shares, seeds)
def test_the_generator_repeats_the_blanks_and_goes_on_to_others(share, seed):
    generator, ids = seeded(seed), torch.ones(50, 8, dtype=torch.int64)
    first, second = blank_out(ids, share, generator), blank_out(ids, share, generator)
    assert same(first, blank_out(ids, share, seeded(seed)))
    assert not torch.equal(first[1], second[1])


def test_on_another_device_the_blanks_are_there_and_are_the_same():
    generator, ids = seeded(3), torch.ones(50, 8, dtype=torch.int64)
    blanked, mask = blank_out(ids.to("meta"), 0.5, generator)
    assert blanked.device.type == mask.device.type == "meta"
    expected = seeded(3)  # as much was drawn as for the CPU
    blank_out(ids, 0.5, expected)
    assert torch.equal(generator.get_state(), expected.get_state())


def test_nothing_but_blanks_is_refused():
    with pytest.raises(ValueError, match="share is 1; expected a share between 0 and"):
        blank_out(torch.ones(5, 2, dtype=torch.int64), share=1)


# ---- Words without spaces ----


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("over two\nlines. Next.\nOne", ["over two\nlines.", "Next.", "One"]),
        ("Chapter 1\n\nIt began.", ["Chapter 1", "It began."]),
        ("a\n \n\n b", ["a", "b"]),
        ("3.5 meters... or so. No", ["3.5 meters...", "or so.", "No"]),
        ('"Well." he said.', ['"Well." he said.']),
        ("  spaced.  ", ["spaced."]),
        ("", []),
        (" \n\n ", []),
    ],
)
def test_a_sentence_ends_at_its_mark_or_an_empty_line(text, expected):
    assert sentences(text) == expected


@given(st.text("ab.!? \n", max_size=40))
def test_sentences_together_are_the_text_and_none_is_empty(text):
    pieces = sentences(text)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(piece == piece.strip() != "" for piece in pieces)


def rebuild(letters, labels):
    """Return the words, with one space before each label 1 but the first."""
    pairs = zip(letters, labels, strict=True)
    return "".join(" " * label + letter for letter, label in pairs)[1:]


@pytest.mark.parametrize(
    ("sentence", "letters", "labels"),
    [
        ("the tide", "thetide", [1, 0, 0, 1, 0, 0, 0]),
        ("a", "a", [1]),
        ("  a\nbc  d ", "abcd", [1, 1, 0, 1]),
    ],
)
def test_a_label_is_1_where_a_word_begins(sentence, letters, labels):
    assert word_starts(sentence) == (letters, labels)


@given(st.text(max_size=30).filter(str.split))
def test_letters_and_labels_give_the_sentence_back(sentence):
    letters, labels = word_starts(sentence)
    assert len(labels) == len(letters) > 0
    assert labels[0] == 1
    assert {*labels} <= {0, 1}
    assert rebuild(letters, labels) == " ".join(sentence.split())


def test_a_sentence_without_words_is_refused():
    with pytest.raises(ValueError, match=r"sentence is ' \\n'; expected at least one"):
        word_starts(" \n")
