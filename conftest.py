"""How notebooks and tests run: on the CPU, without bars, each file in one worker."""

import os
import tempfile
from uuid import uuid4

import nbval.kernel
from traitlets import default
from xdist.scheduler import LoadFileScheduling

os.environ["TQDM_DISABLE"] = "1"
os.environ.setdefault("UNROLLED_DEVICE", "cpu")

# Workers side by side share the cores. With more threads than cores, small networks
# take four times as long.
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if workers > 1:
    threads = max(1, (os.cpu_count() or 1) // workers)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))

# The path of a socket may have at most 107 characters: no long $TMPDIR.
SOCKETS = tempfile.TemporaryDirectory(
    prefix="unrolled-", dir="/tmp", ignore_cleanup_errors=True
)


class FileSockets(nbval.kernel.KernelManager):
    """Talk to kernels through files.

    A kernel binds the TCP ports that it was given a second later; by then another
    worker may have taken them.
    """

    @default("transport")
    def _transport(self):
        return "ipc"

    @default("ip")
    def _path(self):
        return os.path.join(SOCKETS.name, uuid4().hex)


nbval.kernel.KernelManager = FileSockets

# Tests of which each takes long, so that any worker may have it.
LONG = (
    "test_the_solution_gets_all_points",
    "test_a_chapter_runs_from_a_lone_copy",
    "test_a_study_runs_from_end_to_end",
    "test_a_study_that_is_killed",
)


class ByFile(LoadFileScheduling):
    """Give a worker all tests of a file, so that what they share is made once."""

    def _split_scope(self, nodeid):
        is_long = nodeid.partition("::")[2].startswith(LONG)
        return nodeid if is_long else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False  # what takes long comes first
    return ByFile(config, log)
