"""The texts of the course, by name or by path."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from utils.files import write_atomically
from utils.progress import progress_bar

CORPORA_DIR = Path(__file__).parent / "corpora"
MAX_DOWNLOAD = 10_000_000  # bytes; more is not one of our texts


@dataclass(frozen=True)
class Corpus:
    """A text that :func:`load_text` knows by name; without mirrors, it comes along."""

    filename: str
    sha256: str
    mirrors: tuple[str, ...] = ()


CORPORA = {
    "the_tide_clock": Corpus(
        "the_tide_clock.txt",
        "8df10cbc33227502142d7d40ca048021676e3e833ce8c0197e9a2ebb0f2d3f40",
    ),
    "tide_songs_zh": Corpus(
        "tide_songs_zh.txt",
        "d2a54d4b9b85d399ddb2b5cb44a980c368f52456a77bbd8e84a80965a3575af4",
    ),
    "time_machine": Corpus(
        "timemachine.txt",
        "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516",
        mirrors=(
            "https://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt",
            "http://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt",
        ),
    ),
}


def load_text(name_or_path: str | Path) -> str:
    """Return a corpus of the course by name, or any UTF-8 text file by path, as it is.

    ``the_tide_clock`` (English) and ``tide_songs_zh`` (Chinese) come with the course.
    ``time_machine`` (H. G. Wells, 178,979 bytes) is looked for in ``$UNROLLED_DATA``,
    then in the user's cache, and then downloaded; its SHA-256 is checked each time.

    Raises:
        ValueError: the name is unknown, the checksum is wrong, or the file is empty or
            not UTF-8.
        FileNotFoundError: there is no such file.
        ConnectionError: the download failed on every mirror.
    """
    name = str(name_or_path)
    if name in CORPORA:
        corpus = CORPORA[name]
        path = _fetch(name, corpus) if corpus.mirrors else CORPORA_DIR / corpus.filename
        data = path.read_bytes()
        mend = "Delete it" if corpus.mirrors else "Run `git checkout utils/corpora`"
        _require_checksum(data, corpus, str(path), f"{mend} and load the text again.")
        return _decode(data, path)
    path = Path(name_or_path)
    if path.suffix == "" and path.name == name and not path.exists():
        raise ValueError(
            f"unknown corpus {name!r}; expected one of {', '.join(CORPORA)}, or the "
            "path of a UTF-8 text file."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"no text file at {path}; check the path (relative paths start at "
            f"{Path.cwd()}), or use a corpus by name: {', '.join(CORPORA)}."
        )
    return _decode(path.read_bytes(), path)


def _decode(data: bytes, path: Path) -> str:
    try:
        text = data.decode("utf-8-sig")  # drops a byte order mark
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte {data[error.start]:#04x} at position "
            f"{error.start} does not decode. Save the file as UTF-8 and load it again."
        ) from None
    if not text.strip():
        raise ValueError(
            f"{path} is empty; expected a text of at least a few characters."
        )
    return text


def _require_checksum(data: bytes, corpus: Corpus, what: str, advice: str) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if digest != corpus.sha256:
        raise ValueError(
            f"{what} has SHA-256 {digest}, expected {corpus.sha256}: it is damaged or "
            f"another edition. {advice}"
        )


def cache_dir() -> Path:
    """Return where downloads are kept: ``$XDG_CACHE_HOME``, ``~/.cache`` without it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unrolled"


def _fetch(name: str, corpus: Corpus) -> Path:
    """Return the path of a text that does not come along; download it if need be."""
    data_dir = os.environ.get("UNROLLED_DATA")
    if data_dir and (Path(data_dir) / corpus.filename).is_file():
        return Path(data_dir) / corpus.filename
    target = cache_dir() / corpus.filename
    if target.is_file():
        return target
    failures = []
    if data_dir:
        failures.append(f"  UNROLLED_DATA={data_dir}: no {corpus.filename} there")
    for url in corpus.mirrors:
        try:
            data = _download(url, corpus)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"  {url}: {error}")
            continue
        write_atomically(target, data)
        return target
    embedded = ", ".join(known for known, entry in CORPORA.items() if not entry.mirrors)
    raise ConnectionError(
        f"{name!r} could not be downloaded:\n" + "\n".join(failures) + "\n"
        f"Either put {corpus.filename} into a folder and set the environment variable "
        f"UNROLLED_DATA to that folder, or copy the file to {target}, or use a corpus "
        f"that comes with the course: {embedded}."
    )


def _download(url: str, corpus: Corpus) -> bytes:
    """Return what ``url`` holds, if its checksum is right."""
    data = bytearray()
    with urllib.request.urlopen(url, timeout=20) as response:
        total = int(response.headers.get("Content-Length") or 0) or None
        with progress_bar(total=total, unit="B", unit_scale=True) as bar:
            while len(data) < MAX_DOWNLOAD and (chunk := response.read(16384)):
                data += chunk
                bar.update(len(chunk))
    _require_checksum(data, corpus, "the download", "Nothing was kept.")
    return bytes(data)
