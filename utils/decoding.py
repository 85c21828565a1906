"""Writing with a trained model: drawing, searching, and whether it came out right."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from utils.arguments import require_counts
from utils.contract import State, map_state, state_parts
from utils.dates import END, START, encode_pairs
from utils.text import Vocab
from utils.training import evaluating


def choose(
    logits: Tensor,
    temperature: float = 0.0,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose one id for each row of ``logits (batch, vocab_size)``; int64 ``(batch,)``.

    Args:
        temperature: 0 takes the most likely id (greedy); above 0, and finite, draws
            from softmax(logits / temperature).
        top_k: draw among the ``top_k`` most likely ids only; 1 .. vocab_size.
        generator: on the device of ``logits``.

    Called for each character, it checks nothing: ``generate`` does.
    """
    if temperature == 0:
        return logits.argmax(-1)
    if top_k is not None:
        # A stable sort settles ties as argmax does, for the first.
        scores, candidates = logits.sort(stable=True, dim=-1, descending=True)
        drawn = choose(scores[:, :top_k], temperature, generator=generator)
        return candidates.gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
    # The maximum goes to 0 first, so that no temperature overflows.
    scores = (logits - logits.max(-1, keepdim=True).values) / max(temperature, 1e-30)
    # What torch.multinomial draws, without its look at the values: that would wait for
    # the device. The first of several exponential clocks rings with these odds.
    odds = scores.softmax(-1)
    clocks = torch.empty_like(odds).exponential_(generator=generator)
    return (odds / clocks).argmax(-1)


def select_rows(state: Tensor | tuple[Tensor, ...], rows: Tensor) -> State:
    """Return a state of other sequences: ``rows (n,)`` of its batch, dimension 1."""
    return map_state(lambda part: part.index_select(1, rows), state)


def require_beam(beam_width: int, vocab_size: int) -> None:
    """Raise a ValueError if a beam is wider than the vocabulary."""
    if beam_width > vocab_size:
        raise ValueError(
            f"beam_width is {beam_width}; expected 1 to {vocab_size}, the vocabulary's "
            "size."
        )


def require_scores(usable: Tensor) -> None:
    """Raise a ValueError unless ``usable``, bool of any shape, is True everywhere.

    It says of logits whether they can be chosen from: ``amax(-1).isfinite()``. This
    waits for the device.
    """
    if not usable.all():
        raise ValueError(
            "the model's scores are NaN or infinite, or leave nothing to choose; "
            "expected a finite best score at each step. Has its training diverged?"
        )


