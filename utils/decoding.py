"""Writing with a trained language model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from utils.cells import State, state_parts
from utils.errors import check_counts
from utils.text import Vocab


def choose(
    logits: Tensor,
    temperature: float = 0.0,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose one id for each row of ``logits (batch, vocab_size)``; return int64 ``(batch,)``.

    Args:
        temperature: 0 takes the most likely id (greedy); above 0 draws from softmax(logits / temperature).
        top_k: draw among the ``top_k`` most likely ids only.
        generator: a generator on the device of ``logits``.

    Raises:
        ValueError: a temperature below 0, or ``top_k`` outside 1 .. vocab_size.
    """
    _check_sampling(temperature, top_k, logits.shape[-1])
    if temperature == 0:
        return logits.argmax(-1)
    if top_k is not None:
        # A stable sort settles ties as argmax does, for the first.
        scores, candidates = logits.sort(stable=True, dim=-1, descending=True)
        drawn = choose(scores[:, :top_k], temperature, generator=generator)
        return candidates.gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
    # The maximum goes to 0 first, so that no temperature overflows.
    scores = (logits - logits.max(-1, keepdim=True).values) / max(temperature, 1e-30)
    return torch.multinomial(scores.softmax(-1), 1, generator=generator).squeeze(1)


def select_rows(state: Tensor | tuple[Tensor, ...], rows: Tensor) -> State:
    """Return a state of other sequences: ``rows (n,)`` of its batch, the second dimension."""
    parts = tuple(part.index_select(1, rows) for part in state_parts(state))
    return parts if isinstance(state, tuple) else parts[0]


def check_beam(beam_width: int, vocab_size: int) -> None:
    """Raise a clear error if a beam is wider than the vocabulary.

    Raises:
        ValueError: it is.
    """
    if beam_width > vocab_size:
        raise ValueError(
            f"beam_width is {beam_width}; expected 1 to {vocab_size}, the vocabulary's size."
        )


def _check_sampling(temperature: float, top_k: int | None, vocab_size: int) -> None:
    if not 0 <= temperature < math.inf:
        raise ValueError(
            f"temperature is {temperature}; expected 0 (always the most likely character) or more (1: as the model says)."
        )
    if top_k is not None and not 1 <= top_k <= vocab_size:
        raise ValueError(
            f"top_k is {top_k}; expected 1 to {vocab_size}, the vocabulary's size, or None for all."
        )


@torch.no_grad()
def generate(
    model: nn.Module,
    vocab: Vocab,
    prefix: str,
    num_chars: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    seed: int = 0,
) -> str:
    """Return ``prefix`` continued by ``num_chars`` characters.

    The model first reads the prefix (warm-up), then its own choices. ``<unk>`` is never chosen. The
    same seed gives the same text on the same device.

    Raises:
        ValueError: an empty prefix, characters outside the vocabulary, ``num_chars`` or ``temperature``
            below 0, or ``top_k`` outside 1 .. vocabulary size.
    """
    if not prefix:
        raise ValueError(
            "the prefix is empty; expected at least one character to start from."
        )
    if unknown := vocab.unknown(prefix):
        raise ValueError(
            f"the prefix {prefix!r} has characters that the model has never seen: {' '.join(map(repr, unknown))}. "
            f"Expected characters of its vocabulary, such as {''.join(vocab.tokens[1:31])!r}; normalize() the prefix?"
        )
    check_counts(0, num_chars=num_chars)
    _check_sampling(temperature, top_k, len(vocab))
    device = next(model.parameters()).device
    generator = torch.Generator(device=device).manual_seed(seed)
    was_training = model.training
    model.eval()
    ids, state, chosen = vocab.encode(prefix).to(device).unsqueeze(1), None, []
    try:
        for _ in range(num_chars):
            logits, state = model(ids, state)
            last = logits[-1]
            last[:, 0] = -torch.inf  # <unk>
            ids = choose(last, temperature, top_k, generator).unsqueeze(0)
            chosen.append(ids)
    finally:
        model.train(was_training)
    return prefix + (vocab.decode(torch.cat(chosen).flatten()) if chosen else "")


# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


