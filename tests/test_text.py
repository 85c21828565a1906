import hashlib
import itertools
import unicodedata

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.helpers import seeded, seeds
from utils.corpora import load_text
from utils.text import (
    JOINERS,
    Vocab,
    consecutive_batches,
    normalize,
    prepare,
    random_batches,
    require_ids,
    split,
)

texts = st.text(min_size=1, max_size=80)

# ---- Normalizing ----

letters = st.characters(categories=["L"])
marks = st.characters(categories=["M"]) | st.sampled_from(JOINERS)
raw_texts = st.text() | st.text(letters | marks | st.sampled_from(" 7.!👩❤"))


@given(raw_texts)
@example("İ")
@example("½ cup of x² in Ⅷ_parts")
def test_normalized_text_is_words_of_letters_and_their_marks_and_stays_as_it_is(raw):
    normal = normalize(raw)
    assert normalize(normal) == normal
    for word in normal.split(" ") if normal else []:
        assert word[0].isalpha()
        assert all(
            c.isalpha() or c in JOINERS or unicodedata.category(c).startswith("M")
            for c in word
        )


def test_normalizing_keeps_chinese_and_lowers_latin_letters():
    assert normalize("  The 2nd Tide--潮汐, 潮!\n") == "the nd tide 潮汐 潮"


LINES = {
    "Hindi": "मिल्क वाले",
    "Arabic with vowels": "كِتَابٌ جَدِيدٌ",
    "Hebrew with vowels": "שָׁלוֹם עֲלֵיכֶם",
    "Thai": "น้ำใจ ที่นี่",
    "Tamil": "தமிழ் மொழி",
    "Sinhala with a joiner": "ක්\u200dෂණය ශ්\u200dරී",
    "Persian with a non-joiner": "می\u200cخواهم کتاب",
    "French, decomposed": unicodedata.normalize("NFD", "crème brûlée"),
    "Vietnamese, decomposed": unicodedata.normalize("NFD", "tiếng việt"),
}


@pytest.mark.parametrize("language", LINES)
def test_marks_stay_with_their_letters_in(language):
    line = LINES[language]
    assert any(not (c.isalpha() or c == " ") for c in line)  # there are marks
    assert normalize(line) == line
    assert normalize(f"«{line}»!") == line


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("İstanbul", "i\u0307stanbul"),
        ("👩\u200d👩\u200d👧 a family", "a family"),
        ("I ❤\ufe0f the\u2764\ufe0fsea", "i the sea"),
        ("1\ufe0f\u20e3st", "st"),
        ("\u0301tide \u0301 \u200dsea", "tide sea"),
        ("7\u0301 days, 7\u200d\u0301", "days"),
    ],
    ids=ascii,
)
def test_marks_are_never_alone(raw, expected):
    assert normalize(raw) == expected


# The texts on which all stored results were computed.
ENGLISH = "66b6a02364b4187ee8733200dd670df5ad9d4305983d3ddb861bcfcd7509603f"
CHINESE = "3b152b237451f708f3ac92412ef196730548279a99f25627fdd9cfc5b2b6803f"


@pytest.mark.parametrize(
    ("name", "digest"), [("the_tide_clock", ENGLISH), ("tide_songs_zh", CHINESE)]
)
def test_both_texts_are_normalized_as_ever(name, digest):
    text = normalize(load_text(name))
    assert hashlib.sha256(text.encode()).hexdigest() == digest


# ---- Vocab ----


@given(texts)
def test_a_vocabulary_is_unk_and_the_sorted_characters(known):
    vocab = Vocab(known)
    assert vocab.tokens == ["<unk>", *sorted(set(known))]
    assert len(vocab) == len(set(known)) + 1
    assert all(character in vocab for character in known)
    assert vocab.decode(vocab.encode(known)) == known


@given(texts, texts)
def test_unknown_characters_get_id_0_and_known_ones_do_not(known, other):
    vocab = Vocab(known)
    ids = vocab.encode(other)
    assert ids.dtype == torch.int64
    assert [index == 0 for index in ids.tolist()] == [c not in known for c in other]
    assert set(vocab.unknown(other)) == set(other) - set(known)


def test_rare_characters_become_unknown():
    vocab = Vocab("aab", min_freq=2)
    assert vocab.encode("ab").tolist() == [1, 0]
    assert vocab.decode(vocab.encode("ab")) == "a<unk>"


