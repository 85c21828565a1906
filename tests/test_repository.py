"""``make repo`` changes the repository's address everywhere."""

import shutil

import pytest

from tools import repository
from tools.notebook import ROOT, load, notebooks


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the files that hold the address, which `make repo` may change."""
    for name in ("_config.yml", *repository.PAGES_WITH_ADDRESS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    chapter = tmp_path / shutil.copy(notebooks()[0], tmp_path)
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    monkeypatch.setattr(repository, "notebooks", lambda: [chapter])
    repository.move_to(repository.PLACEHOLDER)
    return tmp_path, chapter


def test_make_repo_changes_the_address_everywhere(copy):
    folder, chapter = copy
    changed = repository.move_to("https://github.com/someone/rnn-course/")
    assert len(changed) == 2 + len(repository.PAGES_WITH_ADDRESS)
    assert repository.repository_url() == "https://github.com/someone/rnn-course"
    for path in changed:
        assert "OWNER/unrolled" not in path.read_text()
    button = "colab.research.google.com/github/someone/rnn-course/blob"
    assert button in (folder / "README.md").read_text()
    cell = load(chapter).cells[repository.find_setup_cell(load(chapter))]
    assert '"https://github.com/someone/rnn-course"' in cell.source
    assert repository.move_to("https://github.com/someone/rnn-course") == []


@pytest.mark.parametrize(
    "url", ["", "someone/unrolled", "http://github.com/a/b", "https://github.com/a"]
)
def test_a_bad_address_changes_nothing(copy, url):
    before = (copy[0] / "_config.yml").read_text()
    with pytest.raises(ValueError, match=r"such as https://github\.com/"):
        repository.move_to(url)
    assert (copy[0] / "_config.yml").read_text() == before


def test_a_notebook_without_a_setup_cell_is_named(copy, monkeypatch):
    page = load(copy[1])
    page.cells = [c for c in page.cells if "setup" not in c.metadata.get("tags", [])]
    repository.save(page, copy[1])
    assert repository.outdated_setup_cells() == [copy[1]]
    with pytest.raises(ValueError, match="has no cell tagged `setup`; add an empty"):
        repository.write_setup_cells()
