"""What a submission cannot do to the machine that grades it."""

import ast
import re
import socket
import subprocess
import sys
import threading
import time
import uuid

import psutil
import pytest

from tests.grading.sandboxed import (
    LIMITS,
    assignment,
    needs_sandbox,
    printed,
    record,
    run,
    scores,
)
from tools.grading import sandbox
from tools.grading.limits import Limits, MiB
from tools.notebook import ROOT

PASS = ("test", "assert True")


def running(mark):
    """Return the processes on this machine with ``mark`` in their command."""
    commands = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    return [command for command in commands if mark in " ".join(command or [])]


def wait_until(condition, seconds=60):
    """Wait until ``condition()`` holds and return whether it came to that."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


@pytest.fixture(scope="module")
def listener():
    """A server on the loopback, and a list of who connected."""
    server, guests = socket.create_server(("127.0.0.1", 0)), []

    def serve():
        while True:
            try:
                guests.append(server.accept())
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1], guests
    server.close()


PROBE = """
import os, socket, sys
from pathlib import Path

def attempt(action):
    try:
        return str(action())
    except OSError as error:
        return type(error).__name__

def below(folder):
    # Everything outside of what each system and each interpreter has.
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            if entry.path not in ("/usr", "/proc", "/dev", "/etc", sys.prefix, sys.base_prefix):
                yield from below(entry.path)
        elif not entry.path.startswith(("/course/utils/", "/course/book/results/")):
            yield entry.path

places = {places!r}
print({{
    "read": [attempt(lambda: len(os.listdir(p)) if os.path.isdir(p) else open(p).read()) for p in places],
    "write": [attempt(lambda: open(os.path.join(p, "evil"), "w").write("x")) for p in [*places, "/", "/usr", ".."]],
    "own": attempt(lambda: open("own", "w").write("x")),
    "loopback": attempt(lambda: socket.create_connection(("127.0.0.1", {port}), 2)),
    "outside": attempt(lambda: socket.create_connection(("1.1.1.1", 53), 2)),
    "found": sorted(below("/")),
    "solutions": os.path.exists("/course/chapters"),
    "environment": sorted(os.environ),
    "disk": attempt(lambda: [open(f"big{{n}}", "wb").write(bytes(2**26)) for n in range(9)]),
}})
"""


@needs_sandbox
def test_a_submission_reaches_nothing(tmp_path, listener, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    secret = tmp_path / "gradebook.db"
    secret.write_text("marks")
    port, guests = listener
    places = [
        str(secret),
        str(tmp_path),
        str(ROOT / "chapters"),
        str(ROOT / "tools"),
        "/etc/passwd",
    ]
    notebook = run(assignment(PROBE.format(places=places, port=port), PASS))
    found = ast.literal_eval(printed(notebook, 0))
    assert found["read"] == ["FileNotFoundError"] * 5
    assert set(found["write"]) == {"FileNotFoundError", "OSError"}
    assert found["own"] == "1"
    assert found["loopback"] == "ConnectionRefusedError"
    assert found["outside"] == "OSError"
    allowed = r"/(bin|lib|lib64|course/kernel/.*|course/work/own|tmp/(unrolled-|ipython|matplotlib).*)|.*fontlist.*"
    assert [path for path in found["found"] if not re.fullmatch(allowed, path)] == []
    assert found["solutions"] is False
    assert "SECRET_TOKEN" not in found["environment"]
    assert found["disk"] == "OSError"
    assert guests == []
    assert [path.name for path in tmp_path.iterdir()] == ["gradebook.db"]
    assert scores(notebook) == [1]
    assert record(notebook) == {
        "ended": "",
        "replaced": [],
        "stopped": [],
        "unsafe": False,
    }


@needs_sandbox
def test_too_many_processes():
    mark = uuid.uuid4().hex
    bomb = f"""
