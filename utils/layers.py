"""Recurrent layers made of recurrent layers; they keep the contract too."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from utils.arguments import require_counts
from utils.contract import (
    State,
    direction_count,
    input_size,
    join_states,
    output_size,
    require_causal,
    require_pair,
    require_stack,
    split_state,
)
from utils.padding import reverse, run_layer

# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


# From chapters/06_deep.ipynb
class DeepRNN(nn.Module):
    """Recurrent layers on top of each other: each reads the outputs of the one below.

    ``layers`` are the lowest first; ``make_layers`` makes them. Dropout acts between
    them, as in PyTorch.
    """

    takes_lengths = True

    def __init__(self, layers: Iterable[nn.Module], dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.num_layers = len(self.layers)
        require_stack(self.layers, dropout)
        bottom, top = self.layers[0], self.layers[-1]
        self.num_inputs = input_size(bottom)
        self.bidirectional = direction_count(top) == 2
        self.num_hiddens = output_size(top) // direction_count(top)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, inputs: Tensor, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Return the top layer's outputs, and the last states of all layers.

        ``inputs`` are ``(num_steps, batch, num_inputs)``; outputs are as wide as those
        of the top layer. A state, or each of its two parts, is ``(num_layers *
        directions, batch, num_hiddens)``; None stands for zeros. ``lengths``: see
        ``run_layer``.
        """
        counts = [direction_count(layer) for layer in self.layers]
        states = split_state(self, state, counts)
        for depth, layer in enumerate(self.layers):
            below = self.dropout(inputs) if depth else inputs
            inputs, states[depth] = run_layer(layer, below, states[depth], lengths)
        return inputs, join_states(states)


# From chapters/06_deep.ipynb
def make_layers(
    make_layer: Callable[[int, int], nn.Module],
    num_inputs: int,
    num_hiddens: int,
    num_layers: int,
) -> list[nn.Module]:
    """Return layers that fit on top of each other.

    Each is ``make_layer(num_inputs, num_hiddens)``. Raises ValueError for less than 1.
    """
    require_counts(num_layers=num_layers)
    layers = []
    for _ in range(num_layers):
        layers.append(make_layer(num_inputs, num_hiddens))
        num_inputs = output_size(layers[-1])  # what the next one reads
    return layers


# From chapters/06_deep.ipynb
class Embedded(nn.Module):
    """A recurrent layer that reads one-hot characters through an embedding."""

    def __init__(self, rnn: nn.Module, vocab_size: int) -> None:
        super().__init__()
        require_causal(rnn)
        self.num_inputs, self.num_hiddens = vocab_size, output_size(rnn)
        self.rnn = rnn
        self.W_e = nn.Parameter(torch.randn(vocab_size, input_size(rnn)))

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Return the layer's results for ``inputs (num_steps, batch, vocab_size)``."""
        # The product picks a row of W_e for each character.
        return self.rnn(inputs @ self.W_e, state)


# From chapters/06_deep.ipynb
class Residual(nn.Module):
    """A recurrent layer that adds its inputs to its outputs, if both have one width.

    He et al. (2016); between LSTM layers Wu et al. (2016).
    """

    takes_lengths = True

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        require_causal(layer)
        self.num_inputs, self.num_hiddens = input_size(layer), output_size(layer)
        self.layer = layer

    def forward(
        self, inputs: Tensor, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Return what the layer returns, its inputs added."""
        outputs, state = run_layer(self.layer, inputs, state, lengths)
        return (outputs + inputs if inputs.shape == outputs.shape else outputs), state


class Normalized(nn.Module):
    """A recurrent layer whose outputs are normalized at each step (Ba et al., 2016)."""

    takes_lengths = True

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        require_causal(layer)
        self.num_inputs, self.num_hiddens = input_size(layer), output_size(layer)
        self.layer, self.norm = layer, nn.LayerNorm(self.num_hiddens)

    def forward(
        self, inputs: Tensor, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Return what the layer returns, normalized."""
        outputs, state = run_layer(self.layer, inputs, state, lengths)
        return self.norm(outputs), state


# From chapters/07_bidirectional.ipynb
class Reversed(nn.Module):
    """A recurrent layer that reads from right to left; outputs stay at their places."""

    takes_lengths = right_to_left = True

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        require_causal(layer)
        self.num_inputs, self.num_hiddens = input_size(layer), output_size(layer)
        self.layer = layer

    def forward(
        self, inputs: Tensor, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Return what the layer returns, in its shapes."""
        flipped = reverse(inputs, lengths)
        outputs, state = run_layer(self.layer, flipped, state, lengths)
        return reverse(outputs, lengths), state


# From chapters/07_bidirectional.ipynb
class Bidirectional(nn.Module):
    """Two layers that read the same inputs in opposite directions.

    Both read from left to right when they are given; the second is then reversed.
    Schuster and Paliwal (1997).
    """

    takes_lengths = bidirectional = True

    def __init__(self, rightward: nn.Module, leftward: nn.Module) -> None:
        super().__init__()
        require_pair(rightward, leftward)
        self.num_inputs = input_size(rightward)
        self.num_hiddens = output_size(rightward)
        self.rightward, self.leftward = rightward, Reversed(leftward)

    def forward(
        self, inputs: Tensor, state: State = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Return outputs ``(num_steps, batch, 2 * num_hiddens)`` and both last states.

        ``inputs`` are ``(num_steps, batch, num_inputs)``. A state, or each of its two
        parts, is ``(2, batch, num_hiddens)``; None stands for zeros.
        """
        right, left = split_state(self, state, [1, 1])
        outputs, right = run_layer(self.rightward, inputs, right, lengths)
        flipped, left = run_layer(self.leftward, inputs, left, lengths)
        return torch.cat([outputs, flipped], dim=-1), join_states([right, left])
