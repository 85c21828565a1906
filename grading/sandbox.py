"""Where a submission runs: a kernel in bubblewrap, watched from outside.

Inside there is no network, a read-only system, of the course only ``SHARED``, and one
folder to write to, which is kept in memory and gone afterwards. Neither solutions nor
the gradebook nor other submissions exist.
"""

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import zmq
import zmq.asyncio
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from grading.limits import Limits, MiB
from tools.notebook import ROOT

KERNEL = Path(__file__).parent / "kernel"
# The submission's folder is below it, so that its setup cell finds `utils`.
COURSE = Path("/course")
SHARED = ("utils", "book/results")  # what a submission sees of the course
LARGEST_MESSAGE = 16 * MiB
NUM_SOCKETS = 5  # shell, control, input, output, heartbeat
LEAST_FREE_MEMORY = 256 * MiB
REMEDY = (
    "Grading runs students' code. Install bubblewrap 0.8 or newer (Linux only; on "
    "Debian and Ubuntu: apt-get install bubblewrap), or pass --unsafe to run it as "
    "yourself, with access to all your files."
)
ENVIRONMENT = {
    # As in the Makefile.
    "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=536870912:"
    "glibc.malloc.trim_threshold=536870912:glibc.malloc.hugetlb=1",
    "HOME": "/tmp",
    "IPYTHONDIR": "/tmp/ipython",
    "LANG": "C.UTF-8",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "TQDM_DISABLE": "1",
    "UNROLLED_DEVICE": "cpu",
    "USER": "student",
}


