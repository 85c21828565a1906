import datetime
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from utils import recipes
from utils.cells import GRUScratch
from utils.dates import END, START, TARGET_ALPHABET, date_pairs
from utils.decoding import translate
from utils.models import (
    AttentionDecoder,
    Bidirectional,
    Decoder,
    Encoder,
    LastStep,
    Seq2Seq,
    Tagger,
)
from utils.recipes import (
    encode_pairs,
    exact_match,
    labeling_loss,
    squared_error,
    train_on_dates,
    train_on_text,
    train_to_add,
    translation_loss,
)
from utils.tasks import adding_problem, adding_problem_baseline
from utils.text import Vocab
from utils.training import evaluate

# ---- The adding problem ----


@pytest.fixture
def add():
    """A function that trains a small layer to add, the same one each time."""

    def add(updates=3, layer=nn.GRU, num_hiddens=3, **settings):
        torch.manual_seed(0)
        return train_to_add(
            layer(2, num_hiddens), updates, **{"num_steps": 4, **settings}
        )

    return add


@pytest.mark.parametrize(
    ("updates", "steps"), [(3, [3]), (100, [50, 100]), (120, [50, 100, 120])]
)
def test_adding_is_validated_every_50_updates_and_at_the_end(add, updates, steps):
    history = add(updates)
    assert len(history.losses) == updates
    assert history.valid_steps == steps
    assert len(history.valid_scores) == len(steps)


def test_every_layer_learns_to_add_two_numbers(add, any_layer):
    history = add(150, any_layer, num_hiddens=8, num_steps=2, lr=0.03)
    assert history.valid_scores[-1] < adding_problem_baseline() / 5


def test_seeds_repeat_the_run(add):
    assert add() == add()
    assert add(seed=1) == add(seed=1)
    assert add().losses != add(seed=1).losses


def test_all_seeds_are_scored_on_the_same_sequences(add):
    one, other = (add(51, seed=seed, lr=0.0) for seed in (0, 1))  # nothing is learned
    assert one.losses != other.losses
    assert len({*one.valid_scores, *other.valid_scores}) == 1


def test_the_scores_are_mean_squared_errors_of_the_model(add):
    score = add(1, lr=0.0).valid_scores[0]
    torch.manual_seed(0)
    model = LastStep(nn.GRU(2, 3))
    inputs, targets = adding_problem(20_000, 4, torch.Generator().manual_seed(1))
    expected = (model(inputs) - targets).square().mean().item()
    assert score == pytest.approx(expected, rel=0.1)


def test_the_layer_itself_is_trained():
    layer = nn.GRU(2, 3)
    before = [parameter.clone() for parameter in layer.parameters()]
    train_to_add(layer, 1, num_steps=4)
    assert not any(map(torch.equal, before, layer.parameters()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 1}, "num_steps is 1; expected a whole number of at least 2"),
        ({"num_steps": 4.0}, r"num_steps is 4\.0; expected"),
        ({"updates": 0}, "updates is 0; expected a whole number of at least 1"),
    ],
    ids=str,
)
def test_a_bad_number_is_refused_before_training(add, monkeypatch, settings, message):
    def too_late(*_):
        pytest.fail("an update was begun")

    monkeypatch.setattr(recipes, "squared_error", too_late)
    with pytest.raises(ValueError, match=message):
        add(**settings)


def test_only_a_recurrent_layer_can_be_trained_to_add():
    with pytest.raises(TypeError, match="got a Linear; expected a recurrent layer"):
        train_to_add(nn.Linear(2, 3), 1)


def test_a_layer_that_does_not_read_a_number_and_a_mark_is_refused(any_layer):
    layer = any_layer(3, 4)
    with pytest.raises(
        ValueError,
        match=f"^the model got a {type(layer).__name__} with 3 inputs; expected 2 ",
    ):
        train_to_add(layer, 1)


def test_the_squared_error_is_a_mean_and_carries_no_state():
    inputs, targets = torch.zeros(2, 1), torch.tensor([[1.0], [3.0]])
    loss, state = squared_error(nn.Identity(), (inputs, targets), "any state")
    assert loss.shape == ()
    assert loss.item() == (1**2 + 3**2) / 2
    assert state is None


