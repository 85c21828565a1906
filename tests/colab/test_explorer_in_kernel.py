"""The explorer in a running kernel, with ipywidgets 8 and with Colab's 7.7.1."""

import sys

import pytest

from tests import kernels
from tools.notebook import ROOT, WIDGET_VIEW

BUILD = """
import torch
from utils.cells import RNNScratch
from utils.decoding import generate
from utils.explorers import WriteWithYourModel
from utils.models import LanguageModel
from utils.text import Vocab
torch.manual_seed(0)
vocab = Vocab("the tide turns")
model = LanguageModel(RNNScratch(len(vocab), 8), len(vocab))
explorer = WriteWithYourModel(model, vocab, prefix="the ", length=20)
explorer
"""
DRIVE = """
def written(**settings):
    return generate(model, vocab, explorer.prefix.value, explorer.length.value, **settings)

explorer.prefix.value, explorer.length.value, explorer.temperature.value = "tide", 30, 0.0
assert written(temperature=0.0) in explorer.text.value
explorer.temperature.value = 1.5
assert written(temperature=1.5, seed=0) in explorer.text.value
explorer.again.click()
assert written(temperature=1.5, seed=1) in explorer.text.value
explorer.prefix.value = "Ω"
assert "never seen" in explorer.text.value
explorer.prefix.value = "tide"
assert "never seen" not in explorer.text.value
import ipywidgets
print(ipywidgets.__version__)
"""


@pytest.mark.parametrize(
    ("python", "version"),
    [
        (sys.executable, "8."),
        (kernels.COLAB_PYTHON, kernels.colab_versions()["ipywidgets"]),
    ],
)
def test_it_answers_in_a_running_kernel(tmp_path, monkeypatch, python, version):
    home = kernels.kernel_home(tmp_path / "jupyter", python)
    monkeypatch.setenv("JUPYTER_PATH", str(home))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = kernels.execute(kernels.notebook_of(BUILD, DRIVE), tmp_path)
    shown = done.cells[0].outputs[-1].data
    assert WIDGET_VIEW in shown
    assert "explorer-fallback" in shown["text/html"]
    assert kernels.printed(done.cells[1]).startswith(version)
