"""Ctrl-C at the right moment, and past what would swallow it."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """A context in which Ctrl-C waits until it is let through; a second one does not wait.

    Broken off in the middle, a transaction would stay open as long as the traceback is kept, and lock the
    database for everyone.
    """

    def __init__(self) -> None:
        self._pressed = self._open = self._handled = False

    def __enter__(self) -> None:
        self._pressed = self._open = False
        # Only there may signals be handled, and only there do they arrive.
        self._handled = threading.current_thread() is threading.main_thread()
        if self._handled:
            self._previous = signal.signal(signal.SIGINT, self._press)

    def __exit__(self, kind: type | None, *_: Any) -> None:
        if self._handled:
            signal.signal(signal.SIGINT, self._previous)
        if kind is None:
            self._raise_if_pressed()

    def _press(self, *_: Any) -> None:
        first, self._pressed = not self._pressed, True
        if self._open or not first:
            raise KeyboardInterrupt

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Let Ctrl-C through, also one that was pressed before."""
        self._open = True
        try:
            self._raise_if_pressed()
            yield
        finally:
            self._open = False

    @contextmanager
    def hold_back(self) -> Iterator[None]:
        """Let no Ctrl-C through, in a part of what :meth:`let_through` surrounds."""
        self._open = False
        try:
            yield
        finally:
            self._open = True
        self._raise_if_pressed()

    def _raise_if_pressed(self) -> None:
        if self._pressed:
            raise KeyboardInterrupt


@contextmanager
def broken_off_training_raises() -> Iterator[None]:
    """Raise KeyboardInterrupt where ``train`` warns that it was interrupted: half a run is no result."""
    text = "training was interrupted"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", text, UserWarning)
        try:
            yield
        except UserWarning as warning:
            if text in str(warning):
                raise KeyboardInterrupt from None
            raise
