import itertools
import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from utils.sweep import Study, grid
from utils.sweep.database import Trials
from utils.sweep.plans import key_of
from utils.sweep.sqlite import SQLiteFile


@pytest.fixture
def trials(study, path):
    return Trials(study.name, str(path), 2)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A file with the study "s", which has the results of ten settings."""
    path = tmp_path_factory.mktemp("done") / "own.db"
    Study("s", path).run(train, grid(a=range(10)))
    return path


@pytest.fixture
def file(done, tmp_path):
    """A copy of that file, for this test alone."""
    return Path(shutil.copy(done, tmp_path))


def train(setting, report):
    return {"perplexity": float(setting["a"])}


def states_of(trials):
    return [trial.state.name for trial in trials.all()]


def test_the_setting_of_a_dead_worker_is_taken_up_again(study, trials):
    start, calls = time.monotonic(), []
    trials.add(key_of({"a": 1}), [])
    assert trials.claim(trials.all()[0]._trial_id)

    def objective(setting, report):
        calls.append(setting["a"])
        return train(setting, report)

    frame = study.run(objective, grid(a=[1, 2]))
    assert time.monotonic() - start > 1
    assert calls == [2, 1]
    assert frame.state.tolist() == ["finished"] * 2
    assert states_of(trials) == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_worker_that_gives_signs_of_life_is_waited_for(study, trials):
    trials.add(key_of({"a": 1}), [])
    trial_id = trials.all()[0]._trial_id
    assert trials.claim(trial_id)

    def finish_late():
        with trials.signs_of_life(trial_id):
            time.sleep(3)
            result = {"metrics": {"perplexity": 7.0}, "steps": 0}
            trials.end(trial_id, "COMPLETE", 7.0, result)

    thread = threading.Thread(target=finish_late)
    thread.start()
    frame = study.run(pytest.fail, grid(a=[1]))
    thread.join()
    assert frame.perplexity.tolist() == [7.0]


def test_a_worker_that_died_before_it_began_leaves_nothing_behind(study, trials):
    trials.add(key_of({"a": 1}), [])
    trials.storage.record_heartbeat(trials.all()[0]._trial_id)
    assert study.run(train, grid(a=[1])).state.tolist() == ["finished"]
    assert len(trials.all()) == 1


@pytest.mark.parametrize("reports", [False, True])
def test_one_that_was_taken_for_dead_by_mistake_records_nothing(study, trials, reports):
    calls = []

    def objective(setting, report):
        calls.append(setting)
        if len(calls) == 1:
            trials.end(trials.all()[0]._trial_id, "FAIL", None, {})
        if reports:
            report(1, 2.0)
        return {"perplexity": float(len(calls))}

    assert study.run(objective, grid(a=[1])).perplexity.tolist() == [2.0]
    assert states_of(trials) == ["FAIL", "COMPLETE"]


def test_of_several_trials_of_a_setting_one_is_started(study, trials):
    for _ in range(3):
        trials.add(key_of({"a": 1}), [])
    study.run(train, grid(a=[1]))
    assert states_of(trials) == ["COMPLETE", "WAITING", "WAITING"]
    assert not trials.claim(trials.all()[0]._trial_id)


def test_a_trial_can_be_claimed_by_one_worker_only(path, trials):
    for number in range(30):
        trials.add(str(number), [])
    ids = [trial._trial_id for trial in trials.all()]
    ready = threading.Barrier(4)

    def claim_all(_):
        worker = Trials(trials.name, str(path), 2)
        ready.wait()
        return [trial_id for trial_id in ids if worker.claim(trial_id)]

    with ThreadPoolExecutor(4) as pool:
        claimed = list(pool.map(claim_all, range(4)))
    assert sorted(itertools.chain(*claimed)) == ids


def test_several_can_begin_a_study_at_the_same_time(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        studies = list(pool.map(lambda _: Study("s", tmp_path / "new.db"), range(4)))
    assert studies[0].run(train, grid(a=[1])).a.tolist() == [1]
    assert studies[3].frame().a.tolist() == [1]


@pytest.mark.parametrize(
    ("storage", "reason"),
    [
        ("missing/studies.db", "missing/studies.db cannot be opened: unable to open"),
        (".", "unable to open database file"),
        ("nosuch://host/name", "nosuch://host/name cannot be opened: "),
        ("postgresql://host:port/name", "cannot be opened: "),
        ("postgresql://me:secret@localhost:1/x", r"//me:\*\*\*@localhost:1/x cannot"),
    ],
)
def test_what_cannot_be_opened_is_refused(tmp_path, monkeypatch, storage, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=reason) as caught:
        Study("s", storage)
    assert "Expected the path of an SQLite file in a folder that" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda all: all[: len(all) // 2], "malformed"),
        (lambda all: all[:4096] + bytes(9) + all[4105:], "in database main"),
        (lambda all: all.replace(b'{"worker"', b'{"worker '), "Expecting ':'"),
        (lambda all: b"Twice a day the sea climbed" * 99, "file is not a database"),
        (lambda all: all.replace(b"studies", b"studios"), "a table 'studios'"),
    ],
)
def test_a_damaged_file_is_refused_and_left_as_it_is(file, damage, reason):
    content = damage(file.read_bytes())
    file.write_bytes(content)
    message = f"own.db is damaged, or no file of studies: .*{reason}.* move it away"
    with pytest.raises(ValueError, match=message):
        Study("s", file)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        ("v3.0.0.d", "optuna storage upgrade --storage sqlite:////.*own.db"),
        ("v99.0.0.a", "pip install -U optuna"),
    ],
)
def test_tables_of_another_version_are_refused_and_left(file, version, advice):
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE version_info SET library_version = '3.1.4'")
        connection.execute("UPDATE alembic_version SET version_num = ?", [version])
        connection.execute("DROP TABLE trial_heartbeats")
    content = file.read_bytes()
    message = r"own\.db is of another version\. .*set up by optuna 3\.1\.4"
    with pytest.raises(ValueError, match=rf"{message}.*{advice}.*Make a copy before"):
        Study("s", file)
    assert file.read_bytes() == content


def move(file):
    file.rename(file.with_name("moved.db"))


def replace(file):
    for part in file.parent.glob("own.db*"):
        part.unlink()
    Study("s", file)


@pytest.mark.parametrize("change", [Path.unlink, move, replace])
def test_a_file_that_goes_away_in_a_run_is_missed(file, change):
    def objective(setting, report):
        assert setting["a"] == 10, "it went on"
        change(file)
        return train(setting, report)

    study = Study("s", file)
    message = r"the file .*own\.db of study 's' is gone: it was .* Put it back; or"
    with pytest.raises(RuntimeError, match=message):
        study.run(objective, grid(a=range(12)))
    with pytest.raises(RuntimeError, match="is gone"):
        study.frame()
    if change is move:
        file.with_name("moved.db").rename(file)
        assert len(Study("s", file).frame()) == 12
    elif change is replace:
        assert Study("s", file).frame().empty
    else:
        assert not file.exists()


def test_a_full_disk_is_named_and_what_was_recorded_is_kept(file, monkeypatch):
    whole = SQLiteFile.connect

    def connect(self):
        connection = whole(self)
        connection.execute("PRAGMA max_page_count = 50")
        return connection

    def objective(setting, report):
        text = "x" * 300_000 if setting["a"] == 1 else ""
        return train(setting, report) | {"text": text}

    with monkeypatch.context() as full:
        full.setattr(SQLiteFile, "connect", connect)
        study = Study("full", file, grace=2)
        message = "study 'full' failed: database or disk is full. See that it .* space"
        with pytest.raises(RuntimeError, match=message):
            study.run(objective, grid(a=range(3)))
    frame = Study("full", file, grace=2).run(objective, grid(a=range(3)))
    assert frame.perplexity.tolist() == [0, 1, 2]
    assert frame.text.str.len().tolist() == [0, 300_000, 0]
