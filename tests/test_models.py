import pytest
import torch
from torch import nn

from utils.cells import GRUScratch, LSTMScratch, RNNScratch
from utils.models import LanguageModel, LastStep
from utils.text import check_ids

# ---- LanguageModel ----


def test_a_language_model_scores_every_character_of_the_vocabulary(
    make_model, any_layer, ids, vocab
):
    logits, state = make_model(any_layer)(ids.view(50, 3))
    assert logits.shape == (50, 3, len(vocab))
    hidden = state[0] if isinstance(state, tuple) else state
    assert hidden.shape == (1, 3, 8)


def test_a_language_model_reads_on_from_a_state(make_model, any_layer, ids):
    model = make_model(any_layer)
    whole, _ = model(ids[:20].unsqueeze(1))
    first, state = model(ids[:7].unsqueeze(1))
    second, _ = model(ids[7:20].unsqueeze(1), state)
    torch.testing.assert_close(torch.cat([first, second]), whole)


@pytest.mark.parametrize(
    ("kind", "scratch"),
    [(nn.RNN, RNNScratch), (nn.GRU, GRUScratch), (nn.LSTM, LSTMScratch)],
)
def test_a_copied_layer_gives_the_same_language_model(make_model, ids, kind, scratch):
    model = make_model(kind)
    copy = LanguageModel(scratch.from_torch(model.rnn), model.vocab_size)
    copy.W_hq, copy.b_q = model.W_hq, model.b_q
    torch.testing.assert_close(copy(ids.view(50, 3))[0], model(ids.view(50, 3))[0])


@pytest.mark.parametrize("dtype", [torch.int32, torch.float32])
def test_ids_of_the_wrong_dtype_are_refused(make_model, ids, dtype):
    with pytest.raises(TypeError, match=rf"dtype {dtype}; expected torch\.int64"):
        make_model()(ids.view(50, 3).to(dtype))


@pytest.mark.parametrize("shape", [(5,), (0, 3), (5, 0), (5, 3, 1)], ids=str)
def test_ids_of_the_wrong_shape_are_refused(make_model, shape):
    with pytest.raises(ValueError, match=r"ids have shape .*\(num_steps, batch\)"):
        make_model()(torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (0, 5), (7, 9)])
def test_ids_out_of_range_are_refused(low, high):
    with pytest.raises(
        ValueError, match=f"ids range from {low} to {high}; expected 0 to 4"
    ):
        check_ids(torch.tensor([[low, high]]), 5)


def test_ids_on_another_device_than_the_model_are_refused(make_model, ids):
    with pytest.raises(ValueError, match="on device meta; expected cpu"):
        make_model()(ids.view(50, 3).to("meta"))


# ---- LastStep ----


@pytest.mark.parametrize("num_outputs", [1, 3])
def test_the_last_output_alone_is_read(any_layer, num_outputs):
    torch.manual_seed(0)
    model, inputs = LastStep(any_layer(2, 8), num_outputs), torch.randn(7, 5, 2)
    answers = model(inputs)
    assert answers.shape == (5, num_outputs)
    last = model.rnn(inputs)[0][-1]
    expected = last @ model.linear.weight.T + model.linear.bias
    torch.testing.assert_close(answers, expected)


def test_one_number_a_sequence_is_returned_unless_more_are_asked_for():
    assert LastStep(nn.GRU(2, 8))(torch.zeros(7, 5, 2)).shape == (5, 1)


def test_the_gradient_reaches_all_parameters_and_the_first_input(any_layer):
    torch.manual_seed(0)
    model, inputs = LastStep(any_layer(2, 8)), torch.randn(7, 5, 2, requires_grad=True)
    model(inputs).sum().backward()
    assert (inputs.grad[0] != 0).any(dim=1).all()
    assert all(p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize("at", [0, 6])
def test_every_step_counts_and_the_rows_are_apart(any_layer, at):
    torch.manual_seed(0)
    model, inputs = LastStep(any_layer(2, 8)), torch.randn(7, 3, 2)
    changed = inputs.clone()
    changed[at, 1] += 1
    differs = (model(changed) - model(inputs)).abs().squeeze(1) > 1e-6
    assert differs.tolist() == [False, True, False]
