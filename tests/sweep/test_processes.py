"""Several processes on one machine, some of which are killed.

``python -m tests.sweep.test_processes DATABASE NOTES WORKERS`` is the run to be killed.
"""

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import psutil
import pytest

from tools.notebook import ROOT
from utils.sweep import Study, grid
from utils.sweep.database import Trials
from utils.sweep.plans import key_of
from utils.sweep.processes import Crew

SETTINGS = grid(lr=range(6), num_hiddens=range(1, 9))


def train_all(database, notes, workers=1):
    """Train 48 settings, of which eight diverge; note what is trained to the end."""

    def objective(setting, report):
        report(1, 2.0)
        time.sleep(0.01)
        with open(notes, "a") as file:
            file.write(f"{setting['lr']} {setting['num_hiddens']}\n")
        score = setting["lr"] / setting["num_hiddens"]
        return {"perplexity": float("nan") if setting["lr"] == 3 else score}

    return Study("grid", database, grace=3).run(objective, SETTINGS, workers=workers)


if __name__ == "__main__":
    train_all(sys.argv[1], sys.argv[2], int(sys.argv[3]))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "studies.db"


def start(path, notes, workers, at_least):
    """Start the run; return it and its workers once so many settings are noted."""
    command = [sys.executable, "-m", __name__, path, notes]
    process = subprocess.Popen([*command, str(workers)], cwd=ROOT)
    deadline = time.monotonic() + 120
    while len(notes.read_text().splitlines()) < at_least:
        assert process.poll() is None, "the run ended early"
        assert time.monotonic() < deadline, "the run hangs"
        time.sleep(0.005)
    return process, psutil.Process(process.pid).children()


def test_a_run_that_is_killed_three_times_ends_as_if_it_had_not_been(tmp_path, path):
    notes = tmp_path / "notes"
    notes.touch()
    rng = random.Random(0)
    moments = sorted(rng.sample(range(5, 40), 3))
    for moment, workers in zip(moments, [2, 1, 1], strict=True):
        process, crew = start(path, notes, workers, moment)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.wait()
        for worker in crew[:1]:
            worker.kill()
        # The other one finds out that it has been left alone.
        assert psutil.wait_procs(crew, timeout=60)[1] == []

    frame = train_all(path, notes)
    assert frame[["lr", "num_hiddens"]].to_dict("records") == SETTINGS
    good = frame.lr != 3
    assert frame.state.tolist() == ["finished" if g else "diverged" for g in good]
    assert frame.perplexity[good].equals((frame.lr / frame.num_hiddens)[good])
    assert frame.error[~good].eq("perplexity is nan").all()
    assert frame.steps.eq(1).all()
    trials = Trials("grid", str(path), 3).all()
    completed = [t.user_attrs["key"] for t in trials if t.state.name == "COMPLETE"]
    assert sorted(completed) == sorted(map(key_of, SETTINGS))
    # A setting is noted twice only if the kill came before it could be recorded.
    lines = notes.read_text().splitlines()
    assert len(lines) - len(set(lines)) <= 4


def test_a_worker_may_die_but_none_may_fail(path, tmp_path):
    factor, killed = 10.0, tmp_path / "killed"

    def objective(setting, report):
        if setting["a"] == 0 and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if setting["a"] == 7:
            raise TypeError("no layer of this name")
        metrics = {"perplexity": factor * setting["a"]}
        if setting["a"] == 1:
            import torch

            metrics["threads"] = torch.get_num_threads()
        return metrics

    study = Study("s", path, grace=2)
    settings = grid(a=range(8))
    message = r"(?s)a worker process failed:.*TypeError: no layer of this name.*'a': 7"
    with pytest.raises(RuntimeError, match=message):
        study.run(objective, settings, workers=2)
    assert killed.exists()
    frame = study.frame()
    done = frame[frame.state == "finished"]
    assert len(done) >= 5
    assert done.perplexity.tolist() == [10.0 * a for a in done.a]
    assert frame.threads.dropna().tolist() == [1]
    assert not done.worker.str.endswith(f":{os.getpid()}").any()
    assert frame.state[7] == "failed"
    frame = study.run(lambda *_: {"perplexity": -1.0}, settings)
    assert Counter(frame.state) == {"finished": 8}
    assert frame.perplexity.eq(-1).sum() == 8 - len(done)


def test_ctrl_c_ends_the_workers_and_frees_their_settings(path, tmp_path):
    begun = tmp_path / "begun"

    def objective(setting, report):
        begun.touch()
        time.sleep(60)

    def stop():
        deadline = time.monotonic() + 120
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    study = Study("s", path)
    thread = threading.Thread(target=stop)
    before = psutil.Process().children()  # of other tests in this process
    thread.start()
    with pytest.raises(KeyboardInterrupt, match="study 's' was stopped"):
        study.run(objective, grid(a=[1, 2]), workers=2)
    thread.join()
    assert study.frame().state.tolist() == ["waiting"] * 2
    assert set(psutil.Process().children()) <= set(before)


def test_workers_do_not_go_on_in_a_file_that_is_gone(path):
    def objective(setting, report):
        path.unlink(missing_ok=True)
        return {"perplexity": 1.0}

    study = Study("s", path)
    parcel = pickle.dumps(study)
    assert pickle.loads(parcel).frame().empty
    with pytest.raises(RuntimeError, match=r"the file .* of study 's' is gone"):
        study.run(objective, grid(a=range(4)), workers=2)
    with pytest.raises(RuntimeError, match=r"the file .* of study 's' is gone"):
        pickle.loads(parcel)
    assert not path.exists()


def test_if_all_workers_are_killed_the_run_says_so(path, monkeypatch):
    monkeypatch.setattr(Crew, "__enter__", lambda crew: crew)  # none is there
    message = r"all 2 workers were killed, .* make the same call again"
    with pytest.raises(RuntimeError, match=message):
        Study("s", path).run(pytest.fail, grid(a=[1, 2]), workers=2)
