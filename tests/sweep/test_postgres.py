"""One study on a real PostgreSQL server, by processes as if on several machines.

``python -m tests.sweep.test_postgres URL NOTES [hangs]`` is what one of them does.
"""

import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from tools.notebook import ROOT
from utils.sweep import Study, grid
from utils.sweep.database import Trials
from utils.sweep.plans import key_of

SETTINGS = grid(lr=range(6), num_hiddens=range(1, 6))


def take_part(url, notes, hangs):
    """Do one machine's part. All begin together; one hangs in its second setting."""
    begun = 0

    def note(text):
        with open(notes, "a") as file:
            file.write(text + "\n")

    def objective(setting, report):
        nonlocal begun
        begun += 1
        if begun == 1:
            note("here")
            while Path(notes).read_text().count("here") < 3:
                time.sleep(0.01)
        if hangs and begun == 2:
            note("hangs")
            time.sleep(600)
        report(1, 2.0)
        note(f"{setting['lr']} {setting['num_hiddens']}")
        return {"perplexity": setting["lr"] / setting["num_hiddens"]}

    frame = Study("grid", url, grace=4).run(objective, SETTINGS)
    assert frame.state.eq("finished").all()


if __name__ == "__main__":
    take_part(*sys.argv[1:3], hangs=sys.argv[3:] == ["hangs"])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A PostgreSQL server that runs as long as these tests do."""
    with warnings.catch_warnings(action="ignore"):  # about a folder for sockets
        why = "needs PostgreSQL: pip install pgserver"
        pgserver = pytest.importorskip("pgserver", reason=why)
        folder = tmp_path_factory.mktemp("postgres") / "data"
        server = pgserver.get_server(folder, cleanup_mode="stop")
    yield server
    server.cleanup()
    assert not (folder / "postmaster.pid").exists()


@pytest.fixture
def machines(server, tmp_path):
    """Three processes that share a study; all are ended afterwards."""
    (tmp_path / "notes").touch()
    command = [sys.executable, "-m", __name__, server.get_uri(), tmp_path / "notes"]
    parts = [["hangs"], [], []]
    machines = [subprocess.Popen(command + part, cwd=ROOT) for part in parts]
    yield machines
    for machine in machines:
        machine.kill()
        machine.wait()


def test_three_machines_share_a_study_and_one_of_them_dies(server, machines, tmp_path):
    notes = tmp_path / "notes"
    deadline = time.monotonic() + 120
    while "hangs" not in notes.read_text():
        assert time.monotonic() < deadline
        assert [machine.poll() for machine in machines] == [None] * 3
        time.sleep(0.01)
    machines[0].kill()
    assert [machine.wait(timeout=120) for machine in machines] == [
        -signal.SIGKILL,
        0,
        0,
    ]

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
    assert len(done) == 30


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
    import pgserver

    def objective(setting, report):
        if setting["a"] == 2:
            pgserver.pg_ctl(["stop"], pgdata=server.pgdata, user=server.system_user)
        if reports:
            report(1, 2.0)
        return {"perplexity": setting["a"]}

    study = Study(f"gone {reports}", server.get_uri(), grace=2)
    message = r"the database postgresql:.* of study 'gone .*' failed: .*\. See that it"
    with pytest.raises(RuntimeError, match=message):
        study.run(objective, grid(a=[1, 2, 3]))
    server.ensure_postgres_running()
    frame = study.run(lambda setting, _: {"perplexity": 0}, grid(a=[1, 2, 3]))
    assert frame.perplexity.tolist() == [1, 0, 0]