def _require_sampling(temperature: float, top_k: int | None, vocab_size: int) -> None:
    if not 0 <= temperature < math.inf:
        raise ValueError(
            f"temperature is {temperature}; expected 0 (always the most likely "
            "character) or more (1: as the model says)."
        )
    if top_k is not None and not 1 <= top_k <= vocab_size:
        raise ValueError(
            f"top_k is {top_k}; expected 1 to {vocab_size}, the vocabulary's size, or "
            "None for all."
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

    The model first reads the prefix (warm-up), then its own choices. ``<unk>`` is never
    chosen. The same seed gives the same text on the same device. A GPU is waited for
    once, at the end.

    Raises:
        ValueError: an empty prefix, characters outside the vocabulary, ``num_chars`` or
            ``temperature`` below 0, ``top_k`` outside 1 .. vocabulary size, or scores
            that are no numbers.
    """
    if not prefix:
        raise ValueError(
            "the prefix is empty; expected at least one character to start from."
        )
    if unknown := vocab.unknown(prefix):
        known = "".join(vocab.tokens[1:31])
        raise ValueError(
            f"the prefix {prefix!r} has characters that the model has never seen: "
            f"{' '.join(map(repr, unknown))}. Expected characters of its vocabulary, "
            f"such as {known!r}; normalize() the prefix?"
        )
    require_counts(0, num_chars=num_chars)
    _require_sampling(temperature, top_k, len(vocab))
    if num_chars == 0:
        return prefix
    device = next(model.parameters()).device
    generator = torch.Generator(device=device).manual_seed(seed)
    ids, state = vocab.encode(prefix).to(device).unsqueeze(1), None
    chosen, usable = [], []
    with evaluating(model):
        for _ in range(num_chars):
            logits, state = model(ids, state)
            last = logits[-1]
            last[:, 0] = -torch.inf  # <unk>
            usable.append(last.amax(-1).isfinite())
            ids = choose(last, temperature, top_k, generator).unsqueeze(0)
            chosen.append(ids)
    require_scores(torch.cat(usable))
    return prefix + vocab.decode(torch.cat(chosen).flatten())


# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


# From chapters/08_encoder_decoder.ipynb
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
    """Write a target for each source, always the likeliest id (greedy).

    ``sources`` are ``(num_steps, batch)``, ``lengths`` ``(batch,)`` on the CPU. The
    model is put into eval mode meanwhile. A GPU is waited for once, at the end.

    Returns:
        ``ids``, int64 ``(max_steps, batch)``, with ``end`` from where a target has
        ended, and ``finished``, bool ``(batch,)``: False for one that had not ended
        after ``max_steps``.

    Raises:
        ValueError: ``max_steps`` is below 1, or scores are no numbers.
    """
    require_counts(max_steps=max_steps)
    with evaluating(model):
        step, state = model.read(sources, lengths)
        ids = torch.full_like(sources[:1], start)
        finished, chosen, usable = torch.zeros_like(ids[0], dtype=torch.bool), [], []
        for _ in range(max_steps):
            logits, state = step(ids, state)
            usable.append(logits[-1].amax(-1).isfinite())
            ids = choose(logits[-1]).masked_fill(finished, end).unsqueeze(0)
            finished = finished | (ids[0] == end)
            chosen.append(ids)
    require_scores(torch.cat(usable))
    return torch.cat(chosen), finished


# From chapters/08_encoder_decoder.ipynb
def exact_match(
    model: nn.Module,
    pairs: list[tuple[str, str]],
    source_vocab: Vocab,
    target_vocab: Vocab,
) -> Tensor:
    """Return for each of ``pairs`` whether greedy decoding writes it right, bool."""
    device = next(model.parameters()).device
    sources, lengths, targets = encode_pairs(pairs, source_vocab, target_vocab, device)
    start, end = target_vocab.encode(START + END).tolist()
    expected = targets[1:].masked_fill(targets[1:] == 0, end)
    written, finished = translate(
        model, sources, lengths, start=start, end=end, max_steps=len(expected)
    )
    return ((written == expected).all(0) & finished).cpu()


# From chapters/08_encoder_decoder.ipynb
class Hypothesis(NamedTuple):
    """A text that beam search has found.

    It has its ids and its log-probability in nats, and says whether it has ended.
    """

    ids: list[int]
    log_prob: float
    finished: bool

    def score(self, length_penalty: float) -> float:
        """Return the log-probability over the length to that power."""
        return self.log_prob / len(self.ids) ** length_penalty


# From chapters/08_encoder_decoder.ipynb
def grow(
    alive: list[Hypothesis], logits: Tensor, end: int | None, count: int
) -> list[tuple[int, Hypothesis]]:
    """Return the ``count`` likeliest texts with one id more than those ``alive``.

    Each comes with its parent's place. ``logits`` are ``(len(alive), vocab_size)``.
    What has probability 0 is left out. ``require_scores`` says what is raised.
    """
    log_probs = logits.log_softmax(dim=-1)
    totals = log_probs + log_probs.new_tensor([[text.log_prob] for text in alive])
    best, places = totals.flatten().topk(min(count, totals.numel()))
    require_scores(~best.isnan())
    grown = []
    for total, place in zip(best.tolist(), places.tolist(), strict=True):
        parent, last = divmod(place, logits.shape[-1])
        text = Hypothesis([*alive[parent].ids, last], total, last == end)
        if total > -math.inf:
            grown.append((parent, text))
    return grown


# From chapters/08_encoder_decoder.ipynb
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
    """Return at most ``beam_width`` texts, the best first, those not ended last.

    ``step(ids, state)`` returns logits ``(1, beams, vocab_size)`` and the next state,
    as a language model in eval mode does, and what ``Seq2Seq.read`` returns. ``state``
    is that of one text. No text has more than ``max_steps`` ids; ``end`` is the last of
    one that has ended, None: none does. A ``length_penalty`` of 0 compares
    log-probabilities, 1 their mean per id. The ``require_...`` functions say what they
    raise.
    """
    require_counts(max_steps=max_steps, beam_width=beam_width)
    ids = torch.tensor([[start]], device=state_parts(state)[0].device)
    alive, ended = [Hypothesis([], 0.0, finished=False)], []
    logits, state = step(ids, state)
    require_beam(beam_width, logits.shape[-1])
    while True:
        grown = grow(alive, logits[-1], end, beam_width - len(ended))
        ended += [text for _, text in grown if text.finished]
        parents = [parent for parent, text in grown if not text.finished]
        alive = [text for _, text in grown if not text.finished]
        if not alive or len(alive[0].ids) == max_steps:
            break
        # Each goes on from the state of the text that it continues.
        state = select_rows(state, torch.tensor(parents, device=ids.device))
        ids = ids.new_tensor([[text.ids[-1] for text in alive]])
        logits, state = step(ids, state)
    found = sorted(ended + alive, key=lambda h: h.score(length_penalty), reverse=True)
    return sorted(found, key=lambda hypothesis: not hypothesis.finished)
