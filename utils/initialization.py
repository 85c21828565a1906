"""How the parameters of a network start."""

import torch
from torch import nn

# ---- Below: exported from the chapters by `make notebooks`. Edit there, not here. ----


# From chapters/02_rnn.ipynb
def uniform_parameter(*shape: int, bound: float) -> nn.Parameter:
    """Return a parameter of ``shape`` drawn uniformly from -bound .. bound."""
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
