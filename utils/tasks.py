"""Tasks: synthetic ones whose best score is known, and those made from a text."""

import math
import re
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from utils.arguments import require_counts, require_shares

# Copy memory: so many symbols of so many kinds (Hochreiter and Schmidhuber, 1997;
# Arjovsky et al., 2016).
COPY_LENGTH, COPY_SYMBOLS = 10, 8
COPY_VOCAB_SIZE = COPY_SYMBOLS + 2  # the blank, 0, and the signal to begin, 9


class MarkovSource:
    """A random source of symbols: the next depends on the last ``order`` ones only.

    Each of the ``num_symbols ** order`` contexts gets a distribution over the next
    symbol, drawn from a Dirichlet distribution; a small ``concentration`` makes the
    source predictable. Its entropy rate (Shannon, 1948, section 7) is a floor: no model
    of any kind has a lower expected loss.

    Raises:
        ValueError: fewer than two symbols, an order below 1 or a concentration that is
            not positive.
    """

    def __init__(
        self,
        num_symbols: int = 8,
        order: int = 2,
        concentration: float = 0.3,
        seed: int = 0,
    ) -> None:
        require_counts(2, num_symbols=num_symbols)
        require_counts(order=order)
        if num_symbols**order > 4096:
            raise ValueError(
                f"{num_symbols} symbols and order {order} make {num_symbols**order} "
                "contexts; expected at most 4096. Use fewer symbols or a lower order."
            )
        if not concentration > 0:
            raise ValueError(
                f"concentration is {concentration}; expected a positive number such as "
                "0.3."
            )
        self.num_symbols = num_symbols
        self.order = order
        generator = torch.Generator().manual_seed(seed)
        shape = (num_symbols**order, num_symbols)
        rates = torch.full(shape, concentration, dtype=torch.float64)
        draws = torch._standard_gamma(rates, generator=generator).clamp_min(1e-12)
        # (contexts, num_symbols), rows sum to 1
        self.transitions = draws / draws.sum(1, keepdim=True)

    def stationary(self) -> Tensor:
        """Return the long-run share of each context, ``(num_symbols ** order,)``.

        By the elimination of Grassmann, Taksar and Heyman (1985), which subtracts
        nothing and so stays exact for sources that leave some contexts almost never.
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
        """Return the entropy rate, nats a symbol: the rows' mean, by their share."""
        row_entropy = -(self.transitions * self.transitions.log()).sum(1)
        return float(self.stationary() @ row_entropy)

    def sample(self, length: int, seed: int = 0) -> Tensor:
        """Return ``length`` symbols, int64 ``(length,)``, all below ``num_symbols``.

        Raises:
            ValueError: ``length`` is below 1.
        """
        require_counts(length=length)
        generator = torch.Generator().manual_seed(seed)
        # The first 100 forget the fixed starting context.
        draws = torch.rand(length + 100, generator=generator, dtype=torch.float64)
        cumulative = self.transitions.cumsum(1)[:, :-1].contiguous().tolist()
        contexts, context, symbols = len(cumulative), 0, []
        for draw in draws.tolist():
            symbol = sum(draw >= bound for bound in cumulative[context])
            symbols.append(symbol)
            context = (context * self.num_symbols + symbol) % contexts
        return torch.tensor(symbols[100:])


