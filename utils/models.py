"""Models of sequences, and the attention in some of them."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.contract import (
    State,
    output_size,
    require_causal,
    require_decoder_state,
    require_layer,
)
from utils.initialization import uniform_parameter
from utils.padding import length_mask, run_layer
from utils.text import require_ids

# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


# From chapters/02_rnn.ipynb
class LanguageModel(nn.Module):
    """Any recurrent layer on one-hot characters and a linear layer for the next one."""

    def __init__(self, rnn: nn.Module, vocab_size: int) -> None:
        super().__init__()
        require_causal(rnn, vocab_size)
        self.rnn, self.vocab_size = rnn, vocab_size
        num_hiddens = output_size(rnn)
        bound = num_hiddens**-0.5
        self.W_hq = uniform_parameter(num_hiddens, vocab_size, bound=bound)
        self.b_q = uniform_parameter(vocab_size, bound=bound)

    def forward(self, ids: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Return the logits ``(num_steps, batch, vocab_size)`` and the layer's state.

        ``ids`` are int64, ``(num_steps, batch)``; the softmax is left to the loss.
        """
        require_ids(ids, self.vocab_size)
        inputs = F.one_hot(ids, self.vocab_size).to(self.W_hq.dtype)
        outputs, state = self.rnn(inputs, state)  # (num_steps, batch, num_hiddens)
        return outputs @ self.W_hq + self.b_q, state


