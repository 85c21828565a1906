import hashlib
import http.server
import itertools
import os
import re
import socket
import threading

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st

from utils import text
from utils.text import (
    Corpus,
    Vocab,
    consecutive_batches,
    load_text,
    normalize,
    random_batches,
    split,
)

NOVEL = "The Time Traveller (for so it will be convenient to speak of him)\n" * 1000
NOVEL_BYTES = NOVEL.encode()
FILENAME = "timemachine.txt"

texts = st.text(min_size=1, max_size=80)


# ---- Loading ----


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, no UNROLLED_DATA, and no proxy between a test and its own server."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("UNROLLED_DATA", raising=False)
    return tmp_path / "cache" / "unrolled"


@pytest.fixture
def mirrors(cache, monkeypatch):
    """A function that makes ``time_machine`` stand for ``NOVEL``, to be found at some URLs."""

    def set_mirrors(*urls):
        digest = hashlib.sha256(NOVEL_BYTES).hexdigest()
        corpus = Corpus(FILENAME, digest, mirrors=urls)
        monkeypatch.setitem(text.CORPORA, "time_machine", corpus)

    return set_mirrors


@pytest.fixture
def closed_url():
    """The URL of a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"http://127.0.0.1:{port}/{FILENAME}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves good, damaged and broken versions of the novel, and looks at the cache half-way."""

    def do_GET(self):
        self.server.requests.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/nonsense":
            self.wfile.write(b"this is not HTTP\r\n\r\n")
            return
        half = len(NOVEL_BYTES) // 2
        first, second = NOVEL_BYTES[:half], NOVEL_BYTES[half:]
        if self.path == "/damaged":
            second = second[:-1] + b"?"
        self.send_response(200)
        self.send_header("Content-Length", str(len(NOVEL_BYTES)))
        self.end_headers()
        self.wfile.write(first)
        self.server.cached_half_way = os.path.exists(self.server.cache / FILENAME)
        if self.path != "/truncated":
            self.wfile.write(second)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server(cache):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.cache = [], cache
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def edition(tmp_path):
    """A function that writes ``data`` as the time machine's file in a new folder, and returns the folder."""

    def write(data):
        folder = tmp_path / "data"
        folder.mkdir()
        (folder / FILENAME).write_bytes(data)
        return folder

    return write


@pytest.mark.parametrize("name", ["the_tide_clock", "tide_songs_zh"])
def test_an_embedded_corpus_needs_no_network(name):
    assert len(load_text(name)) > 10_000


def test_an_embedded_corpus_that_was_edited_is_refused(monkeypatch, tmp_path):
    (tmp_path / "the_tide_clock.txt").write_text("edited", encoding="utf-8")
    monkeypatch.setattr(text, "CORPORA_DIR", tmp_path)
    with pytest.raises(ValueError, match=r"has SHA-256 .* damaged or another edition"):
        load_text("the_tide_clock")


def test_any_utf8_file_is_read_as_it_is(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes("Ebbe\r\nund Flut, 潮汐\n".encode())
    assert load_text(path) == load_text(str(path)) == "Ebbe\r\nund Flut, 潮汐\n"


def test_a_byte_order_mark_is_dropped(tmp_path):
    (tmp_path / "mine.txt").write_bytes("tide".encode("utf-8-sig"))
    assert load_text(tmp_path / "mine.txt") == "tide"


def test_an_unknown_corpus_is_refused_and_the_known_ones_are_named():
    with pytest.raises(
        ValueError, match=r"unknown corpus 'tide'.*the_tide_clock, tide_songs_zh, time"
    ):
        load_text("tide")


@pytest.mark.parametrize("name", ["missing.txt", "folder/missing", "."])
def test_a_missing_file_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=rf"no text file at {re.escape(name)}; .*{tmp_path}"
    ):
        load_text(name)