@torch.no_grad()
def translate(
    model: nn.Module,
    sources: Tensor,
    lengths: Tensor,
    *,
    start: int,
    end: int,
    max_steps: int,
) -> tuple[Tensor, Tensor]:
    """Write a target for each of the ``sources (num_steps, batch)``, always the likeliest id (greedy).

    The model is put into eval mode meanwhile. ``lengths`` are ``(batch,)``, on the CPU.

    Returns:
        ``ids``, int64 ``(max_steps, batch)``, with ``end`` from where a target has ended, and
        ``finished``, bool ``(batch,)``: False for a target that had not ended after ``max_steps``.

    Raises:
        ValueError: ``max_steps`` is below 1; ``Seq2Seq`` says what it raises.
    """
    check_counts(max_steps=max_steps)
    was_training = model.training
    model.eval()
    try:
        step, state = model.read(sources, lengths)
        ids = torch.full_like(sources[:1], start)
        finished, chosen = torch.zeros_like(ids[0], dtype=torch.bool), []
        for _ in range(max_steps):
            logits, state = step(ids, state)
            ids = choose(logits[-1]).masked_fill(finished, end).unsqueeze(0)
            finished = finished | (ids[0] == end)
            chosen.append(ids)
    finally:
        model.train(was_training)
    return torch.cat(chosen), finished


class Hypothesis(NamedTuple):
    """A text that beam search has found: its ids, its log-probability in nats, and whether it has ended."""

    ids: list[int]
    log_prob: float
    finished: bool

    def score(self, length_penalty: float) -> float:
        """Return the log-probability over the length to the power of ``length_penalty``."""
        return self.log_prob / len(self.ids) ** length_penalty


def grow(
    alive: list[Hypothesis], logits: Tensor, end: int | None, count: int
) -> list[tuple[int, Hypothesis]]:
    """Return the ``count`` likeliest continuations of all texts ``alive`` by one id, each with its parent's place.

    ``logits`` are ``(len(alive), vocab_size)``.
    """
    log_probs = logits.log_softmax(dim=-1)
    totals = log_probs + log_probs.new_tensor([[text.log_prob] for text in alive])
    best, places = totals.flatten().topk(min(count, totals.numel()))
    grown = []
    for total, place in zip(best.tolist(), places.tolist(), strict=True):
        parent, last = divmod(place, logits.shape[-1])
        text = Hypothesis([*alive[parent].ids, last], total, last == end)
        grown.append((parent, text))
    return grown


@torch.no_grad()
def beam_search(
    step: Callable[[Tensor, State], tuple[Tensor, State]],
    state: Tensor | tuple[Tensor, ...],
    *,
    start: int,
    end: int | None,
    beam_width: int = 4,
    max_steps: int = 50,
    length_penalty: float = 1.0,
) -> list[Hypothesis]:
    """Return at most ``beam_width`` texts, the best first, those that have not ended last.

    ``step(ids, state)`` returns logits ``(1, beams, vocab_size)`` and the next state, as a language
    model in eval mode does, and what ``Seq2Seq.read`` returns. ``state`` is that of one text. No text has more
    than ``max_steps`` ids; ``end`` is the last of one that has ended, None: none does.
    A ``length_penalty`` of 0 compares log-probabilities, 1 their mean per id. ``check_counts``
    and ``check_beam`` say what they raise for a bad width or number of steps.
    """
    check_counts(max_steps=max_steps, beam_width=beam_width)
    ids = torch.tensor([[start]], device=state_parts(state)[0].device)
    alive, ended = [Hypothesis([], 0.0, finished=False)], []
    while alive and len(alive[0].ids) < max_steps:
        logits, state = step(ids, state)
        check_beam(beam_width, logits.shape[-1])
        grown = grow(alive, logits[-1], end, beam_width - len(ended))
        ended += [text for _, text in grown if text.finished]
        parents = [parent for parent, text in grown if not text.finished]
        alive = [text for _, text in grown if not text.finished]
        # Each goes on from the state of the text that it continues.
        state = select_rows(state, torch.tensor(parents, dtype=int, device=ids.device))
        ids = ids.new_tensor([[text.ids[-1] for text in alive]])
    return sorted(
        ended + alive, key=lambda h: (h.finished, h.score(length_penalty)), reverse=True
    )