# From chapters/03_bptt.ipynb
class LastStep(nn.Module):
    """A recurrent layer, and a linear layer that reads its last output."""

    def __init__(self, rnn: nn.Module, num_outputs: int = 1) -> None:
        super().__init__()
        require_causal(rnn)
        self.rnn, self.linear = rnn, nn.Linear(output_size(rnn), num_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return ``(batch, num_outputs)`` for ``(num_steps, batch, num_inputs)``."""
        return self.linear(self.rnn(inputs)[0][-1])


# From chapters/07_bidirectional.ipynb
class Tagger(nn.Module):
    """Any recurrent layer on one-hot characters, and a linear layer that labels each.

    The layer may read in one direction or in two.
    """

    def __init__(self, rnn: nn.Module, vocab_size: int, num_labels: int) -> None:
        super().__init__()
        require_layer(rnn, vocab_size)
        self.rnn, self.vocab_size = rnn, vocab_size
        self.linear = nn.Linear(output_size(rnn), num_labels)

    def forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the logits of every label, ``(num_steps, batch, num_labels)``.

        ``ids`` are ``(num_steps, batch)``; ``lengths``, ``(batch,)`` on the CPU, say
        where each row ends: see ``run_layer``.
        """
        require_ids(ids, self.vocab_size)
        inputs = F.one_hot(ids, self.vocab_size).to(self.linear.weight.dtype)
        return self.linear(run_layer(self.rnn, inputs, None, lengths)[0])


# From chapters/08_encoder_decoder.ipynb
class Encoder(nn.Module):
    """An embedding and a GRU of one or more layers (Cho et al., 2014)."""

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        num_hiddens: int,
        num_layers: int = 1,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.rnn = nn.GRU(embedding_size, num_hiddens, num_layers)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the top layer's outputs and the last states of all layers.

        ``ids`` are ``(num_steps, batch)``, ``lengths`` ``(batch,)`` on the CPU.
        Outputs are ``(num_steps, batch, num_hiddens)``, states ``(num_layers, batch,
        num_hiddens)``.
        """
        require_ids(ids, self.embedding.num_embeddings)
        return run_layer(self.rnn, self.embedding(ids), None, lengths)


# From chapters/08_encoder_decoder.ipynb
class Decoder(nn.Module):
    """A GRU that writes, and knows of the source only its first state.

    Sutskever et al. (2014), with LSTMs.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        num_hiddens: int,
        num_layers: int = 1,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.rnn = nn.GRU(embedding_size, num_hiddens, num_layers)
        self.linear = nn.Linear(num_hiddens, vocab_size)

    def forward(
        self, ids: Tensor, state: Tensor, memory: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the logits ``(num_steps, batch, vocab_size)`` and the last state.

        ``ids``, ``(num_steps, batch)``, are what was written before each step;
        ``state`` is ``(num_layers, batch, num_hiddens)``. ``memory`` and ``mask`` are
        not used: see ``AttentionDecoder``.
        """
        outputs, state = self.rnn(self.embedding(ids), state)
        return self.linear(outputs), state


# From chapters/08_encoder_decoder.ipynb
class Seq2Seq(nn.Module):
    """An encoder that reads a source, and a decoder that writes a target from it."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def read(
        self, sources: Tensor, lengths: Tensor
    ) -> tuple[Callable[..., tuple[Tensor, Tensor]], Tensor]:
        """Return ``step`` and the decoder's first state for some sources.

        ``step(ids, state)`` is the decoder with these in mind; it returns the logits
        and the next state. ``sources`` are ``(num_steps, batch)``, ``lengths``
        ``(batch,)`` on the CPU.
        """
        memory, state = self.encoder(sources, lengths)
        require_decoder_state(self.decoder.rnn, state, sources.shape[1])
        mask = length_mask(lengths, len(sources)).to(sources.device)
        return partial(self.decoder, memory=memory, mask=mask), state

    def forward(self, sources: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Return the logits ``(num_steps, batch, vocab_size)`` of what follows.

        Each step is given the true ids before it, of ``targets (num_steps, batch)``:
        teacher forcing (Williams and Zipser, 1989).
        """
        require_ids(targets, self.decoder.embedding.num_embeddings)
        step, state = self.read(sources, lengths)
        require_decoder_state(self.decoder.rnn, state, targets.shape[1])
        return step(targets, state)[0]


# From chapters/08_encoder_decoder.ipynb
class AdditiveAttention(nn.Module):
    """Weights over the steps of a memory: how well each fits a query.

    Bahdanau et al. (2015).
    """

    def __init__(self, num_hiddens: int) -> None:
        super().__init__()
        bound = num_hiddens**-0.5
        self.W_q = uniform_parameter(num_hiddens, num_hiddens, bound=bound)
        self.W_k = uniform_parameter(num_hiddens, num_hiddens, bound=bound)
        self.w_v = uniform_parameter(num_hiddens, bound=bound)

    def forward(
        self, query: Tensor, memory: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return context ``(batch, num_hiddens)`` and weights ``(num_steps, batch)``.

        ``query`` is ``(batch, num_hiddens)``, ``memory`` ``(num_steps, batch,
        num_hiddens)``; ``mask (num_steps, batch)`` is True where that is no padding.
        """
        memory = memory.masked_fill(~mask.unsqueeze(-1), 0.0)
        scores = torch.tanh(query @ self.W_q + memory @ self.W_k) @ self.w_v
        weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=0)
        return (weights.unsqueeze(-1) * memory).sum(0), weights


# From chapters/08_encoder_decoder.ipynb
class AttentionDecoder(nn.Module):
    """A GRU that looks at all of the encoder's outputs before each step.

    Bahdanau et al. (2015).
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_size: int,
        num_hiddens: int,
        num_layers: int = 1,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.attention = AdditiveAttention(num_hiddens)
        num_inputs = embedding_size + num_hiddens
        self.rnn = nn.GRU(num_inputs, num_hiddens, num_layers)
        self.linear = nn.Linear(2 * num_hiddens, vocab_size)

    def forward(
        self, ids: Tensor, state: Tensor, memory: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return logits and state as ``Decoder`` does.

        ``memory`` and ``mask`` are those of ``AdditiveAttention``.
        """
        logits = []
        for Y in self.embedding(ids):  # Y: (batch, embedding_size)
            context, _ = self.attention(state[-1], memory, mask)
            outputs, state = self.rnn(torch.cat([Y, context], dim=-1)[None], state)
            logits.append(self.linear(torch.cat([outputs[0], context], dim=-1)))
        return torch.stack(logits), state
