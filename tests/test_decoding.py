import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from utils.decoding import choose, generate

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
