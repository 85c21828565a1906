"""N-gram models: what every network of the course has to beat."""

import math
from collections import Counter, defaultdict

from torch import Tensor

from utils.text import require_text

# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


# From chapters/01_sequences.ipynb
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
        require_text(ids)
        ids = ids.tolist()
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


# From chapters/01_sequences.ipynb
def ngram_perplexity(model: NGramModel, ids: Tensor) -> float:
    """Return the model's perplexity on ``ids (n,)``; the first id is not scored."""
    require_text(ids)
    ids, nll = ids.tolist(), 0.0
    for t in range(1, len(ids)):
        context = ids[max(0, t - model.order + 1) : t]
        nll -= math.log(model.probability(ids[t], context))
    return math.exp(nll / (len(ids) - 1))
