import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from utils.tasks import MarkovSource

sources = st.builds(
    MarkovSource,
    num_symbols=st.integers(2, 5),
    order=st.integers(1, 3),
    concentration=st.floats(0.05, 10),
    seed=st.integers(0, 100),
)


def next_shares(source, share):
    """Return the shares of the contexts one symbol later, by the definition: one context at a time."""
    k, contexts = source.num_symbols, len(source.transitions)
    after = torch.zeros(contexts, dtype=torch.float64)
    for context in range(contexts):
        for symbol in range(k):
            target = (context * k + symbol) % contexts
            after[target] += share[context] * source.transitions[context, symbol]
    return after


@given(sources)
def test_the_rows_are_distributions(source):
    rows = source.num_symbols**source.order
    assert source.transitions.shape == (rows, source.num_symbols)
    assert (source.transitions > 0).all()
    torch.testing.assert_close(
        source.transitions.sum(1), torch.ones(rows, dtype=torch.float64)
    )


@given(sources)
@settings(max_examples=15)
def test_the_stationary_distribution_is_a_fixed_point(source):
    share = source.stationary()
    assert share.sum().item() == pytest.approx(1)
    torch.testing.assert_close(next_shares(source, share), share, rtol=0, atol=1e-9)


@given(st.floats(0.05, 10), st.integers(0, 100))
@example(0.05, 24)  # one symbol is left once in a million steps
def test_two_symbols_have_the_shares_of_the_closed_form(concentration, seed):
    source = MarkovSource(2, 1, concentration, seed)
    leave, come_back = source.transitions[0, 1], source.transitions[1, 0]
    expected = torch.stack([come_back, leave]) / (leave + come_back)
    torch.testing.assert_close(source.stationary(), expected, rtol=0, atol=1e-6)


@given(sources)
@settings(max_examples=15)
def test_the_entropy_rate_lies_between_0_and_log_k(source):
    assert 0 < source.entropy_rate() <= math.log(source.num_symbols) + 1e-12


def test_the_entropy_rate_of_a_known_chain_is_the_textbooks():
    source = MarkovSource(2, order=1)
    source.transitions = torch.tensor([[0.9, 0.1], [0.5, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(
        source.stationary(), torch.tensor([5 / 6, 1 / 6], dtype=torch.float64)
    )
    row = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert source.entropy_rate() == pytest.approx(5 / 6 * row + math.log(2) / 6)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_true_model_scores_the_entropy_rate_on_a_long_sample(order):
    source = MarkovSource(4, order, seed=1)
    sample = source.sample(30_000)
    contexts = sum(
        sample[place : len(sample) - order + place] * 4 ** (order - 1 - place)
        for place in range(order)
    )
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


@pytest.mark.parametrize(("num_symbols", "order"), [(1, 1), (4, 0)])
def test_too_few_symbols_or_too_low_an_order_are_refused(num_symbols, order):
    with pytest.raises(
        ValueError, match=f"num_symbols is {num_symbols} and order is {order}; expected"
    ):
        MarkovSource(num_symbols, order)


@pytest.mark.parametrize("concentration", [0, -1, float("nan")])
def test_a_concentration_that_is_not_positive_is_refused(concentration):
    with pytest.raises(ValueError, match=f"concentration is {concentration}; expected"):
        MarkovSource(concentration=concentration)


def test_a_sample_of_no_symbols_is_refused():
    with pytest.raises(ValueError, match="length is 0; expected a whole number"):
        MarkovSource().sample(0)