def test_ids_may_be_decoded_from_a_list():
    assert Vocab("ab").decode([2, 1]) == "ba"


def test_unknown_characters_are_named_once_and_in_order():
    assert Vocab("abc").unknown("zaya z") == ["z", "y", " "]


@pytest.mark.parametrize(("known", "min_freq"), [("", 1), ("abc", 2)])
def test_a_vocabulary_without_characters_is_refused(known, min_freq):
    with pytest.raises(ValueError, match=f"no character occurs min_freq={min_freq}"):
        Vocab(known, min_freq)


@pytest.mark.parametrize("bad", [-1, 3])
def test_decoding_an_id_out_of_range_is_refused(bad):
    with pytest.raises(IndexError, match=f"id {bad} is not in.*expected 0 to 2"):
        Vocab("ab").decode(torch.tensor([1, bad]))


def test_decoding_several_texts_at_once_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 1\); expected \(n,\), one text"):
        Vocab("ab").decode(torch.tensor([[1], [2]]))


# ---- Ids for a model ----


@pytest.mark.parametrize(
    ("ids", "kind", "message"),
    [
        (torch.zeros(5, 2), TypeError, r"torch\.float32; expected torch\.int64"),
        (torch.tensor([1, 2]), ValueError, r"shape \(2,\); .* use ids\.unsqueeze\(1\)"),
        (torch.zeros(0, 2).long(), ValueError, r"shape \(0, 2\); .* neither of them 0"),
        (torch.tensor([[-1], [3]]), ValueError, "range from -1 to 3; expected 0 to 4"),
        (torch.tensor([[0], [5]]), ValueError, "range from 0 to 5; expected 0 to 4"),
    ],
    ids=["dtype", "one text", "nothing", "below 0", "too high"],
)
def test_ids_that_no_model_can_read_are_refused(ids, kind, message):
    with pytest.raises(kind, match=message):
        require_ids(ids, vocab_size=5)


def test_ids_of_the_vocabulary_pass_and_those_on_a_device_are_not_looked_at():
    require_ids(torch.tensor([[0], [4]]), vocab_size=5)
    require_ids(torch.tensor([[0], [5]], device="meta"), vocab_size=5)


# ---- Splitting ----


