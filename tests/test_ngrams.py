import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.ngrams import NGramModel, ngram_perplexity
from utils.text import prepare, require_text

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
    shares = [model.probability(text[t], text[:t]) for t in range(1, len(text))]
    nll = [-math.log(share) for share in shares]
    assert ngram_perplexity(model, ids) == pytest.approx(math.exp(sum(nll) / len(nll)))


def test_without_counts_every_character_is_equally_likely():
    model = NGramModel(3, 8)
    assert model.probability(2, [1, 1, 1]) == 1 / 8
    assert ngram_perplexity(model, torch.tensor([1, 2, 3])) == pytest.approx(8)


def test_a_unigram_is_smoothed_as_witten_and_bell_say():
    model = NGramModel(1, 4).fit(torch.tensor([1, 1, 2]))  # 3 characters, 2 kinds
    assert model.probability(1, []) == pytest.approx((2 + 2 / 4) / (3 + 2))
    assert model.probability(3, []) == pytest.approx((0 + 2 / 4) / (3 + 2))


def test_a_shorter_n_gram_is_part_of_a_longer_one(ids, vocab, monkeypatch):
    long, short = (NGramModel(order, len(vocab)).fit(ids) for order in (4, 2))
    monkeypatch.setattr(long, "order", 2)
    assert ngram_perplexity(long, ids) == ngram_perplexity(short, ids)


@pytest.mark.parametrize(
    "read",
    [require_text, NGramModel(2, 5).fit, partial(ngram_perplexity, NGramModel(2, 5))],
    ids=["require_text", "fit", "ngram_perplexity"],
)
def test_what_is_not_one_text_of_ids_is_refused(read):
    with pytest.raises(TypeError, match=r"dtype torch\.int32; expected torch\.int64"):
        read(torch.zeros(9, dtype=torch.int32))
    for shape in [(1,), (9, 1)]:
        with pytest.raises(ValueError, match=r"expected \(n,\) with n of at least 2"):
            read(torch.zeros(shape, dtype=torch.int64))


def test_an_order_below_1_is_refused():
    with pytest.raises(ValueError, match=r"order is 0; expected 1 \(unigram\)"):
        NGramModel(0, 5)


@pytest.fixture(scope="module")
def seven_gram():
    """The seven-gram model of the English text, and the part that is held out."""
    vocab, train_ids, valid_ids = prepare("the_tide_clock")
    return NGramModel(7, len(vocab)).fit(train_ids), valid_ids


@pytest.mark.parametrize(
    ("order", "expected"),
    [(1, 16.08), (2, 9.03), (3, 5.72), (4, 4.27), (5, 3.82), (6, 3.81), (7, 4.00)],
)
def test_n_grams_on_the_tide_clock_score_what_the_book_says(
    seven_gram, monkeypatch, order, expected
):
    model, valid_ids = seven_gram
    monkeypatch.setattr(model, "order", order)  # it holds the shorter ones too
    assert ngram_perplexity(model, valid_ids) == pytest.approx(expected, abs=0.015)
