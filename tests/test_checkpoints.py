import json

import pytest
import torch

from utils.checkpoints import VERSION, read_checkpoint, write_checkpoint

FINGERPRINT = {"model": "LanguageModel", "sizes": {"W": (2, 3)}, "clip": 1.0}
CONTENT = {"W": torch.tensor([0.1, torch.nan]), "step": 7, "scores": [2.5], "no": None}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.pt"


def write(path, whole):
    """Write ``whole`` as a checkpoint, whatever it is; return the file's bytes."""
    torch.save(whole, path)
    return path.read_bytes()


@pytest.mark.parametrize("folder", [".", "new/folder"])
def test_what_was_written_is_read_bit_for_bit(tmp_path, files_in, folder):
    path = tmp_path / folder / "run.pt"
    for step in (6, 7):  # the second takes the place of the first
        write_checkpoint(path, FINGERPRINT, CONTENT | {"step": step})
    content = read_checkpoint(path, FINGERPRINT)
    tensor = content.pop("W")
    assert tensor.view(torch.int32).equal(CONTENT["W"].view(torch.int32))
    assert content == {"step": 7, "scores": [2.5], "no": None}
    assert files_in(tmp_path) == ["run.pt"]


def test_a_full_disk_leaves_the_old_checkpoint(path, files_in, small_disk):
    write_checkpoint(path, FINGERPRINT, CONTENT)
    before = path.read_bytes()
    with small_disk(), pytest.raises(OSError, match="File too large"):
        write_checkpoint(path, FINGERPRINT, CONTENT | {"step": 8})
    assert path.read_bytes() == before
    assert files_in(path.parent) == ["run.pt"]


def test_another_fingerprint_is_refused_and_what_differs_is_named(path):
    write_checkpoint(path, FINGERPRINT, CONTENT)
    before = path.read_bytes()
    other = {"model": "LanguageModel", "sizes": {"W": (2, 4)}, "rate": 0.1}
    with pytest.raises(ValueError, match=r"run\.pt is .* of another run: ") as caught:
        read_checkpoint(path, other)
    message = str(caught.value)
    assert "clip 1.0 there, None here; rate None there, 0.1 here; sizes" in message
    assert "{'W': [2, 3]} there, {'W': [2, 4]} here. Delete it to start" in message
    assert "LanguageModel" not in message  # that is the same
    assert path.read_bytes() == before


def test_a_checkpoint_of_the_former_version_is_refused_with_what_to_do(path):
    former = {
        "fingerprint": json.dumps(FINGERPRINT),
        "model": {"W": torch.zeros(2, 3)},
        "optimizer": {"state": {}, "param_groups": []},
        "scheduler": None,
        "progress": {"step": 7, "epoch": 0, "position": 7, "state": None},
        "history": {"losses": [1.0] * 7, "valid_steps": [], "valid_scores": []},
        "rng": torch.get_rng_state(),
        "cuda_rng": [],
    }
    before = write(path, former)
    expected = (
        rf"run\.pt is a checkpoint of version 1; this course reads version {VERSION}\. "
        "Finish the run with the course as it was then, delete the file .* or choose"
    )
    for fingerprint in (FINGERPRINT, {"model": "another"}):
        with pytest.raises(ValueError, match=expected):
            read_checkpoint(path, fingerprint)
    assert path.read_bytes() == before


def test_a_checkpoint_of_a_later_version_is_refused(path):
    fingerprint = json.dumps(FINGERPRINT)
    write(path, {"version": VERSION + 1, "fingerprint": fingerprint, "content": {}})
    with pytest.raises(ValueError, match=f"version {VERSION + 1}; this course reads"):
        read_checkpoint(path, FINGERPRINT)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(path, share):
    write_checkpoint(path, FINGERPRINT, CONTENT)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=r"run\.pt is no whole .* is truncated"):
        read_checkpoint(path, FINGERPRINT)


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)),
        b"PK\x03\x04 not a whole archive",
        b"Twice a day the sea climbed over the bar of sand",
        b"b, as a pickle: build on nothing",
        b"j\x9b;y",
    ],
)
def test_a_random_file_is_refused_and_left_alone(path, data):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"run\.pt is no whole checkpoint .*Delete it"):
        read_checkpoint(path, FINGERPRINT)
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    "whole",
    [torch.zeros(3), [1, 2], "text", {"model": {}}, {"fingerprint": "no JSON"}],
    ids=["tensor", "list", "text", "weights", "fingerprint"],
)
def test_another_file_of_pytorch_is_refused(path, whole):
    write(path, whole)
    with pytest.raises(ValueError, match=r"run\.pt is no whole checkpoint"):
        read_checkpoint(path, FINGERPRINT)


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="is no whole checkpoint"):
        read_checkpoint(tmp_path, FINGERPRINT)
