"""Models of sequences, built on any recurrent layer."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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


# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


class LanguageModel(nn.Module):
    """A recurrent layer that reads one-hot characters, and a linear layer that scores the next one."""

    def __init__(self, rnn: nn.Module, vocab_size: int) -> None:
        super().__init__()
        self.rnn, self.vocab_size = rnn, vocab_size
        num_hiddens = (
            rnn.hidden_size if hasattr(rnn, "hidden_size") else rnn.num_hiddens
        )
        bound = num_hiddens**-0.5
        self.W_hq = nn.Parameter(
            torch.empty(num_hiddens, vocab_size).uniform_(-bound, bound)
        )
        self.b_q = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, ids, state=None):  # ids: (num_steps, batch)
        check_ids(ids, self.vocab_size)
        inputs = F.one_hot(ids, self.vocab_size).to(
            self.W_hq.dtype
        )  # (num_steps, batch, vocab_size)
        outputs, state = self.rnn(inputs, state)  # (num_steps, batch, num_hiddens)
        return outputs @ self.W_hq + self.b_q, state  # (num_steps, batch, vocab_size)


class NGramModel:
    """An interpolated n-gram model with Witten-Bell smoothing (Witten and Bell, 1991)."""

    def __init__(self, order: int, vocab_size: int) -> None:
        self.order, self.vocab_size = order, vocab_size
        self.counts = [
            defaultdict(Counter) for _ in range(order)
        ]  # [n][context of n ids][next id]
        self.totals = [Counter() for _ in range(order)]

    def fit(self, ids: Tensor) -> NGramModel:
        ids = ids.tolist()
        for t, character in enumerate(ids):
            for n in range(min(self.order, t + 1)):
                context = tuple(ids[t - n : t])
                self.counts[n][context][character] += 1
                self.totals[n][context] += 1
        return self

    def probability(self, character, context):
        p = 1 / self.vocab_size
        for n in range(min(self.order, len(context) + 1)):
            key = tuple(context[len(context) - n :])
            total = self.totals[n][key]
            if total == 0:
                break
            seen = self.counts[n][key]
            p = (seen[character] + len(seen) * p) / (total + len(seen))
        return p

    def perplexity(self, ids):
        ids = ids.tolist()
        nll = 0.0
        for t in range(1, len(ids)):
            nll -= math.log(
                self.probability(ids[t], ids[max(0, t - self.order + 1) : t])
            )
        return math.exp(nll / (len(ids) - 1))
