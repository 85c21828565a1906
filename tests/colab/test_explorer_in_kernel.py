"""The explorer in a running kernel, with ipywidgets 8 and with Colab's 7.7.1."""

import sys

import pytest

from tests.colab import kernels
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
    prefix, length = explorer.prefix.value, explorer.length.value
    return generate(model, vocab, prefix, length, **settings)

explorer.prefix.value, explorer.length.value = "tide", 30
explorer.temperature.value = 0.0
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
    kernels.start_kernels_with(python, tmp_path / "jupyter", monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    build, drive = kernels.run(tmp_path, BUILD, DRIVE)
    shown = build.outputs[-1].data
    assert WIDGET_VIEW in shown
    assert "explorer-fallback" in shown["text/html"]
    assert kernels.printed(drive).startswith(version)
