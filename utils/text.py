"""Text in, batches of character ids out."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from utils.errors import check_counts
from utils.files import write_atomically
from utils.progress import progress_bar

Sequence = TypeVar("Sequence", str, Tensor)

CORPORA_DIR = Path(__file__).parent / "corpora"
MAX_DOWNLOAD = 10_000_000  # bytes; more is not one of our texts


@dataclass(frozen=True)
class Corpus:
    """A text that :func:`load_text` knows by name; without mirrors it is part of the repository."""

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
    ``time_machine`` (H. G. Wells, 178,979 bytes) is looked for in ``$UNROLLED_DATA``, then in the
    user's cache, and then downloaded; its SHA-256 is checked each time.

    Raises:
        ValueError: the name is unknown, the checksum is wrong, or the file is empty or not UTF-8.
        FileNotFoundError: there is no such file.
        ConnectionError: the download failed on every mirror.
    """
    name = str(name_or_path)
    if name in CORPORA:
        corpus = CORPORA[name]
        path = _fetch(name, corpus) if corpus.mirrors else CORPORA_DIR / corpus.filename
        return _decode(_checked(path, corpus), path)
    path = Path(name_or_path)
    if path.suffix == "" and path.name == name and not path.exists():
        raise ValueError(
            f"unknown corpus {name!r}; expected one of {', '.join(CORPORA)}, or the path of a UTF-8 text file."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"no text file at {path}; check the path (relative paths start at {Path.cwd()}), "
            f"or use a corpus by name: {', '.join(CORPORA)}."
        )
    return _decode(path.read_bytes(), path)


def _decode(data: bytes, path: Path) -> str:
    try:
        text = data.decode("utf-8-sig")  # drops a byte order mark
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte {data[error.start]:#04x} at position {error.start} does not decode. "
            "Save the file as UTF-8 and load it again."
        ) from None
    if not text.strip():
        raise ValueError(
            f"{path} is empty; expected a text of at least a few characters."
        )
    return text


def _checked(path: Path, corpus: Corpus) -> bytes:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != corpus.sha256:
        raise ValueError(
            f"{path} has SHA-256 {digest}, expected {corpus.sha256}: it is damaged or another edition. "
            + (
                "Delete the file"
                if corpus.mirrors
                else "Restore it with `git checkout utils/corpora`"
            )
            + " and load the text again."
        )
    return data


