"""What the hidden units of a network know about a text."""

from __future__ import annotations

import torch
from torch import Tensor

# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


def correlations(units: Tensor, values: Tensor) -> Tensor:
    """Return the correlation of each of ``units (n, num_units)`` with ``values (n,)``."""
    stacked = torch.cat([values.unsqueeze(1), units], dim=1)
    return torch.corrcoef(stacked.t())[0, 1:].nan_to_num()  # a constant one has none


def linear_readout(units: Tensor, values: Tensor) -> float:
    """Fit a linear combination of all ``units`` to the first half of ``values``.

    Return its correlation with the second half. The shapes are those of ``correlations``.
    """
    half = len(units) // 2
    A = torch.cat([units, torch.ones(len(units), 1)], dim=1)
    weights = torch.linalg.pinv(A[:half], rtol=1e-5) @ values[:half]
    return correlations((A[half:] @ weights).unsqueeze(1), values[half:]).item()