def test_a_file_that_is_not_utf8_is_refused_with_the_place_of_the_first_bad_byte(
    tmp_path,
):
    path = tmp_path / "latin1.txt"
    path.write_bytes("Fluß".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8: byte 0xdf at position 3"):
        load_text(path)


@pytest.mark.parametrize("data", [b"", b" \n\t\n", "".encode("utf-8-sig")])
def test_an_empty_file_is_refused(tmp_path, data):
    path = tmp_path / "empty.txt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"empty\.txt is empty"):
        load_text(path)


def test_a_damaged_file_in_unrolled_data_is_refused(cache, edition, monkeypatch):
    monkeypatch.setenv("UNROLLED_DATA", str(edition(b"The Time Machine, damaged")))
    with pytest.raises(ValueError, match=r"has SHA-256 .*, expected 8424dbd9.*Delete"):
        load_text("time_machine")


def test_a_good_download_is_kept_and_used_the_second_time(
    mirrors, server, cache, files_in
):
    mirrors(server.url + "/good")
    assert load_text("time_machine") == load_text("time_machine") == NOVEL
    assert server.requests == ["/good"]
    assert files_in(cache) == [FILENAME]
    assert (cache / FILENAME).read_bytes() == NOVEL_BYTES


def test_a_download_appears_in_the_cache_only_when_it_is_whole(mirrors, server):
    mirrors(server.url + "/good")
    load_text("time_machine")
    assert not server.cached_half_way


def test_a_download_that_does_not_fit_on_the_disk_leaves_nothing(
    mirrors, server, cache, files_in, small_disk
):
    mirrors(server.url + "/good")
    with small_disk(), pytest.raises(OSError, match="File too large"):
        load_text("time_machine")
    assert files_in(cache) == []


@pytest.mark.parametrize("kind", ["damaged", "truncated", "missing", "nonsense"])
def test_a_bad_download_is_refused_and_leaves_nothing(
    mirrors, server, cache, files_in, kind
):
    mirrors(f"{server.url}/{kind}")
    with pytest.raises(ConnectionError, match=f"could not be downloaded:\n.*/{kind}: "):
        load_text("time_machine")
    assert server.requests == [f"/{kind}"]
    assert files_in(cache) == []


def test_a_damaged_download_is_reported_with_both_checksums(mirrors, server):
    mirrors(server.url + "/damaged")
    digest = hashlib.sha256(NOVEL_BYTES).hexdigest()
    with pytest.raises(
        ConnectionError, match=f"SHA-256 [0-9a-f]+, expected {digest}; nothing was kept"
    ):
        load_text("time_machine")


def test_the_next_mirror_is_tried_when_one_fails(mirrors, server, closed_url):
    mirrors(closed_url, server.url + "/damaged", server.url + "/good")
    assert load_text("time_machine") == NOVEL
    assert server.requests == ["/damaged", "/good"]


def test_without_a_mirror_the_error_says_what_to_do(mirrors, cache, closed_url):
    mirrors(closed_url)
    with pytest.raises(ConnectionError) as caught:
        load_text("time_machine")
    message = str(caught.value)
    for part in (
        "'time_machine'",
        closed_url,
        "UNROLLED_DATA",
        str(cache / FILENAME),
        "the_tide_clock, tide_songs_zh",
    ):
        assert part in message


def test_unrolled_data_is_preferred_to_the_cache(
    mirrors, cache, edition, monkeypatch, closed_url
):
    mirrors(closed_url)
    cache.mkdir(parents=True)
    (cache / FILENAME).write_bytes(b"another edition")
    monkeypatch.setenv("UNROLLED_DATA", str(edition(NOVEL_BYTES)))
    assert load_text("time_machine") == NOVEL


def test_the_cache_is_used_when_unrolled_data_lacks_the_file(
    mirrors, cache, tmp_path, monkeypatch, closed_url
):
    mirrors(closed_url)
    cache.mkdir(parents=True)
    (cache / FILENAME).write_bytes(NOVEL_BYTES)
    monkeypatch.setenv("UNROLLED_DATA", str(tmp_path))
    assert load_text("time_machine") == NOVEL


def test_a_damaged_cache_is_refused_with_its_path(mirrors, cache, closed_url):
    mirrors(closed_url)
    cache.mkdir(parents=True)
    (cache / FILENAME).write_bytes(NOVEL_BYTES[:-1])
    with pytest.raises(ValueError, match=f"{cache / FILENAME} has SHA-256"):
        load_text("time_machine")


# ---- Normalizing ----


@given(st.text())
@example("İ")
def test_normalizing_twice_changes_nothing_more(raw):
    assert normalize(normalize(raw)) == normalize(raw)


@given(st.text())
@example("½ cup of x² in Ⅷ_parts")
@example("İ")
def test_normalized_text_has_only_letters_and_single_spaces(raw):
    words = normalize(raw).split(" ")
    assert all(word.isalpha() for word in words) or words == [""]


def test_normalizing_keeps_chinese_and_lowers_latin_letters():
    assert normalize("  The 2nd Tide--潮汐, 潮!\n") == "the nd tide 潮汐 潮"


# ---- Vocab ----


@given(texts)
def test_decoding_what_was_encoded_gives_the_text_back(known):
    vocab = Vocab(known)
    assert vocab.decode(vocab.encode(known)) == known


@given(texts, texts)
def test_unknown_characters_get_id_0_and_known_ones_do_not(known, other):
    vocab = Vocab(known)
    ids = vocab.encode(other)
    assert ids.dtype == torch.int64
    assert [index == 0 for index in ids.tolist()] == [c not in known for c in other]
    assert set(vocab.unknown(other)) == set(other) - set(known)


@given(texts)
def test_a_vocabulary_is_unk_and_the_sorted_characters(known):
    vocab = Vocab(known)
    assert vocab.tokens == ["<unk>", *sorted(set(known))]
    assert len(vocab) == len(set(known)) + 1
    assert all(character in vocab for character in known)


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


# ---- Splitting ----


@given(st.integers(2, 500), st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_the_two_parts_of_a_split_make_up_the_text(n, held_out):
    assume(0 < int(n * held_out) < n)
    ids = torch.arange(n)
    train, valid = split(ids, held_out)
    assert torch.equal(torch.cat([train, valid]), ids)
    assert abs(len(valid) - n * held_out) < 1
    assert len(train) > 0


@pytest.mark.parametrize("held_out", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_that_is_not_between_0_and_1_is_refused(held_out):
    with pytest.raises(ValueError, match=rf"held_out is {held_out}; expected a share"):
        split(torch.arange(100), held_out)


def test_a_text_too_short_to_split_is_refused():
    with pytest.raises(ValueError, match="9 characters is too short to hold out 10%"):
        split(torch.arange(9))


# ---- Batches ----


@st.composite
def batchings(draw):
    """A text whose ids are its positions, and a batch size and number of steps that fit it."""
    batch_size, num_steps = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    extra = draw(st.integers(1, 100))
    return torch.arange(batch_size * num_steps + extra), batch_size, num_steps


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def check_windows(batches, batch_size, num_steps):
    """Every batch is full, its targets are one ahead, and no input occurs in two windows."""
    assert batches
    for inputs, targets in batches:
        assert inputs.shape == targets.shape == (num_steps, batch_size)
        assert torch.equal(targets, inputs + 1)
        assert torch.equal(inputs, inputs[:1] + torch.arange(num_steps).unsqueeze(1))
    seen = torch.cat([inputs.flatten() for inputs, _ in batches])
    assert len(seen.unique()) == len(seen)


@given(batchings(), st.integers(0, 1000))
def test_random_batches_are_full_disjoint_windows(batching, seed):
    batches = list(random_batches(*batching, seeded(seed)))
    check_windows(batches, *batching[1:])


@given(batchings(), st.integers(0, 1000))
def test_the_same_seed_gives_the_same_batches(batching, seed):
    first, second = (
        [torch.stack(pair) for pair in random_batches(*batching, seeded(seed))]
        for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


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
@pytest.mark.parametrize("name", ["batch_size", "num_steps"])
@pytest.mark.parametrize("bad", [0, -3, 2.5])
def test_a_size_below_1_or_not_whole_is_refused(batches, name, bad):
    sizes = {"batch_size": 2, "num_steps": 2, name: bad}
    with pytest.raises(ValueError, match=f"{name} is {bad}; expected a whole number"):
        next(batches(torch.arange(20), **sizes))


@both_kinds
def test_more_steps_than_the_text_has_are_refused(batches):
    with pytest.raises(
        ValueError, match=r"num_steps is 20, but the text has 20.*at most 19"
    ):
        next(batches(torch.arange(20), 1, 20))


@both_kinds
def test_more_rows_than_the_text_has_windows_are_refused(batches):
    with pytest.raises(
        ValueError, match=r"batch_size is 4, but .*only 3 windows of 6 steps.*at most 3"
    ):
        next(batches(torch.arange(20), 4, 6))


@both_kinds
@pytest.mark.parametrize(("batch_size", "num_steps"), [(1, 19), (3, 6), (19, 1)])
def test_the_largest_sizes_that_fit_are_accepted(batches, batch_size, num_steps):
    inputs, _ = next(batches(torch.arange(20), batch_size, num_steps))
    assert inputs.shape == (num_steps, batch_size)


@both_kinds
@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_text_shorter_than_one_window_is_refused(batches, n):
    with pytest.raises(ValueError, match=f"has {n} characters: shorter than one"):
        next(batches(torch.arange(n), 1, 3))


@both_kinds
def test_ids_of_two_dimensions_are_refused(batches):
    with pytest.raises(ValueError, match=r"shape \(20, 1\); expected one dimension"):
        next(batches(torch.arange(20).unsqueeze(1), 2, 2))


def test_a_negative_offset_is_refused():
    with pytest.raises(ValueError, match="offset is -1; expected 0 to 20"):
        next(consecutive_batches(torch.arange(20), 2, 2, offset=-1))


def test_an_offset_that_leaves_too_little_text_is_refused():
    with pytest.raises(ValueError, match="the text has 2 characters"):
        next(consecutive_batches(torch.arange(20), 2, 2, offset=18))