def cache_dir() -> Path:
    """Return the folder where downloaded texts are kept: ``$XDG_CACHE_HOME/unrolled`` or ``~/.cache/unrolled``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unrolled"


def _fetch(name: str, corpus: Corpus) -> Path:
    """Return the path of a text that is not part of the repository, downloading it if need be."""
    data_dir = os.environ.get("UNROLLED_DATA")
    if data_dir and (Path(data_dir) / corpus.filename).is_file():
        return Path(data_dir) / corpus.filename
    target = cache_dir() / corpus.filename
    if target.is_file():
        return target
    failures = (
        [f"  UNROLLED_DATA={data_dir}: no {corpus.filename} there"] if data_dir else []
    )
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
        f"Either put {corpus.filename} into a folder and set the environment variable UNROLLED_DATA to that "
        f"folder, or copy the file to {target}, or use a corpus that comes with the course: {embedded}."
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
    digest = hashlib.sha256(data).hexdigest()
    if digest != corpus.sha256:
        raise ValueError(
            f"the download has SHA-256 {digest}, expected {corpus.sha256}; nothing was kept"
        )
    return bytes(data)


def normalize(text: str) -> str:
    """Return ``text`` in lower case with every run of non-letters turned into one space.

    What counts as a letter is Unicode's business, so Chinese characters stay.
    """
    letters = "".join(c if c.isalpha() else " " for c in text.lower())
    return " ".join(letters.split())


class Vocab:
    """A character vocabulary: id 0 is ``<unk>``, the others are the characters of ``text`` in sorted order.

    Args:
        text: the text to take the characters from; use the training text only.
        min_freq: characters that occur less often than this become ``<unk>``.

    Raises:
        ValueError: ``text`` is empty or no character occurs ``min_freq`` times.
    """

    UNKNOWN = "<unk>"

    def __init__(self, text: str, min_freq: int = 1) -> None:
        counts = Counter(text)
        kept = sorted(
            character for character, count in counts.items() if count >= min_freq
        )
        if not kept:
            raise ValueError(
                f"no character occurs min_freq={min_freq} times in a text of {len(text)} characters; "
                "expected at least one. Pass a longer text or a smaller min_freq."
            )
        self.tokens = [self.UNKNOWN, *kept]
        self.ids = {token: index for index, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, character: str) -> bool:
        return character in self.ids

    def encode(self, text: str) -> Tensor:
        """Return the ids of ``text``, an int64 tensor ``(len(text),)``; unknown characters get id 0."""
        return torch.tensor(
            [self.ids.get(character, 0) for character in text], dtype=torch.int64
        )

    def decode(self, ids: Tensor | list[int]) -> str:
        """Return the text that ``ids`` stand for; id 0 reads ``<unk>``.

        Raises:
            IndexError: an id lies outside ``0 .. len(self) - 1``.
            ValueError: a tensor that is not one-dimensional.
        """
        if isinstance(ids, Tensor) and ids.dim() != 1:
            raise ValueError(
                f"ids have shape {tuple(ids.shape)}; expected (n,), one text."
            )
        values = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        for value in values:
            if not 0 <= value < len(self):
                raise IndexError(
                    f"id {value} is not in this vocabulary; expected 0 to {len(self) - 1}."
                )
        return "".join(self.tokens[value] for value in values)

    def unknown(self, text: str) -> list[str]:
        """Return the characters of ``text`` that are not in the vocabulary, each once, in order."""
        return [
            character for character in dict.fromkeys(text) if character not in self.ids
        ]


def check_ids(ids: Tensor, vocab_size: int) -> None:
    """Raise a clear error unless ``ids`` are character ids, int64 ``(num_steps, batch)``.

    The range is checked on the CPU only: on a GPU it would stop the pipeline at every batch.

    Raises:
        TypeError: the dtype is not int64.
        ValueError: the shape is not ``(num_steps, batch)``, or an id is outside ``0 .. vocab_size - 1``.
    """
    if ids.dtype != torch.int64:
        raise TypeError(
            f"ids have dtype {ids.dtype}; expected torch.int64, as Vocab.encode returns them."
        )
    if ids.dim() != 2 or ids.numel() == 0:
        raise ValueError(
            f"ids have shape {tuple(ids.shape)}; expected (num_steps, batch), neither of them 0. "
            "For one text use ids.unsqueeze(1)."
        )
    if (
        ids.device.type == "cpu"
        and not 0 <= int(ids.min()) <= int(ids.max()) < vocab_size
    ):
        raise ValueError(
            f"ids range from {int(ids.min())} to {int(ids.max())}; expected 0 to {vocab_size - 1}. "
            "Encode the text with the vocabulary that the model was built for."
        )


def split(sequence: Sequence, held_out: float = 0.1) -> tuple[Sequence, Sequence]:
    """Cut a text or its ids ``(n,)`` in two at one place: the last ``held_out`` of it is for validation.

    Raises:
        ValueError: ``held_out`` is not between 0 and 1, or one of the parts would be empty.
    """
    if not 0 < held_out < 1:
        raise ValueError(
            f"held_out is {held_out}; expected a share between 0 and 1, such as 0.1."
        )
    cut = len(sequence) - int(len(sequence) * held_out)
    if cut in (0, len(sequence)):
        raise ValueError(
            f"a text of {len(sequence)} characters is too short to hold out {held_out:.0%} of it."
        )
    return sequence[:cut], sequence[cut:]


def _check_batching(ids: Tensor, batch_size: int, num_steps: int) -> None:
    """Raise ValueError unless ``ids`` holds ``batch_size`` windows of ``num_steps`` inputs and their targets."""
    if ids.dim() != 1:
        raise ValueError(
            f"ids have shape {tuple(ids.shape)}; expected one dimension, the ids in reading order."
        )
    check_counts(batch_size=batch_size, num_steps=num_steps)
    if len(ids) < num_steps + 1:
        raise ValueError(
            f"num_steps is {num_steps}, but the text has {len(ids)} characters: shorter than one window and its "
            f"target. Expected num_steps of at most {len(ids) - 1}."
        )
    windows = (len(ids) - 1) // num_steps
    if windows < batch_size:
        raise ValueError(
            f"batch_size is {batch_size}, but a text of {len(ids)} characters holds only {windows} windows of "
            f"{num_steps} steps. Expected batch_size of at most {windows}, or fewer steps."
        )


def random_batches(
    ids: Tensor,
    batch_size: int,
    num_steps: int,
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch of disjoint windows in random order, cut at a random offset.

    Args:
        ids: the training text, ``(n,)``, on any device.
        generator: on the device of ``ids`` or, for the same batches on every device, on the CPU;
            PyTorch's default one if None.

    Yields:
        ``inputs, targets``, both ``(num_steps, batch_size)``; the targets are one character ahead.

    Raises:
        ValueError: a size is below 1 or the text is too short for one batch.
    """
    _check_batching(ids, batch_size, num_steps)
    last_offset = min(
        num_steps - 1, len(ids) - 1 - batch_size * num_steps
    )  # leaves at least one batch
    windows = (len(ids) - 1 - last_offset) // num_steps
    # Drawn where the generator is, so that one on the CPU serves a text on a GPU too.
    place = ids.device if generator is None else generator.device
    offset = torch.randint(last_offset + 1, (1,), generator=generator, device=place)
    order = torch.randperm(windows, generator=generator, device=place)
    starts = (order * num_steps + offset).to(ids.device)
    steps = torch.arange(num_steps, device=ids.device).unsqueeze(1)
    for batch in starts[: windows // batch_size * batch_size].split(batch_size):
        places = steps + batch
        yield ids[places], ids[places + 1]


def consecutive_batches(
    ids: Tensor, batch_size: int, num_steps: int, offset: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch in reading order: row i of a batch continues row i of the batch before.

    Only here may the hidden state be carried from one batch to the next.

    Args:
        ids: the training text, ``(n,)``, on any device.
        offset: how many characters to leave out at the start, so that epochs differ.

    Yields:
        ``inputs, targets``, both ``(num_steps, batch_size)``; the targets are one character ahead.

    Raises:
        ValueError: a size is below 1, the offset is negative or the text is too short for one batch.
    """
    if not 0 <= offset <= len(ids):
        raise ValueError(
            f"offset is {offset}; expected 0 to {len(ids)} in a text of {len(ids)} characters."
        )
    ids = ids[offset:]
    _check_batching(ids, batch_size, num_steps)
    length = (len(ids) - 1) // batch_size
    inputs = ids[: batch_size * length].view(batch_size, length).t()
    targets = ids[1 : batch_size * length + 1].view(batch_size, length).t()
    for start in range(0, length - num_steps + 1, num_steps):
        yield inputs[start : start + num_steps], targets[start : start + num_steps]