def require_sandbox() -> None:
    """Start Python in the sandbox once.

    Raises:
        ValueError: it cannot be started; the message says what to do.
    """
    if shutil.which("bwrap") is None:
        raise ValueError(f"there is no bwrap to sandbox submissions with. {REMEDY}")
    with tempfile.TemporaryDirectory(prefix="unrolled-", dir="/tmp") as folder:
        Path(folder, "sockets").mkdir()
        command = [*_bubblewrap(Path(folder), Limits()), sys.executable, "-c", "pass"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        said = done.stderr.strip() or f"exit status {done.returncode}"
        raise ValueError(
            f"bwrap cannot start a sandbox here: {said}. On Ubuntu from 24.04 on it "
            "may need `sysctl kernel.apparmor_restrict_unprivileged_userns=0`. "
            f"{REMEDY}"
        )


def _bubblewrap(folder: Path, limits: Limits) -> list[str]:
    """Return the command that runs its arguments, a command, in the sandbox.

    The kernel's sockets are in ``folder``.
    """
    command = ["bwrap", "--unshare-user", "--unshare-all", "--disable-userns"]
    command += ["--die-with-parent", "--new-session", "--clearenv"]
    command += ["--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"]
    for name in ("/usr", "/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives"):
        command += ["--ro-bind-try", name, name]
    for name in ("/bin", "/lib", "/lib32", "/lib64"):
        link = os.path.islink(name)
        command += ["--symlink", os.readlink(name), name] if link else []
        command += [] if link else ["--ro-bind-try", name, name]
    command += ["--proc", "/proc", "--dev", "/dev"]
    for name in ("/dev/shm", "/tmp", str(COURSE / "work")):
        command += ["--size", str(limits.disk), "--tmpfs", name]
    # The course is hidden wherever it lies, below /usr or /tmp too; what a kernel needs
    # of it comes after that.
    command += ["--tmpfs", str(ROOT)]
    for name in _python_folders():
        command += ["--ro-bind-try", name, name]
    for name in SHARED:
        command += ["--ro-bind", str(ROOT / name), str(COURSE / name)]
    command += ["--ro-bind", str(KERNEL), str(COURSE / "kernel")]
    if fonts := _font_list():
        command += ["--ro-bind", fonts, fonts]
    command += ["--ro-bind", str(folder), str(folder)]
    command += ["--bind", str(folder / "sockets"), str(folder / "sockets")]
    for name in (ROOT, "/dev", "/"):
        command += ["--remount-ro", str(name)]
    command += ["--chdir", str(COURSE / "work")]
    environment = ENVIRONMENT | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    if fonts:
        environment["GRADING_FONTS"] = fonts
    for name, value in environment.items():
        command += ["--setenv", name, value]
    return command


def _python_folders() -> list[str]:
    """Return the folders of the interpreter and its packages, but for those in /usr."""
    real = Path(sys.executable).resolve().parents[1]
    homes = {sys.prefix, sys.base_prefix, str(real)}
    parts = ("bin", "lib", "lib64", "pyvenv.cfg")
    return sorted(f"{home}/{part}" for home in homes - {"/usr"} for part in parts)


def _font_list() -> str:
    """Return where matplotlib's list of fonts is, seconds of work, or nothing."""
    from matplotlib import font_manager, get_cachedir

    name = f"fontlist-v{font_manager.FontManager.__version__}.json"
    path = Path(get_cachedir(), name)
    return str(path) if path.is_file() else ""


class SandboxManager(AsyncKernelManager):
    """Starts one kernel for one submission, in the sandbox or, if told so, without."""

    def __init__(self, limits: Limits, unsafe: bool) -> None:
        # The path of a socket may have at most 107 characters: no long $TMPDIR.
        self.folder = Path(tempfile.mkdtemp(prefix="unrolled-", dir="/tmp"))
        context = zmq.asyncio.Context()
        context.MAXMSGSIZE = LARGEST_MESSAGE  # more would fill the grader's memory
        super().__init__(
            context=context,
            connection_file=str(self.folder / "kernel.json"),
            transport="ipc",
            ip=str(self.folder / "sockets" / "kernel"),
        )
        (self.folder / "sockets").mkdir()
        self.limits, self.unsafe, self.watcher = limits, unsafe, None

    @property
    def kernel_spec(self) -> KernelSpec:
        """How the kernel is started; it is interrupted by messages.

        No signal should reach bwrap.
        """
        if self.unsafe:
            command, course, limits = [], self.folder / "course", {}
        else:
            command, course = _bubblewrap(self.folder, self.limits), COURSE
            limits = self.limits.of_a_process()
        command += [sys.executable, str(course / "kernel"), "{connection_file}"]
        command += [str(course), json.dumps(limits)]
        return KernelSpec(argv=command, language="python", interrupt_mode="message")

    def client(self, **settings: Any) -> AsyncKernelClient:
        """Return a client that drops what is too large."""
        return super().client(context=self.context, **settings)

    async def start(self) -> None:
        """Start the kernel and its watcher."""
        # Whatever the kernel may write, RLIMIT_FSIZE holds for this file, too.
        self.log_file = (self.folder / "log").open("wb")
        settings = dict.fromkeys(("stdin", "stdout"), subprocess.DEVNULL)
        settings["stderr"] = self.log_file
        if self.unsafe:  # the same folders as in the sandbox
            work = self.folder / "course" / "work"
            work.mkdir(parents=True)
            work.with_name("kernel").symlink_to(KERNEL)
            for name in SHARED:
                link = work.parent / name
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(ROOT / name)
            kept = {"HOME", "MPLCONFIGDIR", "IPYTHONDIR", "USER", "LANG"}
            ours = {k: v for k, v in ENVIRONMENT.items() if k not in kept}
            settings |= {"cwd": str(work), "env": os.environ | ours}
        await self._async_start_kernel(**settings)
        pid, sockets = self.provisioner.pid, self.folder / "sockets"
        try:
            self.watcher = Watcher(pid, sockets, self.limits, self.unsafe)
        except psutil.Error:
            raise RuntimeError("the kernel ended at once") from None
        self.watcher.start()

    def last_words(self) -> str:
        """Return the end of what the kernel wrote about itself."""
        return (self.folder / "log").read_text(errors="replace")[-1000:].strip()

    def close(self) -> None:
        """Stop watching, and the kernel if it still runs, and remove all files."""
        if self.watcher:
            self.watcher.stop()
            self.watcher.kill("")
            self.log_file.close()
        self.context.destroy(linger=0)
        shutil.rmtree(self.folder, ignore_errors=True)


class Watcher(threading.Thread):
    """Kills a sandbox that takes more than it may, and keeps the reason."""

    def __init__(self, pid: int, sockets: Path, limits: Limits, unsafe: bool) -> None:
        super().__init__(daemon=True)
        self.process, self.sockets = psutil.Process(pid), sockets
        self.limits, self.unsafe = limits, unsafe
        self.deadline = math.inf
        self.reason, self.stopped = "", threading.Event()

    def begin(self) -> None:
        """Let the time run, once the kernel has started and the first cell runs."""
        if self.deadline == math.inf:
            self.deadline = time.monotonic() + self.limits.total_seconds

    def run(self) -> None:
        while not self.stopped.wait(0.1):
            with contextlib.suppress(psutil.Error, OSError):  # something has just ended
                if reason := self._fault():
                    self.kill(reason)

    def _fault(self) -> str:
        if time.monotonic() > self.deadline:
            seconds = self.limits.total_seconds
            return f"The notebook took longer than {seconds} s and was stopped."
        if self.unsafe:
            return ""
        processes = self.process.children(recursive=True)
        if len(processes) > self.limits.processes:
            most = f"More than {self.limits.processes} processes"
            return f"{most} were started; all were stopped."
        if _memory(processes, self.limits.memory) > self.limits.memory:
            size = self.limits.memory // MiB
            return f"More than {size} MiB of memory were used; the kernel was stopped."
        if self._misused(list(self.sockets.iterdir())):
            return "Files were written where the kernel's sockets are; it was stopped."
        if psutil.virtual_memory().available < LEAST_FREE_MEMORY:
            return "The machine ran out of memory; the kernel was stopped."
        return ""

    def _misused(self, found: list[Path]) -> bool:
        """Return whether there is more than sockets in our one folder open to it."""
        if len(found) > NUM_SOCKETS:
            return True
        return any(p.is_file() or p.is_dir() or p.is_symlink() for p in found)

    def kill(self, reason: str) -> None:
        """Kill the sandbox with everything in it, and remember why."""
        self.reason = self.reason or reason
        self.stopped.set()
        try:
            running = [self.process, *self.process.children(recursive=True)]
        except psutil.Error:
            return
        for process in running:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def stop(self) -> None:
        """End the watch."""
        self.stopped.set()
        self.join()


def _memory(processes: list[psutil.Process], limit: int) -> int:
    """Return the bytes that processes use.

    What they share counts once if that matters for ``limit``.
    """

    def total(measure: Callable[[psutil.Process], int]) -> int:
        used = 0
        for process in processes:
            with contextlib.suppress(psutil.Error):  # one that has just ended
                used += measure(process)
        return used

    used = total(lambda process: process.memory_info().rss)
    if used > limit:  # slower, and after a fork much less
        used = total(lambda process: process.memory_full_info().pss)
    return used