import subprocess, sys
for _ in range(200):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "{mark}"])
"""
    started = time.monotonic()
    notebook = run(assignment(PASS, bomb, PASS))
    assert scores(notebook) == [1, 0]
    said = "More than 32 processes were started; all were stopped."
    assert record(notebook)["ended"] == said
    assert time.monotonic() - started < 45
    assert wait_until(lambda: not running(mark), 10)


@needs_sandbox
def test_too_much_memory():
    size = LIMITS.memory + 2**30
    torch_cell = f"x = torch.ones({size // 4})"
    shared = f"""
import mmap
region = mmap.mmap(-1, {size})
for start in range(0, {size}, 2**20):
    region[start : start + 2**20] = bytes([1]) * 2**20
"""
    notebook = run(assignment(torch_cell, PASS, shared, PASS))
    assert "can't allocate memory" in printed(notebook, 0)  # an ordinary error
    assert scores(notebook) == [1, 0]
    assert (
        record(notebook)["ended"]
        == "More than 1024 MiB of memory were used; the kernel was stopped."
    )


@needs_sandbox
def test_the_whole_notebook_has_a_time_limit():
    limits = Limits(cell_seconds=60, total_seconds=4)
    notebook = run(assignment(PASS, "import time\ntime.sleep(50)", PASS), limits)
    assert scores(notebook) == [1, 0]
    assert (
        record(notebook)["ended"]
        == "The notebook took longer than 4 s and was stopped."
    )
    assert printed(notebook, 2).startswith("Not run. The notebook took longer")


@needs_sandbox
def test_files_where_the_sockets_are():
    code = "import glob\nopen(glob.glob('/tmp/unrolled-*/sockets')[0] + '/x', 'w')\nimport time\ntime.sleep(5)"
    notebook = run(assignment(code, PASS))
    assert scores(notebook) == [0]
    assert record(notebook)["ended"].startswith("Files were written where")


@needs_sandbox
def test_nothing_is_left_when_the_grader_is_killed():
    mark = uuid.uuid4().hex
    cell = f"!sleep 60; echo {mark}"
    script = (
        "from tests.grading.sandboxed import *\n"
        f"run(assignment({cell!r}), Limits(cell_seconds=99))"
    )
    grader = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    assert wait_until(
        lambda: any(command[0] != sys.executable for command in running(mark))
    )
    grader.kill()
    grader.wait()
    assert wait_until(lambda: not running(mark), 10)


def test_no_bubblewrap(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda _: None)
    with pytest.raises(
        ValueError, match=r"there is no bwrap .* Install bubblewrap 0.8 .* --unsafe"
    ):
        sandbox.check_available()


def test_a_bubblewrap_that_does_not_work(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda _: "/bin/false")
    refuses = ["sh", "-c", "echo no permission >&2; exit 1"]
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda *_: refuses)
    with pytest.raises(
        ValueError, match=r"cannot start a sandbox here: no permission. On Ubuntu"
    ):
        sandbox.check_available()


@needs_sandbox
def test_ordinary_training_fits_the_default_limits():
    training = """
from torch import nn
from utils import plots
from utils.recipes import *
import matplotlib.pyplot as plt
model = nn.GRU(32, 128, 2)
optimizer = torch.optim.Adam(model.parameters())
for _ in range(5):
    loss = model(torch.randn(64, 32, 32))[0].square().mean()
    loss.backward()
    optimizer.step()
plt.plot([1, 2])
plt.show()
loader = torch.utils.data.DataLoader(torch.randn(64, 3), 8, num_workers=2)
print(len(list(loader)), torch.get_num_threads())
"""
    notebook = run(assignment(training, PASS), Limits())
    assert printed(notebook, 0) == "8 1\n"
    assert scores(notebook) == [1]
    assert record(notebook)["ended"] == ""


def test_limits_of_a_process():
    limits = Limits(memory=5 * MiB).of_a_process()
    assert limits["RLIMIT_DATA"] == 5 * MiB
    assert limits["RLIMIT_CORE"] == 0
