"""Worker processes: the same task in several at once, which end when they are told to or left alone."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import torch

from .database import MISSING


class Crew:
    """Processes that each call ``task()``; leaving the context stops them.

    They are fresh Pythons, so that a GPU can be used in each. The task is sent to them by value: it may
    come from a notebook. The pipe by which it comes stays open; that it closes tells them to stop.

    Raises:
        ModuleNotFoundError: cloudpickle is not installed.
    """

    def __init__(self, task: Callable[[], None], workers: int) -> None:
        try:
            import cloudpickle
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                MISSING.format("Several workers", "cloudpickle", "cloudpickle")
            ) from error
        threads = max(1, torch.get_num_threads() // workers)
        self._message = cloudpickle.dumps((threads, task))
        self._workers = workers
        self._processes: list[subprocess.Popen] = []
        self._outputs: list = []

    def __enter__(self) -> Crew:
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import work; work()"
        for _ in range(self._workers):
            self._outputs.append(tempfile.TemporaryFile())
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", code],
                    stdin=subprocess.PIPE,
                    stdout=self._outputs[-1],
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for the parent, which tells them
                )
            )
        for process in self._processes:
            with suppress(OSError):  # it is dead: alive() will tell
                process.stdin.write(self._message)
                process.stdin.flush()
        return self

    def alive(self) -> int:
        """Return how many are still at work.

        Raises:
            RuntimeError: the task failed in one of them; the message has the traceback.
        """
        codes = [process.poll() for process in self._processes]
        for code, output in zip(codes, self._outputs, strict=True):
            if code is not None and code > 0:
                output.seek(0)
                text = output.read().decode(errors="replace").strip()
                raise RuntimeError(f"a worker process failed:\n\n{text[-4000:]}")
        return codes.count(None)

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            with suppress(OSError):
                process.stdin.close()
        for process, output in zip(self._processes, self._outputs, strict=True):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            output.close()


def work() -> None:
    """Carry out the task that comes through standard input: the whole life of a worker process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        threads, task = pickle.load(sys.stdin.buffer)
        threading.Thread(target=_stop_with_parent, daemon=True).start()
        torch.set_num_threads(threads)
        task()


def _stop_with_parent() -> None:
    """Press Ctrl-C when the pipe is closed, by the parent or by its death; insist after ten seconds."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)
    os._exit(1)
