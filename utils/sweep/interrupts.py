"""Ctrl-C at the right moment."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partialmethod
from typing import Any


class Interrupts:
    """A context where Ctrl-C waits until it is let through; a second one does not wait.

    Broken off in the middle, a transaction would stay open as long as the traceback is
    kept, and lock the database for everyone.
    """

    def __enter__(self) -> None:
        self._pressed = self._open = False
        # Only there may signals be handled, and only there do they arrive.
        self._handled = threading.current_thread() is threading.main_thread()
        if self._handled:
            self._previous = signal.signal(signal.SIGINT, self._press)

    def __exit__(self, kind: type | None, *_: Any) -> None:
        if self._handled:
            signal.signal(signal.SIGINT, self._previous)
        if kind is None and self._pressed:
            raise KeyboardInterrupt

    def _press(self, *_: Any) -> None:
        again, self._pressed = self._pressed, True
        if self._open or again:
            raise KeyboardInterrupt

    @contextmanager
    def let_through(self, through: bool = True) -> Iterator[None]:
        """Let Ctrl-C through, also one that was pressed before."""
        before, self._open = self._open, through
        try:
            if self._open and self._pressed:
                raise KeyboardInterrupt
            yield
        finally:
            self._open = before
        if self._open and self._pressed:
            raise KeyboardInterrupt

    # For a part of what ``let_through`` surrounds.
    hold_back = partialmethod(let_through, False)
