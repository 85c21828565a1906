"""What several test modules share: a text, models, a short run, a full disk."""

import contextlib
import itertools
from pathlib import Path

import hypothesis
import matplotlib
import pytest
import torch
from torch import nn

from utils.cells import GRUScratch, LSTMScratch, RNNScratch
from utils.corpora import load_text
from utils.models import LanguageModel
from utils.text import Vocab, consecutive_batches, normalize
from utils.training import adamw_one_cycle, language_model_loss, train

matplotlib.use("Agg")
torch.set_num_threads(1)  # the models are tiny: more threads only wait for each other
hypothesis.settings.register_profile(
    "course", max_examples=40, deadline=None, derandomize=True, database=None
)
hypothesis.settings.load_profile("course")

LAYERS = {
    "RNNScratch": RNNScratch,
    "GRUScratch": GRUScratch,
    "LSTMScratch": LSTMScratch,
    "nn.RNN": nn.RNN,
    "nn.GRU": nn.GRU,
    "nn.LSTM": nn.LSTM,
}


def pytest_collection_modifyitems(items):
    """Skip ``cuda`` without a CUDA GPU."""
    for item in items:
        if item.get_closest_marker("cuda") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU"))


@pytest.fixture(scope="session")
def tide_clock():
    """The embedded English text, normalized."""
    return normalize(load_text("the_tide_clock"))


@pytest.fixture(scope="session")
def vocab(tide_clock):
    return Vocab(tide_clock)


@pytest.fixture(scope="session")
def ids(tide_clock, vocab):
    """The ids of 150 characters: 4 batches of 4 rows and 8 steps."""
    return vocab.encode(tide_clock[:150])


@pytest.fixture(scope="session", params=LAYERS)
def any_layer(request):
    """Each recurrent layer that the course trains, ours and PyTorch's."""
    return LAYERS[request.param]


@pytest.fixture(scope="session")
def make_model(vocab):
    """A function that builds the same small language model each time."""

    def make(layer=RNNScratch, num_hiddens=8):
        torch.manual_seed(0)
        return LanguageModel(layer(len(vocab), num_hiddens), len(vocab))

    return make


@pytest.fixture(scope="session")
def fit(ids):
    """A function that trains a model for 12 updates, which are three epochs."""

    def fit(model, *, updates=12, optimizer=None, **settings):
        if optimizer is None:
            optimizer, settings["scheduler"] = adamw_one_cycle(model, 0.01, updates)
        batches = settings.pop("batches", lambda _: consecutive_batches(ids, 4, 8))
        return train(model, optimizer, batches, updates=updates, **settings)

    return fit


@pytest.fixture(scope="session")
def loss_at():
    """A function that makes a loss; value number ``step`` goes through ``change``."""

    def make(step, change, usual=language_model_loss):
        calls = itertools.count(1)

        def loss(model, batch, state):
            value, state = usual(model, batch, state)
            return (change(value) if next(calls) == step else value), state

        return loss

    return make


@pytest.fixture
def small_disk():
    """A context in which no file can grow beyond 100 bytes: more is an OSError."""
    resource = pytest.importorskip("resource")

    @contextlib.contextmanager
    def limit():
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit


@pytest.fixture(scope="session")
def files_in():
    """A function that names all files below a folder, hidden ones too."""

    def names(folder):
        return sorted(path.name for path in Path(folder).rglob("*") if path.is_file())

    return names