# ---- Language models ----


@pytest.fixture(scope="session")
def texts(tide_clock, vocab):
    """The ids of a text of 4 batches of 32 rows and 8 steps, and of a text held out."""
    return vocab.encode(tide_clock[:1040]), vocab.encode(tide_clock[1040:1100])


@pytest.fixture
def read(texts):
    """A function that trains a model on windows of 8 characters."""

    def read(model, **settings):
        settings = {"updates": 10, "num_steps": 8, "validate_every": 4, **settings}
        return train_on_text(model, *texts, **settings)

    return read


def test_a_run_on_a_text_has_a_loss_an_update_and_scores_now_and_then(make_model, read):
    history = read(make_model())
    assert len(history.losses) == 10
    assert history.valid_steps == [4, 8, 10]
    assert read(make_model(), updates=3, validate_every=2).valid_steps == [2, 3]


def test_a_run_on_a_text_is_the_same_twice(make_model, read, same_parameters):
    one, other = make_model(), make_model()
    assert read(one) == read(other)
    assert same_parameters(one, other)


def test_every_layer_learns_from_a_text(make_model, any_layer, read, texts):
    model = make_model(any_layer)
    before = evaluate(model, texts[1])
    history = read(model, updates=30, lr=0.03)
    assert history.valid_scores[-1] == evaluate(model, texts[1]) < 0.8 * before
    assert math.exp(history.losses[0]) == pytest.approx(before, rel=0.1)


