"""The studies: what they train can be trained again, and being killed costs nothing."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from tests.data.stored import stored
from tests.data.test_texts import BOUNDS
from tools import __main__ as command_line
from tools.notebook import ROOT, load, save
from tools.studies import ablation, common, dates, depth, grid, texts


def unheard(step, value):
    """Take a report of a study that nobody listens to."""


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], list(command_line.STUDIES)), *(([s], [s]) for s in command_line.STUDIES)],
    ids=["all", *command_line.STUDIES],
)
def test_the_command_measures_what_it_is_asked_for(words, expected, monkeypatch):
    modules = {"ablation": ablation, "dates": dates, "depth": depth, "texts": texts}
    for name, module in modules.items():
        monkeypatch.setattr(module, "measure", name)
    monkeypatch.setattr(grid, "measure", "grid")
    monkeypatch.setattr(grid, "measure_searches", "searches")
    measured = []
    monkeypatch.setattr(common, "write", lambda *call: measured.append(call) or [])
    arguments = command_line.parser().parse_args(["results", *words])
    assert arguments.function(arguments) == 0
    assert measured == [(name, common.FULL) for name in expected]


def test_a_reduced_study_is_written_elsewhere(tmp_path):
    scale = common.reduced(tmp_path)
    assert (scale.results, scale.updates(1200), scale.updates(4)) == (tmp_path, 12, 2)
    assert scale.some("abc") == "ab"
    assert common.FULL.some("abc") == "abc"
    assert common.FULL.updates(1200) == 1200


@pytest.mark.parametrize("network", texts.EQUAL_WIDTH, ids=lambda n: n.network)
def test_a_network_reaches_its_score_on_the_time_machine_again(network):
    try:
        common.corpus(common.OTHER_TEXT)
    except ConnectionError as error:
        pytest.skip(f"The Time Machine is not here: {str(error).splitlines()[0]}")
    runs = stored(common.OTHER_TEXT)["runs"]
    run = next(r for r in runs if r["network"] == network.network and r["seed"] == 0)
    again = texts.train_network(run | {"text": common.OTHER_TEXT}, unheard)
    assert again["parameters"] == run["parameters"]
    assert again["perplexity"] == pytest.approx(run["perplexity"], abs=0.1)
    assert again["perplexity"] <= BOUNDS[network.network]


def test_a_run_of_the_depth_study_can_be_repeated():
    run = stored("depth")["runs"][9]
    assert (run["num_layers"], run["lr"], run["seed"]) == (1, 0.016, 0)
    again = depth.train_stack(run, unheard)
    assert again["parameters"] == run["parameters"]
    assert again["perplexity"] == pytest.approx(run["perplexity"], rel=0.02)


def test_the_best_setting_of_each_network_is_that_with_the_lowest_mean():
    keys = [*texts.CHOICES, "seed", "perplexity"]
    rows = [
        ("GRU", 9, 0.1, 0.0, 0, 5.0),
        ("GRU", 9, 0.1, 0.0, 1, 4.0),
        ("GRU", 9, 0.2, 0.0, 0, 3.0),
        ("GRU", 9, 0.2, 0.0, 1, 7.0),
        ("RNN", 9, 0.2, 0.5, 0, 9.0),
    ]
    table = pd.DataFrame(rows, columns=keys)
    assert texts.best(table).to_dict("list") == table.iloc[[0, 1, 4]].to_dict("list")
    table.loc[1, "perplexity"] = float("nan")  # it diverged
    assert texts.best(table).lr.tolist() == [0.2, 0.2, 0.2]


def test_the_best_rate_is_chosen_for_each_cell_and_task():
    keys = ["cell", "task", "lr", "seed", "score"]
    rows = [("GRU", "text", 0.1, 0, 2.0), ("GRU", "text", 0.2, 0, 1.0)]
    rows += [("GRU", "adding", 0.1, 0, 0.5), ("GRU", "adding", 0.2, 0, float("nan"))]
    chosen = ablation.best_rates(pd.DataFrame(rows, columns=keys))
    assert [row["lr"] for row in chosen] == [0.2, 0.1]


def test_the_groups_of_the_date_study_count_every_line_once():
    train_days, held_out, new_formats, _ = dates.data()
    right = [len(line) < 12 for line, _ in held_out]
    found = dates.groups(held_out, right)
    assert sum(group["lines"] for group in found) == len(held_out)
    assert sum(group["right"] for group in found) == sum(right)
    assert {group["length"] for group in found if group["right"]} == {"0-11"}
    with_two = sum("/" in target for _, target in held_out)
    assert sum(g["lines"] for g in found if g["dates"] == 2) == with_two
    assert len(new_formats) == 8
    assert not {target for _, target in held_out} & {d.isoformat() for d in train_days}


def test_cells_tagged_study_are_run_and_no_others(tmp_path, monkeypatch):
    page = load(ROOT / "chapters/exercises/gate_ablation/gate_ablation.ipynb")
    page.cells = [cell for cell in page.cells if cell.cell_type == "code"][:3]
    for cell, source, tags in zip(
        page.cells,
        ("BASE = 2", "raise RuntimeError", "def double(x):\n    return BASE * x"),
        (["study"], ["setup"], ["study", "hide-input"]),
        strict=True,
    ):
        cell.source, cell.metadata = source, cell.metadata | {"tags": tags}
    save(page, tmp_path / "page.ipynb")
    sources = {"page": tmp_path / "page.ipynb"}
    monkeypatch.setattr(common.assignments, "sources", lambda: sources)
    code, defined = common.page("page", "BASE", common.reduced(tmp_path))
    assert code == "BASE = 2\n\ndef double(x):\n    return BASE * x"
    assert defined["__name__"] == "page"
    assert defined["double"](4) == 4  # BASE has become 1


@pytest.mark.parametrize("name", ["ablation", "grid", "searches", "dates"])
def test_a_study_runs_from_end_to_end(name, tmp_path, monkeypatch):
    for module in (ablation, dates, grid):
        monkeypatch.setattr(module, "WORKERS", 1)  # fresh processes take their time
    monkeypatch.setattr(grid, "compare_workers", lambda train, sample: {})
    arguments = ["results", name, "--reduced", str(tmp_path)]
    arguments = command_line.parser().parse_args(arguments)
    assert arguments.function(arguments) == 0
    results, full = json.loads((tmp_path / f"{name}.json").read_text()), stored(name)
    assert results.keys() == full.keys()
    for key, value in results.items():
        if isinstance(value, list):
            assert value[0].keys() == full[key][0].keys()


def test_workers_are_compared_with_one_process(monkeypatch):
    monkeypatch.setattr(grid, "WORKERS", 2)

    def objective(setting, report):
        return {"perplexity": setting["a"]}

    gain = grid.compare_workers(objective, [{"a": 1}, {"a": 2}])
    assert gain["settings"] == 2
    took = gain["seconds, 1 process"] / gain[f"seconds, {grid.WORKERS} workers"]
    assert gain["ratio"] == pytest.approx(took, abs=0.02)


def measure_depth(folder):
    """Start the depth study at a small scale; return the process, a group's first."""
    command = [sys.executable, "-m", "tools", "results", "depth", "--reduced", folder]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, **quiet)


def test_a_study_that_is_killed_three_times_has_the_same_rows(tmp_path, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    monkeypatch.setattr(depth, "WORKERS", 1)
    list(common.write(depth.measure, common.reduced(whole)))
    moments = random.Random(0)
    watched = common.reduced(killed).study("depth", "perplexity")
    for already in range(3):
        study = measure_depth(killed)
        while sum(watched.frame().state == "finished") <= already:
            assert study.poll() is None, study.stderr.read()
            time.sleep(moments.uniform(0, 0.3))
        assert study.poll() is None, study.stderr.read()
        os.killpg(study.pid, signal.SIGKILL)
        study.wait()
    assert not (killed / "depth.json").exists()
    last = measure_depth(killed)
    assert last.wait() == 0, last.stderr.read()
    assert (whole / "depth.json").read_text() == (killed / "depth.json").read_text()
