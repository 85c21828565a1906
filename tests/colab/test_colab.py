"""The notebooks in an environment with Colab's versions, each from a lone copy.

`make colab-check`, which CI runs each week, runs all chapters. `make test` leaves out
what is marked `weekly`: it runs the first chapter, the last one, and all imports.
"""

import shutil
import subprocess

import pytest
from nbclient.exceptions import CellExecutionError

from tests.colab import kernels
from tools.assignments import EXERCISES, kind, sources, write_releases
from tools.notebook import execute, load, notebooks
from tools.repository import PLACEHOLDER, SETUP_CELL, setup_cell

CHAPTERS = [path for path in notebooks() if EXERCISES not in path.parents]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The address of a local repository that stands in for the hosted one."""
    return kernels.snapshot(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """A folder with the student versions of all assignments."""
    folder = tmp_path_factory.mktemp("releases")
    write_releases(target=folder)
    return folder


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty folder; kernels have Colab's versions, but no course and no Colab."""
    if not kernels.COLAB_PYTHON.exists():
        pytest.fail("no .venv-colab: run `make colab-check`")
    kernels.start_kernels_with(kernels.COLAB_PYTHON, tmp_path / "jupyter", monkeypatch)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.delenv("UNROLLED_REPO", raising=False)
    content = tmp_path / "content"
    content.mkdir()
    return content


@pytest.fixture
def colab(elsewhere, monkeypatch):
    """The same folder on a machine that looks like Colab."""
    stub = elsewhere.parent / "stub" / "google" / "colab"
    stub.mkdir(parents=True)
    (stub / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(stub.parent.parent))
    return elsewhere


@pytest.fixture
def hosted(colab, repository, monkeypatch):
    """Colab, with the course's repository to clone."""
    monkeypatch.setenv("UNROLLED_REPO", repository)
    return colab


def installed():
    command = [kernels.COLAB_PYTHON, "-m", "pip", "freeze"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def chapter(path):
    marks = [] if path in (CHAPTERS[0], CHAPTERS[-1]) else [pytest.mark.weekly]
    return pytest.param(path, id=path.stem, marks=marks)


@pytest.mark.parametrize("path", [chapter(path) for path in CHAPTERS])
def test_a_chapter_runs_from_a_lone_copy_and_installs_nothing(hosted, path):
    before = installed()
    execute(shutil.copy(path, hosted / path.name), timeout=900)
    assert installed() == before


def test_every_chapter_finds_what_it_imports(hosted):
    imports = []
    for path in CHAPTERS:
        code = [c.source for c in load(path).cells if c.cell_type == "code"]
        found = [one for one in code if one.startswith(("import ", "from "))]
        assert found, path
        imports += found
    kernels.run(hosted, setup_cell(), *imports)


@pytest.mark.parametrize("name", sources())
def test_a_students_notebook_runs_to_the_first_stub(hosted, releases, name):
    student = load(releases / name / f"{name}.ipynb")
    with pytest.raises(CellExecutionError, match="NotImplementedError"):
        kernels.execute(student, hosted)
    ran = [c for c in student.cells if c.cell_type == "code" and c.execution_count]
    kinds = [kind(cell) for cell in student.cells]
    last = student.cells.index(ran[-1])
    assert kinds.index("solution") <= last <= kinds.index("tests")


def test_the_environment_has_colabs_versions(elsewhere):
    names = ("ipython", "ipywidgets")
    code = f"from importlib.metadata import version; print(*map(version, {names}))"
    (cell,) = kernels.run(elsewhere, code)
    pins = kernels.colab_versions()
    assert kernels.printed(cell).split() == [pins[name] for name in names]


def test_the_setup_cell_survives_a_second_run_and_a_restart(hosted):
    check = "import utils; print(utils.__file__, sys.path.count(str(root)))"
    path = hosted / "unrolled" / "utils" / "__init__.py"
    for _ in range(2):  # each with a kernel of its own
        *_, cell = kernels.run(hosted, setup_cell(), setup_cell(), check)
        assert kernels.printed(cell).split() == [str(path), "1"]


def test_a_clone_that_broke_off_is_made_again(hosted):
    (hosted / "unrolled.part" / "utils").mkdir(parents=True)
    kernels.run(hosted, setup_cell(), "import utils.text")
    assert not (hosted / "unrolled.part").exists()


def test_with_the_placeholder_the_setup_cell_says_what_to_do(colab):
    with pytest.raises(CellExecutionError, match=r"os\.environ\['UNROLLED_REPO'\]"):
        kernels.run(colab, SETUP_CELL.format(url=PLACEHOLDER))


def test_an_address_that_cannot_be_cloned_is_named(colab, monkeypatch):
    monkeypatch.setenv("UNROLLED_REPO", str(colab / "nowhere"))
    with pytest.raises(CellExecutionError, match="nowhere could not be cloned"):
        kernels.run(colab, setup_cell())
    assert not (colab / "unrolled").exists()


def test_a_lone_notebook_on_another_machine_says_what_it_needs(elsewhere):
    with pytest.raises(CellExecutionError, match="inside a clone of the course"):
        kernels.run(elsewhere, setup_cell())
    assert list(elsewhere.iterdir()) == []
