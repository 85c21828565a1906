"""Models of sequences, built on any recurrent layer."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.cells import State, uniform_parameter


def check_layer(rnn: nn.Module, num_inputs: int | None = None) -> int:
    """Return the number of hidden units of ``rnn``, or raise unless a model of ours can use it.

    Raises:
        TypeError: ``rnn`` is no recurrent layer.
        ValueError: it does not read ``num_inputs`` (None: any number), or it is bidirectional,
            batch-first or projected.
    """
    inputs = getattr(rnn, "num_inputs", getattr(rnn, "input_size", None))
    hiddens = getattr(rnn, "num_hiddens", getattr(rnn, "hidden_size", None))
    name = type(rnn).__name__
    if inputs is None or hiddens is None:
        raise TypeError(f"the model got a {name}; expected a recurrent layer.")
    for setting in ("batch_first", "bidirectional", "proj_size"):
        if getattr(rnn, setting, False):
            raise ValueError(
                f"the model got a {name} with {setting}={getattr(rnn, setting)!r}; expected "
                "a layer that reads (num_steps, batch, num_inputs) in one direction."
            )
    if num_inputs is not None and inputs != num_inputs:
        raise ValueError(
            f"the model got a {name} with {inputs} inputs; expected {num_inputs} "
            "(for one-hot characters, the vocabulary's size)."
        )
    return hiddens


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


def check_text(ids: Tensor) -> list[int]:
    """Return ``ids`` as a list, or raise a clear error unless they are one text.

    Raises:
        TypeError: the dtype is not int64.
        ValueError: the shape is not ``(n,)`` with n of at least 2.
    """
    if ids.dtype != torch.int64:
        raise TypeError(
            f"ids have dtype {ids.dtype}; expected torch.int64, as Vocab.encode returns them."
        )
    if ids.dim() != 1 or len(ids) < 2:
        raise ValueError(
            f"ids have shape {tuple(ids.shape)}; expected (n,) with n of at least 2."
        )
    return ids.tolist()


# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


class NGramModel:
    """An interpolated n-gram model with Witten-Bell smoothing (Witten and Bell, 1991).

    Raises ValueError for an order below 1 and for ids that are not one text, ``(n,)``.
    """

    def __init__(self, order: int, vocab_size: int) -> None:
        if order < 1:
            raise ValueError(f"order is {order}; expected 1 (unigram) or more.")
        self.order, self.vocab_size = order, vocab_size
        self.followers = defaultdict(Counter)  # context -> what came next, how often
        self.totals = Counter()  # context -> how often it was seen

    def fit(self, ids: Tensor) -> "NGramModel":
        """Count every n-gram up to the order in ``ids (n,)``; return the model."""
        ids = check_text(ids)
        for t, character in enumerate(ids):
            for length in range(min(self.order, t + 1)):
                context = tuple(ids[t - length : t])
                self.followers[context][character] += 1
                self.totals[context] += 1
        return self

    def probability(self, character: int, context: list[int]) -> float:
        """Return P(character | the last order - 1 ids of ``context``)."""
        p = 1 / self.vocab_size
        for length in range(min(self.order, len(context) + 1)):
            key = tuple(context[len(context) - length :])
            total = self.totals[key]
            if total == 0:
                break
            seen = self.followers[key]
            p = (seen[character] + len(seen) * p) / (total + len(seen))
        return p


def ngram_perplexity(model: NGramModel, ids: Tensor) -> float:
    """Return the model's perplexity on ``ids (n,)``; every id but the first is scored."""
    ids = check_text(ids)
    nll = 0.0
    for t in range(1, len(ids)):
        context = ids[max(0, t - model.order + 1) : t]
        nll -= math.log(model.probability(ids[t], context))
    return math.exp(nll / (len(ids) - 1))


class LanguageModel(nn.Module):
    """Any recurrent layer on one-hot characters, and a linear layer that scores the next.

    ``check_layer`` and ``check_ids`` say what they raise for bad layers and ids.
    """

    def __init__(self, rnn: nn.Module, vocab_size: int) -> None:
        super().__init__()
        self.rnn, self.vocab_size = rnn, vocab_size
        num_hiddens = check_layer(rnn, vocab_size)
        bound = num_hiddens**-0.5
        self.W_hq = uniform_parameter(num_hiddens, vocab_size, bound=bound)
        self.b_q = uniform_parameter(vocab_size, bound=bound)

    def forward(self, ids: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Return the logits ``(num_steps, batch, vocab_size)`` and the layer's state.

        ``ids`` are int64, ``(num_steps, batch)``; the softmax is left to the loss.
        """
        check_ids(ids, self.vocab_size)
        inputs = F.one_hot(ids, self.vocab_size).to(self.W_hq.dtype)
        outputs, state = self.rnn(inputs, state)  # (num_steps, batch, num_hiddens)
        return outputs @ self.W_hq + self.b_q, state


class LastStep(nn.Module):
    """A recurrent layer, and a linear layer that reads its last output.

    ``check_layer`` says what it raises for a layer that it cannot use.
    """

    def __init__(self, rnn: nn.Module, num_outputs: int = 1) -> None:
        super().__init__()
        self.rnn = rnn
        self.linear = nn.Linear(check_layer(rnn), num_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(batch, num_outputs)`` from ``inputs (num_steps, batch, num_inputs)``."""
        return self.linear(self.rnn(inputs)[0][-1])
