"""One study on a real PostgreSQL server, by processes as if on several machines."""

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
SETTINGS = grid(lr=range(8), num_hiddens=range(1, 6))

# One machine's part. They begin together; the one to be killed hangs in its second.
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
    if begun == 1:
        note("here")
        while open(notes).read().count("here") < 3:
            time.sleep(0.01)
    if hangs == "True" and begun == 2:
        note("hangs")
        time.sleep(600)
    report(1, 2.0)
    note(f"{setting['lr']} {setting['num_hiddens']}")
    return {"perplexity": setting["lr"] / setting["num_hiddens"]}

settings = grid(lr=range(8), num_hiddens=range(1, 6))
frame = Study("grid", url, grace=4).run(objective, settings)
assert frame.state.eq("finished").all()
"""


def has_ended(pid):
    """Return whether a process ends within a minute; nobody may collect a zombie."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A PostgreSQL server that runs as long as these tests do."""
    with warnings.catch_warnings(action="ignore"):  # about a folder for sockets
        why = "needs PostgreSQL: pip install pgserver"
        pgserver = pytest.importorskip("pgserver", reason=why)
        folder = tmp_path_factory.mktemp("postgres") / "data"
        server = pgserver.get_server(folder, cleanup_mode="stop")
    yield server
    pid = server.get_pid()
    server.cleanup()
    assert has_ended(pid)


@pytest.fixture
def start(server, tmp_path):
    """A function that starts the script in a process; all are ended afterwards."""
    processes = []
    variables = {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}

    def start(hangs=False):
        command = [sys.executable, "-c", SCRIPT, server.get_uri()]
        command += [tmp_path / "notes", str(hangs)]
        processes.append(subprocess.Popen(command, env=os.environ | variables))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_three_machines_share_a_study_and_one_of_them_dies(server, start, tmp_path):
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

    frame = Study("grid", server.get_uri(), grace=4).frame()
    assert frame[["lr", "num_hiddens"]].to_dict("records") == SETTINGS
    assert frame.state.eq("finished").all()
    assert frame.worker.nunique() == 3
    trials = Trials("grid", server.get_uri(), 4).all()
    completed = [t.user_attrs["key"] for t in trials if t.state.name == "COMPLETE"]
    assert sorted(completed) == sorted(map(key_of, SETTINGS))
    assert [t.state.name for t in trials].count("FAIL") == 1
    done = Counter(notes.read_text().splitlines())
    assert (done.pop("here"), done.pop("hangs")) == (3, 1)
    assert set(done.values()) == {1}
    assert len(done) == 40


def test_a_database_has_the_same_table_as_a_file(server, tmp_path):
    def objective(setting, report):
        for step in range(1, 4):
            report(step, setting["lr"] + 1 / step)
        return {"perplexity": setting["lr"], "text": "größer, 更大"}

    tables = [
        Study("search", storage)
        .search(objective, {"lr": (0.1, 1.0)}, trials=12, prune=True)
        .drop(columns=["seconds", "worker"])
        for storage in (server.get_uri(), tmp_path / "studies.db")
    ]
    pd.testing.assert_frame_equal(*tables)
    assert set(tables[0].state) == {"finished", "pruned"}


@pytest.mark.parametrize("reports", [False, True])
def test_a_server_that_goes_away_is_named_and_the_same_call_goes_on(server, reports):
    pid = server.get_pid()

    def objective(setting, report):
        if setting["a"] == 2 and psutil.pid_exists(pid):
            os.kill(pid, signal.SIGINT)  # shut down at once
            assert has_ended(pid)
        if reports:
            report(1, 2.0)
        return {"perplexity": setting["a"]}

    study = Study(f"gone {reports}", server.get_uri(), grace=2)
    message = r"the database postgresql:.* of study .gone .*. failed: .*\. See that it"
    with pytest.raises(RuntimeError, match=message):
        study.run(objective, grid(a=[1, 2, 3]))
    server.ensure_postgres_running()
    assert study.run(objective, grid(a=[1, 2, 3])).perplexity.tolist() == [1, 2, 3]