def adding_problem(
    batch_size: int, num_steps: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return a batch of the adding problem (Hochreiter and Schmidhuber, 1997).

    Each step holds a number drawn from 0 .. 1 and a mark. Two steps are marked, one in
    each half of the sequence, and the target is the sum of their numbers.

    Returns:
        ``inputs (num_steps, batch_size, 2)``, number and mark, and
        ``targets (batch_size, 1)``.

    Raises:
        ValueError: ``batch_size`` is below 1, or ``num_steps`` below 2, the marks.
    """
    require_counts(batch_size=batch_size)
    require_counts(2, num_steps=num_steps)
    shape, half = (num_steps, batch_size), num_steps // 2
    numbers, marks = torch.rand(shape, generator=generator), torch.zeros(shape)
    first = torch.randint(half, (1, batch_size), generator=generator)
    second = torch.randint(half, num_steps, (1, batch_size), generator=generator)
    marks.scatter_(0, torch.cat([first, second]), 1.0)
    return torch.stack([numbers, marks], dim=2), (numbers * marks).sum(0).unsqueeze(1)


def adding_problem_baseline() -> float:
    """Return the mean squared error of always answering 1: the variance, 2 / 12."""
    return 2 / 12


def copy_memory(
    batch_size: int, delay: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return a batch of the copy memory task, as in Arjovsky et al. (2016).

    Ten symbols out of eight come first, then blanks (id 0) for ``delay`` steps, the
    last of which is the signal (id 9) to write the ten symbols down again. Until then
    the targets are blanks.

    Returns:
        ``inputs, targets``, both int64 ``(delay + 20, batch_size)``, below 10.

    Raises:
        ValueError: ``batch_size`` or ``delay`` is below 1.
    """
    require_counts(batch_size=batch_size, delay=delay)
    shape = (COPY_LENGTH, batch_size)
    symbols = torch.randint(1, COPY_SYMBOLS + 1, shape, generator=generator)
    inputs = torch.zeros(delay + 2 * COPY_LENGTH, batch_size, dtype=torch.int64)
    targets = torch.zeros_like(inputs)
    inputs[:COPY_LENGTH], targets[-COPY_LENGTH:] = symbols, symbols
    inputs[-COPY_LENGTH - 1] = COPY_SYMBOLS + 1
    return inputs, targets


def copy_memory_baseline(delay: int) -> float:
    """Return the cross-entropy of the best guess without memory, nats a step.

    It knows the blanks, and finds each of the ten symbols by guessing one of eight:
    10 ln 8 / (delay + 20).

    Raises:
        ValueError: ``delay`` is below 1.
    """
    require_counts(delay=delay)
    return COPY_LENGTH * math.log(COPY_SYMBOLS) / (delay + 2 * COPY_LENGTH)


def fresh_batches(
    task: Callable[..., tuple[Tensor, Tensor]],
    batch_size: int,
    length: int,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Callable[[int], Iterator[tuple[Tensor, Tensor]]]:
    """Return ``batches(epoch)`` for :func:`utils.training.train`: 100 new an epoch.

    Args:
        task: :func:`adding_problem` or :func:`copy_memory`.
        length: the task's number of steps, or its delay.
        seed: another draws other batches; the same one the same, on every device.

    Raises:
        ValueError: a size is below the task's minimum.
    """
    # A bad size is an error here, not in the middle of a run.
    task(batch_size, length, torch.Generator())

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(100_000 * seed + epoch)
        for _ in range(100):
            inputs, targets = task(batch_size, length, generator)
            yield inputs.to(device), targets.to(device)

    return batches


def blank_out(
    ids: Tensor, share: float = 0.15, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return ``ids (num_steps, batch)`` with blanks, id 0, and where they are: a cloze.

    The mask is bool, of the shape of ``ids``; ``generator`` is on the CPU, so that
    every device gets the same blanks.

    Raises:
        ValueError: ``share``, the probability of a blank, is not between 0 and 1.
    """
    require_shares(share=share)
    mask = (torch.rand(ids.shape, generator=generator) < share).to(ids.device)
    return ids.masked_fill(mask, 0), mask


def sentences(text: str) -> list[str]:
    """Return the sentences of ``text``, cut after ``.!?`` and at empty lines."""
    pieces = re.split(r"(?<=[.!?])\s+|\n\s*\n", text)
    return [piece.strip() for piece in pieces if piece.strip()]


def word_starts(sentence: str) -> tuple[str, list[int]]:
    """Return ``sentence`` without its spaces, and where its words begin.

    For each character there is a label: 1 if a word began there, else 0.

    Raises:
        ValueError: the sentence has no characters but spaces.
    """
    words = sentence.split()
    if not words:
        raise ValueError(f"the sentence is {sentence!r}; expected at least one word.")
    labels = [int(place == 0) for word in words for place in range(len(word))]
    return "".join(words), labels
