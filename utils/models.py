"""Models of sequences, built on any recurrent layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.cells import State, uniform_parameter
from utils.errors import check_counts
from utils.layers import (
    check_decoder_state,
    check_layer,
    check_pair,
    check_parts,
    check_reads,
    check_stack,
    direction_count,
    input_size,
    join_states,
    output_size,
    split_state,
    stacked_gru,
)
from utils.padding import length_mask, reverse, run_layer
from utils.text import check_ids

# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


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


class DeepRNN(nn.Module):
    """Recurrent layers on top of each other: each reads the outputs of the one below.

    ``layers`` are the lowest first; ``make_layers`` makes them. Dropout acts between them, as in
    PyTorch. ``check_stack`` says what is raised for layers that do not fit.
    """

    takes_lengths = True

    def __init__(self, layers: Iterable[nn.Module], dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.num_layers = len(self.layers)
        check_stack(self.layers, dropout)
        bottom, top = self.layers[0], self.layers[-1]
        self.num_inputs, self.bidirectional = (
            input_size(bottom),
            direction_count(top) == 2,
        )
        self.num_hiddens = output_size(top) // direction_count(top)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, inputs: Tensor, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Return the top layer's outputs ``(num_steps, batch, num_outputs)`` and all last states.

        ``inputs`` are ``(num_steps, batch, num_inputs)``. A state, or each of its two parts, is
        ``(num_layers * directions, batch, num_hiddens)``; None stands for zeros. ``lengths``: see
        ``run_layer``, which says what it raises, as does ``split_state``.
        """
        counts = [direction_count(layer) for layer in self.layers]
        states = split_state(self, state, counts)
        for depth, layer in enumerate(self.layers):
            below = self.dropout(inputs) if depth else inputs
            inputs, states[depth] = run_layer(layer, below, states[depth], lengths)
        return inputs, join_states(states)


def make_layers(
    make_layer: Callable[[int, int], nn.Module],
    num_inputs: int,
    num_hiddens: int,
    num_layers: int,
) -> list[nn.Module]:
    """Return layers that fit on top of each other, each one ``make_layer(num_inputs, num_hiddens)``.

    Raises ValueError for less than one layer.
    """
    check_counts(num_layers=num_layers)
    layers = []
    for _ in range(num_layers):
        layers.append(make_layer(num_inputs, num_hiddens))
        num_inputs = output_size(layers[-1])  # what the next one reads
    return layers


class Embedded(nn.Module):
    """A recurrent layer that reads one-hot characters through an embedding.

    ``check_layer`` says what it raises for a layer that it cannot use.
    """

    def __init__(self, rnn: nn.Module, vocab_size: int) -> None:
        super().__init__()
        self.num_inputs, self.num_hiddens = vocab_size, check_layer(rnn)
        self.rnn = rnn
        self.W_e = nn.Parameter(torch.randn(vocab_size, input_size(rnn)))

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Return what the layer returns for ``inputs (num_steps, batch, vocab_size)``."""
        return self.rnn(
            inputs @ self.W_e, state
        )  # picks a row of W_e for each character


class Residual(nn.Module):
    """A recurrent layer that adds its inputs to its outputs, if both have one width.

    He et al. (2016); between LSTM layers Wu et al. (2016).
    """

    takes_lengths = True

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.num_inputs, self.num_hiddens = input_size(layer), check_layer(layer)
        self.layer = layer

    def forward(
        self, inputs: Tensor, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Return what the layer returns, its inputs added; ``run_layer`` says what it raises."""
        outputs, state = run_layer(self.layer, inputs, state, lengths)
        return (outputs + inputs if inputs.shape == outputs.shape else outputs), state


