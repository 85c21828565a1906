import random

import numpy as np
import pytest
import torch

from utils.device import get_device, set_seed


@pytest.fixture
def machine(monkeypatch):
    """A function that sets which accelerators there are, and UNROLLED_DEVICE."""

    def configure(*, cuda=False, mps=False, wanted=""):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setenv("UNROLLED_DEVICE", wanted)

    return configure


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(1, 1, "cuda"), (1, 0, "cuda"), (0, 1, "mps"), (0, 0, "cpu")],
)
def test_cuda_is_preferred_to_mps_and_mps_to_the_cpu(machine, cuda, mps, expected):
    machine(cuda=cuda, mps=mps)
    assert get_device() == torch.device(expected)


@pytest.mark.parametrize("wanted", ["cpu", " CPU "])
def test_the_environment_variable_overrides_the_choice(machine, wanted):
    machine(cuda=True, wanted=wanted)
    assert get_device() == torch.device("cpu")


def test_an_unset_environment_variable_leaves_the_choice(machine, monkeypatch):
    machine(cuda=True)
    monkeypatch.delenv("UNROLLED_DEVICE")
    assert get_device() == torch.device("cuda")


@pytest.mark.parametrize("wanted", ["cuda", "mps"])
def test_a_device_that_the_machine_lacks_is_refused(machine, wanted):
    machine(wanted=wanted)
    message = f"UNROLLED_DEVICE is '{wanted}', but.*no such device"
    with pytest.raises(RuntimeError, match=message):
        get_device()


def test_an_unknown_device_is_refused_and_the_known_ones_are_named(machine):
    machine(wanted="tpu")
    with pytest.raises(ValueError, match="'tpu'; expected one of cuda, mps, cpu"):
        get_device()


def test_a_seed_repeats_all_three_generators():
    def draw():
        set_seed(7)
        return random.random(), np.random.rand(), torch.rand(1).item()

    assert draw() == draw()


def test_another_seed_gives_other_numbers():
    set_seed(7)
    first = random.random(), np.random.rand(), torch.rand(1).item()
    set_seed(8)
    second = random.random(), np.random.rand(), torch.rand(1).item()
    assert all(a != b for a, b in zip(first, second, strict=True))
