"""Synthetic data whose best attainable score is known."""

from __future__ import annotations

import torch
from torch import Tensor


class MarkovSource:
    """A random source of symbols in which the next one depends on the last ``order`` ones only.

    Each of the ``num_symbols ** order`` contexts gets a distribution over the next symbol, drawn from a
    Dirichlet distribution; a small ``concentration`` makes the source predictable. Its entropy rate
    (Shannon, 1948, section 7) is a floor: no model of any kind has a lower expected loss.

    Raises:
        ValueError: fewer than two symbols, an order below 1 or a concentration that is not positive.
    """

    def __init__(
        self,
        num_symbols: int = 8,
        order: int = 2,
        concentration: float = 0.3,
        seed: int = 0,
    ) -> None:
        if num_symbols < 2 or order < 1:
            raise ValueError(
                f"num_symbols is {num_symbols} and order is {order}; expected at least 2 symbols and order 1."
            )
        if num_symbols**order > 4096:
            raise ValueError(
                f"{num_symbols} symbols and order {order} make {num_symbols**order} contexts; "
                "expected at most 4096. Use fewer symbols or a lower order."
            )
        if not concentration > 0:
            raise ValueError(
                f"concentration is {concentration}; expected a positive number such as 0.3."
            )
        self.num_symbols = num_symbols
        self.order = order
        generator = torch.Generator().manual_seed(seed)
        rates = torch.full(
            (num_symbols**order, num_symbols), concentration, dtype=torch.float64
        )
        draws = torch._standard_gamma(rates, generator=generator).clamp_min(1e-12)
        self.transitions = draws / draws.sum(
            1, keepdim=True
        )  # (contexts, num_symbols), rows sum to 1

    def stationary(self) -> Tensor:
        """Return the long-run share of each context, ``(num_symbols ** order,)``.

        By the elimination of Grassmann, Taksar and Heyman (1985), which subtracts nothing and
        so stays exact for sources that leave some contexts almost never.
        """
        k, contexts = self.num_symbols, len(self.transitions)
        chain = torch.zeros(contexts, contexts, dtype=torch.float64)
        for context in range(contexts):
            # The next context drops the oldest symbol and appends the new one.
            first = context * k % contexts
            chain[context, first : first + k] = self.transitions[context]
        for n in range(contexts - 1, 0, -1):
            chain[:n, n] /= chain[n, :n].sum()
            chain[:n, :n] += torch.outer(chain[:n, n], chain[n, :n])
        share = torch.ones(contexts, dtype=torch.float64)
        for n in range(1, contexts):
            share[n] = share[:n] @ chain[:n, n]
        return share / share.sum()

    def entropy_rate(self) -> float:
        """Return the entropy rate in nats a symbol: the mean entropy of the rows, weighted by their share."""
        row_entropy = -(self.transitions * self.transitions.log()).sum(1)
        return float(self.stationary() @ row_entropy)

    def sample(self, length: int, seed: int = 0) -> Tensor:
        """Return ``length`` symbols, an int64 tensor ``(length,)`` with values below ``num_symbols``.

        Raises:
            ValueError: ``length`` is below 1.
        """
        if length < 1:
            raise ValueError(
                f"length is {length}; expected a whole number of at least 1."
            )
        generator = torch.Generator().manual_seed(seed)
        draws = torch.rand(
            length + 100, generator=generator, dtype=torch.float64
        ).tolist()
        cumulative = self.transitions.cumsum(1)[:, :-1].contiguous().tolist()
        contexts, context, symbols = len(cumulative), 0, []
        for draw in draws:
            symbol = sum(draw >= bound for bound in cumulative[context])
            symbols.append(symbol)
            context = (context * self.num_symbols + symbol) % contexts
        return torch.tensor(
            symbols[100:]
        )  # the first 100 forget the fixed starting context