@given(st.integers(2, 500), st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_the_two_parts_of_a_split_make_up_the_text(n, held_out):
    assume(0 < int(n * held_out) < n)
    ids = torch.arange(n)
    train, valid = split(ids, held_out)
    assert torch.equal(torch.cat([train, valid]), ids)
    assert abs(len(valid) - n * held_out) < 1
    assert len(train) > 0


def test_a_share_that_is_not_between_0_and_1_is_refused():
    with pytest.raises(ValueError, match="held_out is 1; expected a share"):
        split(torch.arange(100), held_out=1)


def test_a_text_too_short_to_split_is_refused():
    with pytest.raises(ValueError, match="9 characters is too short to hold out 10%"):
        split(torch.arange(9))


# ---- Preparing a text ----


@pytest.mark.parametrize("name", ["the_tide_clock", "tide_songs_zh", "a file"])
def test_preparing_a_text_is_what_the_first_chapters_do_by_hand(name, tmp_path):
    if name == "a file":
        name = tmp_path / "mine.txt"
        name.write_text("One tide, two tides; 潮汐!\n", encoding="utf-8")
    text = normalize(load_text(name))
    first_part, _ = split(text)
    by_hand = Vocab(first_part)
    vocab, *parts = prepare(name)
    assert vocab.tokens == by_hand.tokens
    for ids, expected in zip(parts, split(by_hand.encode(text)), strict=True):
        assert torch.equal(ids, expected)
    assert vocab.decode(parts[0]) == first_part


def test_a_prepared_text_is_on_the_device_that_is_asked_for():
    _, *parts = prepare("the_tide_clock", "meta")
    assert {ids.device.type for ids in parts} == {"meta"}


# ---- Batches ----


@st.composite
def batchings(draw):
    """Ids that are their places, and a batch size and number of steps that fit them."""
    batch_size, num_steps = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    extra = draw(st.integers(1, 100))
    return torch.arange(batch_size * num_steps + extra), batch_size, num_steps


def check_windows(batches, batch_size, num_steps):
    """All batches are full, targets one ahead, and no input is in two windows."""
    assert batches
    for inputs, targets in batches:
        assert inputs.shape == targets.shape == (num_steps, batch_size)
        assert torch.equal(targets, inputs + 1)
        assert torch.equal(inputs, inputs[:1] + torch.arange(num_steps).unsqueeze(1))
    seen = torch.cat([inputs.flatten() for inputs, _ in batches])
    assert len(seen.unique()) == len(seen)


@given(batchings(), seeds)
def test_random_batches_are_full_disjoint_windows_and_the_seed_repeats_them(
    batching, seed
):
    batches = list(random_batches(*batching, seeded(seed)))
    check_windows(batches, *batching[1:])
    again = list(random_batches(*batching, seeded(seed)))
    for one, other in zip(batches, again, strict=True):
        assert all(map(torch.equal, one, other))


def test_random_batches_without_a_generator_follow_the_default_one():
    def draw():
        torch.manual_seed(3)
        return next(random_batches(torch.arange(100), 4, 5))[0]

    assert torch.equal(draw(), draw())


def test_another_seed_gives_other_windows_in_another_order():
    ids = torch.arange(1000)
    first = next(random_batches(ids, 8, 10, seeded(0)))[0][0].tolist()
    second = next(random_batches(ids, 8, 10, seeded(1)))[0][0].tolist()
    assert first != second
    assert first != sorted(first)
    assert first[0] % 10 != second[0] % 10


@given(batchings(), st.integers(0, 5))
def test_consecutive_batches_are_full_disjoint_windows(batching, offset):
    ids, batch_size, num_steps = batching
    ids = torch.arange(len(ids) + offset)
    batches = list(consecutive_batches(ids, batch_size, num_steps, offset))
    check_windows(batches, batch_size, num_steps)
    assert batches[0][0][0, 0] == offset


@given(batchings())
def test_each_row_continues_the_same_row_of_the_batch_before(batching):
    batches = [inputs for inputs, _ in consecutive_batches(*batching)]
    for before, after in itertools.pairwise(batches):
        assert torch.equal(after[0], before[-1] + 1)


@given(batchings())
def test_no_row_straddles_into_the_next_rows_part_of_the_text(batching):
    ids, batch_size, _ = batching
    length = (len(ids) - 1) // batch_size
    rows = torch.cat([inputs for inputs, _ in consecutive_batches(*batching)]) // length
    assert torch.equal(rows, torch.arange(batch_size).expand(len(rows), -1))


both_kinds = pytest.mark.parametrize("batches", [random_batches, consecutive_batches])


@both_kinds
@pytest.mark.parametrize(("batch_size", "num_steps"), [(1, 19), (3, 6), (19, 1)])
def test_the_largest_sizes_that_fit_are_accepted(batches, batch_size, num_steps):
    inputs, _ = next(batches(torch.arange(20), batch_size, num_steps))
    assert inputs.shape == (num_steps, batch_size)


@both_kinds
@pytest.mark.parametrize(
    ("ids", "sizes", "message"),
    [
        (torch.arange(20), (0, 2), "batch_size is 0; expected a whole number"),
        (torch.arange(20), (2, 2.5), "num_steps is 2.5; expected a whole number"),
        (torch.arange(20), (1, 20), "num_steps is 20, but the text has 20.*at most 19"),
        (torch.arange(20), (4, 6), "batch_size is 4, but.* 3 windows of 6.*at most 3"),
        (torch.arange(0), (1, 3), r"shape \(0,\); expected \(n,\) with n of at least"),
        (torch.arange(9).view(9, 1), (2, 2), r"shape \(9, 1\); expected \(n,\)"),
    ],
    ids=["no rows", "half a step", "steps", "rows", "nothing", "dimensions"],
)
def test_batches_that_cannot_be_cut_are_refused(batches, ids, sizes, message):
    with pytest.raises(ValueError, match=message):
        next(batches(ids, *sizes))


@pytest.mark.parametrize(
    ("offset", "message"),
    [(-1, "offset is -1; expected 0 to 20"), (18, "the text has 2 characters")],
)
def test_an_offset_outside_the_text_or_near_its_end_is_refused(offset, message):
    with pytest.raises(ValueError, match=message):
        next(consecutive_batches(torch.arange(20), 2, 2, offset))
