"""From a text to batches of character ids."""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from utils.arguments import require_counts, require_shares
from utils.corpora import load_text

Sequence = TypeVar("Sequence", str, Tensor)
JOINERS = "\u200c\u200d"  # stand inside words of Indic and Arabic scripts


def normalize(text: str) -> str:
    """Return ``text`` in lower case, with one space for every run of non-letters.

    What counts as a letter is Unicode's business, so Chinese characters stay. Marks
    that combine with a letter, such as the vowel signs of Hindi, belong to it.
    """
    kept, in_word = [], False
    for c in text.lower():
        combines = c in JOINERS or unicodedata.category(c).startswith("M")
        in_word = c.isalpha() or (in_word and combines)
        kept.append(c if in_word else " ")
    return " ".join("".join(kept).split())


class Vocab:
    """A character vocabulary: id 0 is ``<unk>``, then come those of ``text``, sorted.

    Args:
        text: the text to take the characters from; use the training text only.
        min_freq: characters that occur less often than this become ``<unk>``.

    Raises:
        ValueError: ``text`` is empty or no character occurs ``min_freq`` times.
    """

    UNKNOWN = "<unk>"

    def __init__(self, text: str, min_freq: int = 1) -> None:
        counts = Counter(text)
        kept = sorted(c for c, count in counts.items() if count >= min_freq)
        if not kept:
            raise ValueError(
                f"no character occurs min_freq={min_freq} times in a text of "
                f"{len(text)} characters; expected at least one. Pass a longer text or "
                "a smaller min_freq."
            )
        self.tokens = [self.UNKNOWN, *kept]
        self.ids = {token: index for index, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, character: str) -> bool:
        return character in self.ids

    def encode(self, text: str) -> Tensor:
        """Return the ids of ``text``, int64 ``(len(text),)``; 0 for what is unknown."""
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
                    f"id {value} is not in this vocabulary; "
                    f"expected 0 to {len(self) - 1}."
                )
        return "".join(self.tokens[value] for value in values)

    def unknown(self, text: str) -> list[str]:
        """Return the characters of ``text`` that it lacks, each once, in order."""
        return [c for c in dict.fromkeys(text) if c not in self.ids]


def require_text(ids: Tensor) -> None:
    """Require that ``ids`` are one text, int64 ``(n,)`` with n of at least 2.

    Raises:
        TypeError: the dtype is another one.
        ValueError: the shape is another one.
    """
    _require_int64(ids)
    if ids.dim() != 1 or len(ids) < 2:
        raise ValueError(
            f"ids have shape {tuple(ids.shape)}; expected (n,) with n of at least 2."
        )


def require_ids(ids: Tensor, vocab_size: int) -> None:
    """Require that ``ids`` are character ids, int64 ``(num_steps, batch)``.

    The range is looked at on the CPU only: a GPU would have to be waited for.

    Raises:
        TypeError: the dtype is not int64.
        ValueError: the shape is not ``(num_steps, batch)``, or an id is outside
            ``0 .. vocab_size - 1``.
    """
    _require_int64(ids)
    if ids.dim() != 2 or ids.numel() == 0:
        raise ValueError(
            f"ids have shape {tuple(ids.shape)}; expected (num_steps, batch), neither "
            "of them 0. For one text use ids.unsqueeze(1)."
        )
    if ids.device.type != "cpu":
        return
    low, high = int(ids.min()), int(ids.max())
    if not 0 <= low <= high < vocab_size:
        raise ValueError(
            f"ids range from {low} to {high}; expected 0 to {vocab_size - 1}. Encode "
            "the text with the vocabulary that the model was built for."
        )


def _require_int64(ids: Tensor) -> None:
    if ids.dtype != torch.int64:
        raise TypeError(
            f"ids have dtype {ids.dtype}; expected torch.int64, as Vocab.encode "
            "returns them."
        )


def split(sequence: Sequence, held_out: float = 0.1) -> tuple[Sequence, Sequence]:
    """Cut a text or its ids ``(n,)`` in two: the last part is for validation.

    Raises:
        ValueError: ``held_out``, the size of that part, is not between 0 and 1, or one
            of the parts would be empty.
    """
    require_shares(held_out=held_out)
    cut = len(sequence) - int(len(sequence) * held_out)
    if cut in (0, len(sequence)):
        raise ValueError(
            f"a text of {len(sequence)} characters is too short to hold out "
            f"{held_out:.0%} of it."
        )
    return sequence[:cut], sequence[cut:]


def prepare(
    name_or_path: str | Path, device: torch.device | str = "cpu"
) -> tuple[Vocab, Tensor, Tensor]:
    """Return a normalized text as what a language model is trained and scored on.

    Those are the vocabulary of the first nine tenths, their ids ``(n,)`` and the ids of
    the last tenth, both on ``device``. ``load_text`` and ``split`` say what they raise.
    """
    train, valid = split(normalize(load_text(name_or_path)))
    vocab = Vocab(train)
    return vocab, vocab.encode(train).to(device), vocab.encode(valid).to(device)


def _require_windows(ids: Tensor, batch_size: int, num_steps: int) -> None:
    """Require that the text ``ids`` holds a batch of windows and their targets."""
    require_counts(batch_size=batch_size, num_steps=num_steps)
    if len(ids) < num_steps + 1:
        raise ValueError(
            f"num_steps is {num_steps}, but the text has {len(ids)} characters: "
            f"shorter than one window and its target. Expected num_steps of at most "
            f"{len(ids) - 1}."
        )
    windows = (len(ids) - 1) // num_steps
    if windows < batch_size:
        raise ValueError(
            f"batch_size is {batch_size}, but a text of {len(ids)} characters holds "
            f"only {windows} windows of {num_steps} steps. Expected batch_size of at "
            f"most {windows}, or fewer steps."
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
        generator: on the device of ``ids`` or, for the same batches on every device, on
            the CPU; PyTorch's default one if None.

    Yields:
        ``inputs, targets``, both ``(num_steps, batch_size)``; the targets are one
        character ahead.

    Raises:
        TypeError, ValueError: ``ids`` are no text, as ``require_text`` says; a size is
            below 1 or the text is too short for one batch.
    """
    require_text(ids)
    _require_windows(ids, batch_size, num_steps)
    # Leaves at least one batch.
    last_offset = min(num_steps - 1, len(ids) - 1 - batch_size * num_steps)
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
    """Yield one epoch in reading order: row i of a batch continues row i of the last.

    Only here may the hidden state be carried from one batch to the next.

    Args:
        ids: the training text, ``(n,)``, on any device.
        offset: how many characters to leave out at the start, so that epochs differ.

    Yields:
        ``inputs, targets``, as :func:`random_batches` has them.

    Raises:
        TypeError, ValueError: as there, or the offset is not within the text.
    """
    require_text(ids)
    if not 0 <= offset <= len(ids):
        raise ValueError(
            f"offset is {offset}; expected 0 to {len(ids)} in a text of {len(ids)} "
            "characters."
        )
    ids = ids[offset:]
    _require_windows(ids, batch_size, num_steps)
    length = (len(ids) - 1) // batch_size
    inputs = ids[: batch_size * length].view(batch_size, length).t()
    targets = ids[1 : batch_size * length + 1].view(batch_size, length).t()
    for start in range(0, length - num_steps + 1, num_steps):
        yield inputs[start : start + num_steps], targets[start : start + num_steps]
