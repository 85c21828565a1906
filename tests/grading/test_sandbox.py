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

from grading import sandbox
from grading.limits import Limits
from tests.grading.sandboxed import (
    LIMITS,
    QUIET,
    assignment,
    needs_sandbox,
    printed,
    record,
    run,
    scores,
)
from tools.notebook import ROOT

PASS = ("test", "assert True")


def running(mark):
    """Return the commands on this machine with ``mark`` in them."""
    commands = [one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"])]
    return [command for command in commands if mark in " ".join(command)]


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
            if entry.path not in (*systems, sys.prefix, sys.base_prefix):
                yield from below(entry.path)
        elif not entry.path.startswith(("/course/utils/", "/course/book/results/")):
            yield entry.path

def read(path):
    return len(os.listdir(path)) if os.path.isdir(path) else open(path).read()

def write(folder, size=1, name="evil"):
    return open(os.path.join(folder, name), "wb").write(bytes(size))

def connect(*address):
    return socket.create_connection(address, 2)

places, systems = {places!r}, ("/usr", "/proc", "/dev", "/etc")
print({{
    "read": [attempt(lambda: read(p)) for p in places],
    "write": [attempt(lambda: write(p)) for p in [*places, "/", "/usr", ".."]],
    "own": attempt(lambda: write(".", name="own")),
    "loopback": attempt(lambda: connect("127.0.0.1", {port})),
    "outside": attempt(lambda: connect("1.1.1.1", 53)),
    "found": sorted(below("/")),
    "solutions": os.path.exists("/course/chapters"),
    "environment": sorted(os.environ),
    "disk": attempt(lambda: [write(".", 2**26, f"big{{n}}") for n in range(9)]),
}})
"""
ALLOWED = re.compile(
    r"/(bin|lib|lib64|course/kernel/.*|course/work/own|.*fontlist.*"
    r"|tmp/(unrolled-|ipython|matplotlib).*)"
)


@needs_sandbox
def test_a_submission_reaches_nothing(tmp_path, listener, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    secret = tmp_path / "gradebook.db"
    secret.write_text("marks")
    port, guests = listener
    folders = [str(ROOT / name) for name in ("chapters", "tools", "grading")]
    places = [str(secret), str(tmp_path), *folders, "/etc/passwd"]
    notebook = run(assignment(PROBE.format(places=places, port=port), PASS))
    found = ast.literal_eval(printed(notebook, 0))
    assert found["read"] == ["FileNotFoundError"] * len(places)
    assert set(found["write"]) == {"FileNotFoundError", "OSError"}
    assert found["own"] == "1"
    assert found["loopback"] == "ConnectionRefusedError"
    assert found["outside"] == "OSError"
    assert [path for path in found["found"] if not ALLOWED.fullmatch(path)] == []
    assert found["solutions"] is False
    assert "SECRET_TOKEN" not in found["environment"]
    assert found["disk"] == "OSError"
    assert guests == []
    assert [path.name for path in tmp_path.iterdir()] == ["gradebook.db"]
    assert scores(notebook) == [1]
    assert record(notebook) == QUIET


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
    said = "More than 1024 MiB of memory were used; the kernel was stopped."
    assert record(notebook)["ended"] == said


@needs_sandbox
def test_the_whole_notebook_has_a_time_limit():
    limits = Limits(cell_seconds=99, total_seconds=9)
    notebook = run(assignment(PASS, "import time\ntime.sleep(90)", PASS), limits)
    assert scores(notebook) == [1, 0]
    said = "The notebook took longer than 9 s and was stopped."
    assert record(notebook)["ended"] == said
    assert printed(notebook, 2).startswith("Not run. The notebook took longer")


@needs_sandbox
def test_files_where_the_sockets_are():
    code = """
import glob, time
open(glob.glob("/tmp/unrolled-*/sockets")[0] + "/x", "w")
time.sleep(5)
"""
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

    def started():
        return any(command[0] != sys.executable for command in running(mark))

    assert wait_until(started)
    grader.kill()
    grader.wait()
    assert wait_until(lambda: not running(mark), 10)


def test_a_bubblewrap_that_does_not_work(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda _: "/bin/false")
    refuses = ["sh", "-c", "echo no permission >&2; exit 1"]
    monkeypatch.setattr(sandbox, "_bubblewrap", lambda *_: refuses)
    said = r"cannot start a sandbox here: no permission\. On Ubuntu .* --unsafe"
    with pytest.raises(ValueError, match=said):
        sandbox.require_sandbox()


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
