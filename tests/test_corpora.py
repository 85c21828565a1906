import hashlib
import http.server
import os
import re
import socket
import threading

import pytest

from utils import corpora
from utils.corpora import Corpus, load_text

NOVEL = "The Time Traveller (for so it will be convenient to speak of him)\n" * 1000
NOVEL_BYTES = NOVEL.encode()
DIGEST = hashlib.sha256(NOVEL_BYTES).hexdigest()
FILENAME = "timemachine.txt"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, no UNROLLED_DATA, and no proxy before a test's own server."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("UNROLLED_DATA", raising=False)
    return tmp_path / "cache" / "unrolled"


@pytest.fixture
def mirrors(cache, monkeypatch):
    """A function that makes ``time_machine`` mean ``NOVEL``, found at some URLs."""

    def set_mirrors(*urls):
        corpus = Corpus(FILENAME, DIGEST, mirrors=urls)
        monkeypatch.setitem(corpora.CORPORA, "time_machine", corpus)

    return set_mirrors


@pytest.fixture
def closed_url():
    """The URL of a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"http://127.0.0.1:{port}/{FILENAME}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves good, damaged and broken novels, and looks at the cache half-way."""

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


def put(folder, data):
    """Write ``data`` as the time machine's file into ``folder``; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILENAME).write_bytes(data)
    return folder


# ---- Texts that are there ----


@pytest.mark.parametrize("name", ["the_tide_clock", "tide_songs_zh"])
def test_an_embedded_corpus_needs_no_network(name):
    assert len(load_text(name)) > 10_000


def test_an_embedded_corpus_that_was_edited_is_refused(monkeypatch, tmp_path):
    (tmp_path / "the_tide_clock.txt").write_text("edited", encoding="utf-8")
    monkeypatch.setattr(corpora, "CORPORA_DIR", tmp_path)
    with pytest.raises(ValueError, match=r"has SHA-256 .*edition. Run `git checkout"):
        load_text("the_tide_clock")


def test_any_utf8_file_is_read_as_it_is(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes("Ebbe\r\nund Flut, 潮汐\n".encode())
    assert load_text(path) == load_text(str(path)) == "Ebbe\r\nund Flut, 潮汐\n"


def test_a_byte_order_mark_is_dropped(tmp_path):
    (tmp_path / "mine.txt").write_bytes("tide".encode("utf-8-sig"))
    assert load_text(tmp_path / "mine.txt") == "tide"


def test_an_unknown_corpus_is_refused_and_the_known_ones_are_named():
    with pytest.raises(ValueError, match=r"'tide'.*the_tide_clock, tide_songs_zh, tim"):
        load_text("tide")


@pytest.mark.parametrize("name", ["missing.txt", "folder/missing", "."])
def test_a_missing_file_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    expected = rf"no text file at {re.escape(name)}; .*{tmp_path}"
    with pytest.raises(FileNotFoundError, match=expected):
        load_text(name)


def test_a_file_that_is_not_utf8_is_refused_with_its_first_bad_byte(tmp_path):
    (tmp_path / "latin1.txt").write_bytes("Fluß".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8: byte 0xdf at position 3"):
        load_text(tmp_path / "latin1.txt")


@pytest.mark.parametrize("data", [b"", b" \n\t\n", "".encode("utf-8-sig")])
def test_an_empty_file_is_refused(tmp_path, data):
    (tmp_path / "empty.txt").write_bytes(data)
    with pytest.raises(ValueError, match=r"empty\.txt is empty"):
        load_text(tmp_path / "empty.txt")


# ---- Downloads ----


def test_a_good_download_is_kept_and_used_the_second_time(
    mirrors, server, cache, files_in
):
    mirrors(server.url + "/good")
    assert load_text("time_machine") == load_text("time_machine") == NOVEL
    assert server.requests == ["/good"]
    assert files_in(cache) == [FILENAME]
    assert (cache / FILENAME).read_bytes() == NOVEL_BYTES
    assert not server.cached_half_way  # it appeared when it was whole


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
    expected = f"SHA-256 [0-9a-f]{{64}}, expected {DIGEST}.* Nothing was kept"
    with pytest.raises(ConnectionError, match=expected):
        load_text("time_machine")


def test_the_next_mirror_is_tried_when_one_fails(mirrors, server, closed_url):
    mirrors(closed_url, server.url + "/damaged", server.url + "/good")
    assert load_text("time_machine") == NOVEL
    assert server.requests == ["/damaged", "/good"]


def test_without_a_mirror_the_error_says_what_to_do(
    mirrors, cache, tmp_path, monkeypatch, closed_url
):
    mirrors(closed_url)
    monkeypatch.setenv("UNROLLED_DATA", str(tmp_path))
    with pytest.raises(ConnectionError, match="'time_machine'") as caught:
        load_text("time_machine")
    said = str(caught.value)
    assert closed_url in said
    assert f"UNROLLED_DATA={tmp_path}: no {FILENAME} there" in said
    assert str(cache / FILENAME) in said
    assert "the_tide_clock, tide_songs_zh" in said


def test_unrolled_data_is_preferred_to_the_cache(
    mirrors, cache, tmp_path, monkeypatch, closed_url
):
    mirrors(closed_url)
    put(cache, b"another edition")
    monkeypatch.setenv("UNROLLED_DATA", str(put(tmp_path / "data", NOVEL_BYTES)))
    assert load_text("time_machine") == NOVEL


def test_the_cache_is_used_when_unrolled_data_lacks_the_file(
    mirrors, cache, tmp_path, monkeypatch, closed_url
):
    mirrors(closed_url)
    put(cache, NOVEL_BYTES)
    monkeypatch.setenv("UNROLLED_DATA", str(tmp_path))
    assert load_text("time_machine") == NOVEL


def test_a_damaged_file_in_unrolled_data_is_refused(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("UNROLLED_DATA", str(put(tmp_path, b"The Time Machine, cut")))
    with pytest.raises(ValueError, match=r"has SHA-256 .*, expected 8424dbd9.* Delete"):
        load_text("time_machine")


def test_a_damaged_cache_is_refused_with_its_path(mirrors, cache, closed_url):
    mirrors(closed_url)
    put(cache, NOVEL_BYTES[:-1])
    with pytest.raises(ValueError, match=f"{cache / FILENAME} has SHA-256"):
        load_text("time_machine")
