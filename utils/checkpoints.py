"""Checkpoints on disk: the state of a run, and what it is a run of."""

import io
import json
from pathlib import Path
from typing import Any

import torch

from utils.files import write_atomically

VERSION = 2  # of the files; an older one cannot be read


def write_checkpoint(
    path: Path, fingerprint: dict[str, Any], content: dict[str, Any]
) -> None:
    """Write ``content``, tensors and plain values, to ``path``, which is always whole.

    Raises:
        OSError: it could not be written; what was at ``path`` is still there.
    """
    whole = {"version": VERSION, "fingerprint": _plain(fingerprint), "content": content}
    buffer = io.BytesIO()
    torch.save(whole, buffer)
    write_atomically(path, buffer.getvalue())


def read_checkpoint(path: Path, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """Return the content of the checkpoint at ``path``, its tensors on the CPU.

    Raises:
        ValueError: the file is damaged, another version's, or that of a run with
            another fingerprint.
    """
    try:
        whole = dict(torch.load(path, map_location="cpu", weights_only=True))
        there, version = dict(json.loads(whole["fingerprint"])), whole.get("version", 1)
    except Exception as error:  # anything may come of unpickling a foreign file
        raise ValueError(
            f"{path} is no whole checkpoint of this course ({type(error).__name__}): "
            "it is truncated or something else. Delete it to start afresh, or choose "
            "another path."
        ) from error
    if version != VERSION:
        raise ValueError(
            f"{path} is a checkpoint of version {version}; this course reads version "
            f"{VERSION}. Finish the run with the course as it was then, delete the "
            "file to start afresh, or choose another path."
        )
    here = json.loads(_plain(fingerprint))
    different = [
        f"{key} {there.get(key)} there, {here.get(key)} here"
        for key in sorted(there.keys() | here.keys())
        if there.get(key) != here.get(key)
    ]
    if different:
        raise ValueError(
            f"{path} is the checkpoint of another run: {'; '.join(different)}. Delete "
            "it to start afresh, or choose another path."
        )
    return whole["content"]


def _plain(fingerprint: dict[str, Any]) -> str:
    return json.dumps(fingerprint, default=str)
