"""Where the computation runs, and how it is seeded."""

import os
import random

import numpy as np
import torch

# The best one first, and how to ask whether it is there.
DEVICES = {
    "cuda": lambda: torch.cuda.is_available(),
    "mps": lambda: torch.backends.mps.is_available(),
    "cpu": lambda: True,
}


def get_device() -> torch.device:
    """Return the device to compute on: CUDA, else Apple's MPS, else the CPU.

    The environment variable ``UNROLLED_DEVICE`` (``cuda``, ``mps`` or ``cpu``) decides
    instead, if it is set.

    Raises:
        ValueError: ``UNROLLED_DEVICE`` names no device that the course knows.
        RuntimeError: ``UNROLLED_DEVICE`` names a device that this machine lacks.
    """
    wanted = os.environ.get("UNROLLED_DEVICE", "").strip().lower()
    if not wanted:
        return torch.device(
            next(name for name, is_there in DEVICES.items() if is_there())
        )
    if wanted not in DEVICES:
        raise ValueError(
            f"UNROLLED_DEVICE is {wanted!r}; expected one of {', '.join(DEVICES)}. "
            "Set it to one of these, or unset it to let the course choose."
        )
    if not DEVICES[wanted]():
        raise RuntimeError(
            f"UNROLLED_DEVICE is {wanted!r}, but PyTorch finds no such device on this "
            "machine. Unset UNROLLED_DEVICE, or set it to 'cpu'; on Colab choose "
            "Runtime > Change runtime type > GPU."
        )
    return torch.device(wanted)


def set_seed(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's generators (all devices) with ``seed``."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
