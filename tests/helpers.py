"""What several test modules draw with, build and interrupt with."""

import os
import signal

import pytest
import torch
from hypothesis import strategies as st

from utils.dates import TARGET_ALPHABET
from utils.models import AttentionDecoder, Decoder, Encoder, Seq2Seq
from utils.text import Vocab

seeds = st.integers(0, 1000)
decoders = pytest.mark.parametrize("decoder", [Decoder, AttentionDecoder])

# Dates, what they mean, and the vocabularies of both.
PAIRS = [("May 5, 2031", "2031-05-05"), ("5 May", "05-05"), ("31", "2031/2")]
VOCABS = Vocab("".join(source for source, _ in PAIRS)), Vocab(TARGET_ALPHABET)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def build_translator(
    decoder=Decoder, vocabs=VOCABS, num_hiddens=8, num_layers=1, seed=0
):
    """Return the same small model each time."""
    torch.manual_seed(seed)
    sizes = num_hiddens // 2, num_hiddens, num_layers
    encoder = Encoder(len(vocabs[0]), *sizes)
    return Seq2Seq(encoder, decoder(len(vocabs[1]), *sizes))


def same_parameters(one, other):
    """Return whether two models have the same parameters, bit for bit."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def modes_of(model):
    return {module.training for module in model.modules()}


def ctrl_c(value=None):
    """Press Ctrl-C; hand ``value`` on."""
    os.kill(os.getpid(), signal.SIGINT)
    return value
