"""Writing with a trained language model."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

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