def test_an_epoch_is_read_in_order_and_the_next_one_begins_7_characters_later(
    make_model, read, texts
):
    model, calls = make_model(), []
    model.register_forward_hook(lambda model, args, _: calls.append(args))
    read(model, updates=9, validate_every=9)
    training, ids = calls[:9], texts[0]
    assert all(inputs.shape == (8, 32) for inputs, _ in training)
    fresh = [state is None for _, state in training]
    assert fresh == [True, False, False, False] * 2 + [True]
    starts = [0, 8, 16, 24, 7, 15, 23, 31, 6]  # 7 and 14 modulo the 8 steps
    for start, (inputs, _) in zip(starts, training, strict=True):
        assert torch.equal(inputs[:, 0], ids[start : start + 8])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (8e-3, 10, 0.01, 0.3)),
        (
            {"lr": 0.5, "updates": 7, "weight_decay": 0.2, "warm_up": 0.4},
            (0.5, 7, 0.2, 0.4),
        ),
    ],
)
def test_rate_updates_weight_decay_and_warm_up_reach_the_optimizer(
    make_model, read, monkeypatch, given, expected
):
    recipe, seen = recipes.adamw_one_cycle, []

    def spy(model, *numbers):
        seen.append(numbers)
        return recipe(model, *numbers)

    monkeypatch.setattr(recipes, "adamw_one_cycle", spy)
    read(make_model(), **given)
    assert seen == [expected]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"updates": 1}, "updates is 1 and weight_decay"),
        ({"warm_up": 1}, "^warm_up is 1; expected a share of the updates between"),
        ({"weight_decay": -1}, "weight_decay is -1; expected"),
        ({"validate_every": 0}, "validate_every is 0; expected"),
        ({"num_steps": 0}, "^num_steps is 0; expected a whole number of at least 1"),
        ({"num_steps": -1}, "num_steps is -1; expected a whole number"),
        ({"num_steps": 8.0}, r"num_steps is 8\.0; expected a whole number"),
        ({"num_steps": 64}, "batch_size is 32, but a text of 1040 .* 16 windows"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused(make_model, read, settings, message):
    with pytest.raises(ValueError, match=message):
        read(make_model(), **settings)


# ---- Labels ----

NUM_IDS, NUM_LABELS = 6, 3
lists_of_lengths = st.lists(st.integers(1, 5), min_size=1, max_size=4)
seeds = st.integers(0, 1000)


def draw_labels(lengths, seed):
    """Return ids, labels and a mask that is True somewhere, and nowhere after a row's length."""
    torch.manual_seed(seed)
    shape = max(lengths), len(lengths)
    ids, labels = torch.randint(NUM_IDS, shape), torch.randint(NUM_LABELS, shape)
    mask = torch.rand(shape) < 0.5
    mask[0, 0] = True
    for row, length in enumerate(lengths):
        mask[length:, row] = False
    return ids, labels, mask


def nll_by_hand(scores, right):
    """Return the negative log of the share that the softmax of ``scores`` gives to one of them."""
    shares = [math.exp(score) for score in scores.tolist()]
    return -math.log(shares[right] / sum(shares))


@pytest.mark.parametrize("with_lengths", [False, True], ids=["to the end", "lengths"])
@given(lists_of_lengths, seeds)
@settings(max_examples=20)
def test_the_loss_of_labels_is_the_mean_over_the_masked_places(
    with_lengths, lengths, seed
):
    ids, labels, mask = draw_labels(lengths, seed)
    layer = Bidirectional(GRUScratch(NUM_IDS, 4), GRUScratch(NUM_IDS, 4))
    model = Tagger(layer, NUM_IDS, NUM_LABELS).double()
    given_lengths = torch.tensor(lengths) if with_lengths else None
    losses = []
    for row, length in enumerate(lengths):
        alone = ids[: length if with_lengths else None, row : row + 1]
        for step, scores in enumerate(model(alone)[:, 0]):
            if mask[step, row]:
                losses.append(nll_by_hand(scores, labels[step, row]))
    loss, state = labeling_loss(model, (ids, labels, mask, given_lengths), "a state")
    assert loss.shape == ()
    assert loss.item() == pytest.approx(math.fsum(losses) / len(losses))
    assert state is None


@given(lists_of_lengths, seeds)
@settings(max_examples=20)
def test_a_label_counts_where_the_mask_is_true_and_nowhere_else(lengths, seed):
    ids, labels, mask = draw_labels(lengths, seed)
    logits = torch.randn(*ids.shape, NUM_LABELS, requires_grad=True)

    def loss_of(labels):
        return labeling_loss(lambda *_: logits, (ids, labels, mask, None), None)[0]

    loss = loss_of(labels)
    assert loss_of(torch.where(mask, labels, (labels + 1) % NUM_LABELS)) == loss
    assert loss_of(torch.where(mask, (labels + 1) % NUM_LABELS, labels)) != loss
    loss.backward()
    assert torch.equal((logits.grad != 0).any(dim=2), mask)


def test_the_ids_in_the_padding_do_not_change_the_loss_of_labels():
    ids, labels, mask = draw_labels([3, 5, 1], seed=0)
    model = Tagger(nn.LSTM(NUM_IDS, 4, bidirectional=True), NUM_IDS, NUM_LABELS)
    changed = ids.clone()
    changed[3:, 0], changed[1:, 2] = 5, 5
    batches = [(i, labels, mask, torch.tensor([3, 5, 1])) for i in (ids, changed)]
    assert not torch.equal(ids, changed)
    one, other = (labeling_loss(model, batch, None)[0] for batch in batches)
    assert one == other


# ---- Pairs of a source and a target ----

PAIRS = [("May 5, 2031", "2031-05-05"), ("5 May", "05-05"), ("31", "2031/2")]
VOCABS = Vocab("".join(source for source, _ in PAIRS)), Vocab(TARGET_ALPHABET)


def test_pairs_become_padded_ids_the_targets_between_two_signs():
    sources, lengths, targets = encode_pairs(PAIRS, *VOCABS)
    assert sources.shape == (11, 3)
    assert targets.shape == (12, 3)
    assert lengths.tolist() == [11, 5, 2]
    assert all(ids.dtype == torch.int64 for ids in (sources, lengths, targets))
    assert START, END == ("^", "$")
    for row, (source, target) in enumerate(PAIRS):
        for ids, text, vocab in [
            (sources, source, VOCABS[0]),
            (targets, f"^{target}$", VOCABS[1]),
        ]:
            assert vocab.decode(ids[: len(text), row]) == text
            assert not ids[len(text) :, row].any()
    assert (sources > 0).sum(0).tolist() == [11, 5, 2]  # 0 is padding, and nothing else


def test_characters_that_the_vocabulary_does_not_have_become_id_0():
    sources, lengths, _ = encode_pairs([("5 Mai", ""), ("五月", "")], *VOCABS)
    assert (sources == 0).tolist() == [
        [False, True],
        [False, True],
        [False, True],
        [False, True],
        [True, True],
    ]
    assert lengths.tolist() == [5, 2]  # what is unknown is read, what is padding not


def test_an_empty_target_is_its_two_signs():
    _, _, targets = encode_pairs([("May", "")], *VOCABS)
    assert VOCABS[1].decode(targets[:, 0]) == "^$"


def test_pairs_go_to_the_device_that_is_asked_for_and_their_lengths_do_not():
    sources, lengths, targets = encode_pairs(PAIRS, *VOCABS, "meta")
    assert (sources.device.type, targets.device.type) == ("meta", "meta")
    assert lengths.device.type == "cpu"
    assert {ids.device.type for ids in encode_pairs(PAIRS, *VOCABS)} == {"cpu"}


# ---- The loss of a translation ----

decoders = pytest.mark.parametrize("decoder", [Decoder, AttentionDecoder])


def build_translator(decoder=Decoder, num_hiddens=8):
    """Return the same small model for ``VOCABS`` each time."""
    torch.manual_seed(0)
    encoder = Encoder(len(VOCABS[0]), 4, num_hiddens)
    return Seq2Seq(encoder, decoder(len(VOCABS[1]), 4, num_hiddens))


def nlls_of(model, source, target):
    """Return the losses of one target's characters and its end, each from a reading of its own."""
    source, ids = VOCABS[0].encode(source), VOCABS[1].encode(f"^{target}$")
    losses = []
    for step in range(1, len(ids)):
        before = ids[:step].unsqueeze(1)
        logits = model(source.unsqueeze(1), torch.tensor([len(source)]), before)
        losses.append(nll_by_hand(logits[-1, 0], ids[step]))
    return losses


@decoders
@pytest.mark.parametrize("pairs", [PAIRS, PAIRS[1:], PAIRS[:1], [("5", "")]], ids=len)
def test_the_loss_of_a_translation_is_the_mean_over_all_characters_and_ends(
    decoder, pairs
):
    model = build_translator(decoder).double()
    losses = [loss for pair in pairs for loss in nlls_of(model, *pair)]
    assert len(losses) == sum(len(target) + 1 for _, target in pairs)
    loss, state = translation_loss(model, encode_pairs(pairs, *VOCABS), "a state")
    assert loss.shape == ()
    assert loss.item() == pytest.approx(math.fsum(losses) / len(losses))
    assert state is None


@decoders
def test_the_padding_does_not_count_however_much_there_is(decoder):
    model = build_translator(decoder).double()
    sources, lengths, targets = encode_pairs(PAIRS, *VOCABS)
    wider = F.pad(sources, (0, 0, 0, 3)), lengths, F.pad(targets, (0, 0, 0, 4))
    loss, _ = translation_loss(model, (sources, lengths, targets), None)
    torch.testing.assert_close(translation_loss(model, wider, None)[0], loss)


def test_only_logits_before_a_character_or_an_end_have_a_gradient():
    _, lengths, targets = batch = encode_pairs(PAIRS, *VOCABS)
    logits = torch.randn(len(targets) - 1, 3, len(VOCABS[1]), requires_grad=True)
    seen = []

    def model(*inputs):
        seen.extend(inputs)
        return logits

    translation_loss(model, batch, None)[0].backward()
    assert torch.equal((logits.grad != 0).any(dim=2), targets[1:] != 0)
    assert all(map(torch.equal, seen, (batch[0], lengths, targets[:-1])))


# ---- Exact matches ----


class Scripted(nn.Module):
    """A model that writes given texts, one a row, whatever it reads; then ``-`` without end."""

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


@pytest.mark.parametrize(
    ("target", "written", "right"),
    [
        ("2031-05", "2031-05$", True),
        ("2031-05", "2031-05$9$9", True),  # what follows the end is not read
        ("2031-05", "2031-05", False),
        ("2031-05", "2031-05-", False),
        ("2031-05", "2031-051$", False),
        ("2031-05", "2031-0$", False),
        ("2031-05", "2031-0$5$", False),
        ("2031-05", "$", False),
        ("2031-05", "2031-06$", False),
        ("2031-05", "9031-05$", False),
        ("2031-05", "^2031-05$", False),
        ("2031-05", "999999999", False),
        ("", "$", True),
        ("", "0$", False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("other", ["", "2031-05-05/2031-05-06"], ids=["alone", "wide"])
def test_a_target_is_right_if_all_of_it_is_written_and_then_the_end(
    target, written, right, other
):
    pairs, texts = [("5", target)], [written]
    if other:  # a longer target in the batch leaves more steps to write in
        pairs, texts = [*pairs, ("5", other)], [*texts, f"{other}$"]
    found = exact_match(Scripted(texts), pairs, *VOCABS)
    assert found.dtype == torch.bool
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
    model = build_translator(decoder)
    for name, weights in model.named_parameters():
        if "rnn" not in name and weights.dim() > 1:
            nn.init.normal_(weights, std=2)  # so that it does not always write the same
    start, end = VOCABS[1].encode("^$").tolist()
    with torch.no_grad():
        model.decoder.linear.bias[0] = -1e9  # <unk>, which no target has
        model.decoder.linear.bias[end] = 1.0
    lines = ["".join(pair) for pair in itertools.product("May5203", repeat=2)]
    sources, lengths, _ = encode_pairs([(line, "") for line in lines], *VOCABS)
    ids, finished = translate(
        model, sources, lengths, start=start, end=end, max_steps=8
    )
    written = [VOCABS[1].decode(row).partition("$")[0] for row in ids.T]
    assert 20 < finished.sum() < 49
    assert len({*written}) > 5
    targets = [t if e else "0" for t, e in zip(written, finished, strict=True)]
    pairs = list(zip(lines, targets, strict=True))
    assert torch.equal(exact_match(model, pairs, *VOCABS), finished)
    for change in (lambda t: t + "0", lambda t: "/" + t):
        others = [(line, change(target)) for line, target in pairs]
        assert not exact_match(model, others, *VOCABS)[finished].any()


# ---- Dates ----

DAYS = [datetime.date(2031, 5, 5), datetime.date(1987, 12, 24)]
LINES, MORE = (
    date_pairs(count, DAYS, generator=torch.Generator().manual_seed(count))
    for count in (20, 1000)
)
DATE_VOCABS = Vocab("".join(line for line, _ in MORE)), Vocab(TARGET_ALPHABET)


@pytest.fixture
def read_dates():
    """A function that trains a small model on two days, the same one each time."""

    def read_dates(decoder=Decoder, model=None, **settings):
        if model is None:
            torch.manual_seed(0)
            sizes = [len(vocab) for vocab in DATE_VOCABS]
            model = Seq2Seq(Encoder(sizes[0], 8, 16), decoder(sizes[1], 8, 16))
        settings = {"days": DAYS, "held_out": LINES, "updates": 3, **settings}
        days, held_out = settings.pop("days"), settings.pop("held_out")
        return train_on_dates(model, days, held_out, *DATE_VOCABS, **settings)

    return read_dates


@decoders
def test_a_run_on_dates_has_a_loss_an_update_and_scores_now_and_then(
    read_dates, decoder
):
    history = read_dates(decoder, updates=5, validate_every=2)
    assert len(history.losses) == 5
    assert history.valid_steps == [2, 4, 5]
    assert all(0 <= score <= 1 for score in history.valid_scores)
    assert history.losses[0] == pytest.approx(math.log(len(DATE_VOCABS[1])), rel=0.1)


def test_seeds_repeat_the_run_on_dates(read_dates):
    one, other = read_dates(seed=1), read_dates(seed=2)
    assert read_dates() == read_dates(seed=0)
    assert read_dates(seed=1) == one
    assert one.losses != other.losses != read_dates().losses


def test_the_score_is_the_share_of_the_lines_that_are_right(read_dates):
    torch.manual_seed(0)
    sizes = [len(vocab) for vocab in DATE_VOCABS]
    model = Seq2Seq(Encoder(sizes[0], 8, 16), AttentionDecoder(sizes[1], 8, 16))
    history = read_dates(model=model, updates=40, lr=0.03)
    right = exact_match(model, LINES, *DATE_VOCABS)
    assert history.valid_steps == [40]
    assert history.valid_scores == [right.float().mean().item()]
    assert 0 < history.valid_scores[0] < 1  # a model that has learned something
    assert history.losses[-1] < history.losses[0] / 2


@pytest.fixture
def batches_of(read_dates, monkeypatch):
    """A function that returns the batches of an epoch, as the pairs that are encoded."""
    encoded, runs = [], []

    def spy(pairs, *_):
        encoded.append(pairs)

    monkeypatch.setattr(recipes, "encode_pairs", spy)
    monkeypatch.setattr(recipes, "train", lambda *given, **_: runs.append(given[2]))

    def batches_of(epoch, **settings):
        read_dates(**settings)
        encoded.clear()
        assert len([*runs[-1](epoch)]) == 100
        return [*encoded]

    return batches_of


def test_an_epoch_of_dates_has_100_batches_of_64_lines_of_like_length(batches_of):
    batches = batches_of(0)
    assert [len(batch) for batch in batches] == [64] * 100
    spans = [[len(line) for line, _ in batch] for batch in batches]
    assert spans != sorted(spans)  # not the short ones first
    spans.sort()
    for shorter, longer in itertools.pairwise(spans):
        assert max(shorter) <= min(longer)
    assert {target for batch in batches for _, target in batch} >= {
        "2031-05-05",
        "1987-12-24/2031-05-05",
    }


def test_an_epoch_of_dates_repeats_and_another_epoch_or_seed_differs(batches_of):
    epochs = [batches_of(e, seed=s) for e, s in [(0, 0), (1, 0), (0, 1), (1, 1)]]
    torch.manual_seed(7)  # the default generator plays no part
    assert batches_of(1, seed=1) == epochs[3]
    assert all(one != other for one in epochs for other in epochs if one is not other)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({"updates": 3}, (8e-3, 3)), ({"lr": 0.5, "updates": 2}, (0.5, 2))],
    ids=str,
)
def test_rate_and_updates_reach_the_optimizer(read_dates, monkeypatch, given, expected):
    recipe, seen = recipes.adamw_one_cycle, []

    def spy(model, *numbers):
        seen.append(numbers)
        return recipe(model, *numbers)

    monkeypatch.setattr(recipes, "adamw_one_cycle", spy)
    read_dates(**given)
    assert seen == [expected]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"updates": 1}, "updates is 1 and weight_decay"),
        ({"lr": 0}, "^lr is 0, updates is 3"),
        ({"days": []}, "^days is 0; expected a whole number of at least 1"),
        ({"validate_every": 0}, "^validate_every is 0; expected a whole number"),
        ({"held_out": [("", "2031-05-05")]}, r"^ids have shape \(0, 1\); expected"),
        ({"model": build_translator()}, "^ids range from .*; expected 0 to 10"),
    ],
    ids=["updates", "lr", "no days", "validate_every", "no source", "other vocabs"],
)
def test_what_is_no_run_on_dates_is_refused(read_dates, settings, message):
    with pytest.raises(ValueError, match=message):
        read_dates(**settings)


@pytest.mark.cuda
@decoders
def test_dates_are_learned_on_cuda_too(read_dates, decoder):
    torch.manual_seed(0)
    sizes = [len(vocab) for vocab in DATE_VOCABS]
    model = Seq2Seq(Encoder(sizes[0], 8, 16), decoder(sizes[1], 8, 16)).cuda()
    history = read_dates(model=model, updates=20, lr=0.03)
    assert history.losses[-1] < history.losses[0]
    found = exact_match(model, LINES, *DATE_VOCABS)
    assert found.device.type == "cpu"
    assert history.valid_scores == [found.float().mean().item()]
