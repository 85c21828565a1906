"""Limits of what a submission may use, and of the grader's own work on it.

The defaults leave room for training a small network in PyTorch.
"""

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

MiB = 2**20


@dataclass(frozen=True)
class Limits:
    """Times in seconds, sizes in bytes.

    A kernel with PyTorch and no student code needs about 350 MB.
    """

    cell_seconds: int = 120
    total_seconds: int = 900
    memory: int = 4096 * MiB  # of all processes together
    processes: int = 64
    disk: int = 256 * MiB  # of the submission's folder, and of /tmp
    output: int = 2 * MiB  # of one cell

    def of_a_process(self) -> dict[str, int]:
        """Return what each process may use, by the names of the module ``resource``."""
        return {
            "RLIMIT_CORE": 0,
            "RLIMIT_CPU": self.total_seconds * 2,  # it may have several threads
            # Memory that is written to: PyTorch reserves far more than it uses.
            "RLIMIT_DATA": self.memory,
            "RLIMIT_FSIZE": self.disk,
            "RLIMIT_NOFILE": 512,
        }


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Limit the time of work on a file, which somebody may have made to take hours.

    It works in the main thread of systems with timers; elsewhere there is no limit.

    Raises:
        TimeoutError: the body took longer.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not hasattr(signal, "setitimer") or not in_main_thread:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