class Normalized(nn.Module):
    """A recurrent layer whose outputs are normalized at each step (Ba et al., 2016)."""

    takes_lengths = True

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.num_inputs, self.num_hiddens = input_size(layer), check_layer(layer)
        self.layer, self.norm = layer, nn.LayerNorm(self.num_hiddens)

    def forward(
        self, inputs: Tensor, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Return what the layer returns, normalized; ``run_layer`` says what it raises."""
        outputs, state = run_layer(self.layer, inputs, state, lengths)
        return self.norm(outputs), state


class Reversed(nn.Module):
    """A recurrent layer that reads from right to left; its outputs stay at their places."""

    takes_lengths = right_to_left = True

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.num_inputs, self.num_hiddens = input_size(layer), check_layer(layer)
        self.layer = layer

    def forward(
        self, inputs: Tensor, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Return what the layer returns, in its shapes; ``run_layer`` says what it raises."""
        flipped = reverse(inputs, lengths)
        outputs, state = run_layer(self.layer, flipped, state, lengths)
        return reverse(outputs, lengths), state


class Bidirectional(nn.Module):
    """Two layers that read the same inputs in opposite directions (Schuster and Paliwal, 1997).

    Both read from left to right when they are given; the second is then reversed. ``check_pair``
    says what is raised for two that do not fit.
    """

    takes_lengths = bidirectional = True

    def __init__(self, rightward: nn.Module, leftward: nn.Module) -> None:
        super().__init__()
        self.num_inputs, self.num_hiddens = check_pair(rightward, leftward)
        self.rightward, self.leftward = rightward, Reversed(leftward)

    def forward(
        self, inputs: Tensor, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Return outputs ``(num_steps, batch, 2 * num_hiddens)`` and the two last states.

        ``inputs`` are ``(num_steps, batch, num_inputs)``. A state, or each of its two parts, is
        ``(2, batch, num_hiddens)``; None stands for zeros. ``run_layer`` and ``split_state`` say
        what they raise.
        """
        right, left = split_state(self, state, [1, 1])
        outputs, right = run_layer(self.rightward, inputs, right, lengths)
        flipped, left = run_layer(self.leftward, inputs, left, lengths)
        return torch.cat([outputs, flipped], dim=-1), join_states([right, left])


class Tagger(nn.Module):
    """Any recurrent layer on one-hot characters, and a linear layer that labels each of them.

    The layer may read in one direction or in two. ``check_reads``, ``check_parts`` and
    ``check_ids`` say what they raise for bad layers and ids.
    """

    def __init__(self, rnn: nn.Module, vocab_size: int, num_labels: int) -> None:
        super().__init__()
        check_reads(rnn, vocab_size)
        check_parts(rnn)
        self.rnn, self.vocab_size = rnn, vocab_size
        self.linear = nn.Linear(output_size(rnn), num_labels)

    def forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return logits ``(num_steps, batch, num_labels)`` for ``ids (num_steps, batch)``.

        ``lengths``, ``(batch,)`` on the CPU: where each row ends; see ``run_layer``.
        """
        check_ids(ids, self.vocab_size)
        inputs = F.one_hot(ids, self.vocab_size).to(self.linear.weight.dtype)
        return self.linear(run_layer(self.rnn, inputs, None, lengths)[0])


class Encoder(nn.Module):
    """An embedding and a GRU of one or more layers, with dropout between them (Cho et al., 2014)."""

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        num_hiddens: int,
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.rnn = stacked_gru(embedding_size, num_hiddens, num_layers, dropout)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs ``(num_steps, batch, num_hiddens)`` and state ``(num_layers, batch, num_hiddens)``.

        ``ids`` are ``(num_steps, batch)``, ``lengths`` ``(batch,)`` on the CPU. ``check_ids`` and
        ``check_lengths`` say what they raise.
        """
        check_ids(ids, self.embedding.num_embeddings)
        return run_layer(self.rnn, self.embedding(ids), None, lengths)


class Decoder(nn.Module):
    """A GRU that writes, and knows of the source only its first state (Sutskever et al., 2014, with LSTMs)."""

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        num_hiddens: int,
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.rnn = stacked_gru(embedding_size, num_hiddens, num_layers, dropout)
        self.linear = nn.Linear(num_hiddens, vocab_size)

    def forward(
        self, ids: Tensor, state: Tensor, memory: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the logits ``(num_steps, batch, vocab_size)`` and the state after the last step.

        ``ids``, ``(num_steps, batch)``, are what was written before each step; ``state`` is
        ``(num_layers, batch, num_hiddens)``. ``memory`` and ``mask`` are not used: see
        ``AttentionDecoder``. ``check_ids`` and ``check_decoder_state`` say what they raise.
        """
        check_ids(ids, self.embedding.num_embeddings)
        check_decoder_state(self.rnn, state, ids.shape[1])
        outputs, state = self.rnn(self.embedding(ids), state)
        return self.linear(outputs), state


class Seq2Seq(nn.Module):
    """An encoder that reads a source, and a decoder that writes a target from what it hands over."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def read(
        self, sources: Tensor, lengths: Tensor
    ) -> tuple[Callable[..., tuple[Tensor, Tensor]], Tensor]:
        """Return ``step`` and the decoder's first state, for ``sources (num_steps, batch)``.

        ``step(ids, state)`` is the decoder with these sources in mind; it returns the logits
        and the next state. ``lengths`` are ``(batch,)``, on the CPU.
        """
        memory, state = self.encoder(sources, lengths)
        mask = length_mask(lengths, len(sources)).to(sources.device)
        return partial(self.decoder, memory=memory, mask=mask), state

    def forward(self, sources: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Return the logits ``(num_steps, batch, vocab_size)`` of what follows each of the ``targets``.

        Each step is given the true ids before it: teacher forcing (Williams and Zipser, 1989).
        """
        step, state = self.read(sources, lengths)
        return step(targets, state)[0]


class AdditiveAttention(nn.Module):
    """Weights over the steps of a memory: how well each fits a query (Bahdanau et al., 2015)."""

    def __init__(self, num_hiddens: int) -> None:
        super().__init__()
        bound = num_hiddens**-0.5
        self.W_q = uniform_parameter(num_hiddens, num_hiddens, bound=bound)
        self.W_k = uniform_parameter(num_hiddens, num_hiddens, bound=bound)
        self.w_v = uniform_parameter(num_hiddens, bound=bound)

    def forward(
        self, query: Tensor, memory: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the context ``(batch, num_hiddens)`` and the weights ``(num_steps, batch)``.

        ``query`` is ``(batch, num_hiddens)``, ``memory`` ``(num_steps, batch, num_hiddens)``;
        ``mask (num_steps, batch)`` is True where the memory is no padding.
        """
        scores = torch.tanh(query @ self.W_q + memory @ self.W_k) @ self.w_v
        weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=0)
        return (weights.unsqueeze(-1) * memory).sum(0), weights


class AttentionDecoder(nn.Module):
    """A GRU that looks at all of the encoder's outputs before each step (Bahdanau et al., 2015)."""

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        num_hiddens: int,
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.attention = AdditiveAttention(num_hiddens)
        num_inputs = embedding_size + num_hiddens
        self.rnn = stacked_gru(num_inputs, num_hiddens, num_layers, dropout)
        self.linear = nn.Linear(2 * num_hiddens, vocab_size)

    def forward(
        self, ids: Tensor, state: Tensor, memory: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return logits and state as ``Decoder`` does; ``memory`` and ``mask`` as in ``AdditiveAttention``."""
        check_ids(ids, self.embedding.num_embeddings)
        check_decoder_state(self.rnn, state, ids.shape[1])
        logits = []
        for Y in self.embedding(ids):  # Y: (batch, embedding_size)
            context, _ = self.attention(state[-1], memory, mask)
            outputs, state = self.rnn(torch.cat([Y, context], dim=-1)[None], state)
            logits.append(self.linear(torch.cat([outputs[0], context], dim=-1)))
        return torch.stack(logits), state
