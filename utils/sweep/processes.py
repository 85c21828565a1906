"""Worker processes: the same task in several, until they are done, stopped or alone."""

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
from typing import IO, Self

from utils.sweep.database import load


class Crew:
    """Processes that each call ``task()``; leaving the context stops them.

    They are fresh Pythons, so that a GPU can be used in each. The task is sent to them
    by value, as it may come from a notebook. The pipe by which it comes stays open;
    that it closes tells them to stop. Raises a ModuleNotFoundError without cloudpickle.
    """

    def __init__(self, task: Callable[[], None], workers: int) -> None:
        self._task = load("cloudpickle", "Several workers").dumps(task)
        self._workers = workers
        self._outputs: dict[subprocess.Popen, IO[bytes]] = {}

    def __enter__(self) -> Self:
        import torch  # late: who only looks at a table does without it

        threads = str(max(1, torch.get_num_threads() // self._workers))
        variables = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        start = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import work"
        for _ in range(self._workers):
            output = tempfile.TemporaryFile()
            process = subprocess.Popen(
                [sys.executable, "-c", f"{start}; work()"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | variables,
                start_new_session=True,  # Ctrl-C is for the parent: it tells them
            )
            self._outputs[process] = output
        for process in self._outputs:
            with suppress(OSError):  # it is dead: alive() will tell
                process.stdin.write(self._task)
                process.stdin.flush()
        return self

    def alive(self) -> int:
        """Return how many are at work, or raise a RuntimeError if one has failed."""
        for process, output in self._outputs.items():
            if (process.poll() or 0) > 0:
                output.seek(0)
                text = output.read().decode(errors="replace").strip()
                raise RuntimeError(f"a worker process failed:\n\n{text[-4000:]}")
        return sum(process.returncode is None for process in self._outputs)

    def __exit__(self, *_: object) -> None:
        for process in self._outputs:
            with suppress(OSError):
                process.stdin.close()
        for process, output in self._outputs.items():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            output.close()


def work() -> None:
    """Carry out the task that comes through standard input: a worker's whole life."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        task = pickle.load(sys.stdin.buffer)
        threading.Thread(target=_stop_with_parent, daemon=True).start()
        task()


def _stop_with_parent() -> None:
    """Press Ctrl-C when the pipe is closed, and insist after ten seconds."""
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)
    os._exit(1)
