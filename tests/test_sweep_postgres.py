"""One study on a real PostgreSQL server, by several processes as if they were several machines."""

import os
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import pandas as pd
import psutil
import pytest

import utils
from utils.sweep import Study, grid
from utils.sweep.database import Trials
from utils.sweep.plans import key_of

ROOT = Path(utils.__file__).parents[1]
SETTINGS = grid(lr=range(10), num_hiddens=range(1, 11))

# One machine's part. The one that is to be killed hangs in its fifth setting.
SCRIPT = """
import os, sys, time
from utils.sweep import Study, grid

url, notes, hangs = sys.argv[1:]
begun = 0

def note(text):
    with open(notes, "a") as file:
        file.write(text + "\\n")

def objective(setting, report):
    global begun
    begun += 1
    if hangs == "True" and begun == 5:
        note("hangs")
        time.sleep(600)
    report(1, 2.0)
    time.sleep(0.02)
    note(f"{setting['lr']} {setting['num_hiddens']}")
    return {"perplexity": setting["lr"] / setting["num_hiddens"]}

settings = grid(lr=range(10), num_hiddens=range(1, 11))
frame = Study("grid", url, grace=5).run(objective, settings)
assert frame.state.eq("finished").all()
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The address of a PostgreSQL server that runs as long as these tests do."""
    with warnings.catch_warnings():  # about a folder for sockets
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip(
            "pgserver", reason="needs PostgreSQL: pip install pgserver"
        )
        folder = tmp_path_factory.mktemp("postgres") / "data"
        server = pgserver.get_server(folder, cleanup_mode="stop")
    pid = server.get_pid()
    yield server.get_uri()
    server.cleanup()
    gone = not psutil.pid_exists(pid)
    assert gone or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def start(url, tmp_path):
    """A function that starts the script in a process of its own; all are ended afterwards."""
    processes = []
    environment = {
        **os.environ,
        **{"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
    }

    def start(hangs=False):
        command = [sys.executable, "-c", SCRIPT, url, tmp_path / "notes", str(hangs)]
        processes.append(subprocess.Popen(command, env=environment))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_three_machines_share_a_study_and_one_of_them_dies(url, start, tmp_path):
    notes = tmp_path / "notes"
    notes.touch()
    victim, *others = start(hangs=True), start(), start()
    deadline = time.monotonic() + 120
    while "hangs" not in notes.read_text():
        assert time.monotonic() < deadline
        assert [process.poll() for process in (victim, *others)] == [None] * 3
        time.sleep(0.01)
    victim.kill()
    assert victim.wait() == -signal.SIGKILL
    assert [process.wait(timeout=120) for process in others] == [0, 0]

    frame = Study("grid", url, grace=5).frame()
    assert len(frame) == 100
    assert frame.state.eq("finished").all()
    assert frame.worker.nunique() == 3
    given = frame[["lr", "num_hiddens"]].to_dict("records")
    assert given == SETTINGS
    trials = Trials("grid", url, 5).all()
    completed = [t.user_attrs["key"] for t in trials if t.state.name == "COMPLETE"]
    assert sorted(completed) == sorted(map(key_of, SETTINGS))
    assert [t.state.name for t in trials].count("FAIL") == 1
    done = Counter(notes.read_text().splitlines())
    assert done.pop("hangs") == 1
    assert set(done.values()) == {1}
    assert len(done) == 100


def test_a_database_has_the_same_table_as_a_file(url, tmp_path):
    def objective(setting, report):
        for step in range(1, 4):
            report(step, setting["lr"] + 1 / step)
        return {"perplexity": setting["lr"], "text": "größer, 更大"}

    tables = [
        Study("search", storage)
        .search(objective, {"lr": (0.1, 1.0)}, trials=12, prune=True)
        .drop(columns=["seconds", "worker"])
        for storage in (url, tmp_path / "studies.db")
    ]
    pd.testing.assert_frame_equal(*tables)
    assert set(tables[0].state) == {"finished", "pruned"}
