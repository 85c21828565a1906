"""The repository holds together: one address, one palette, nothing that must not be there."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from tools import repository
from tools.notebook import ROOT, load, notebooks
from utils.plots import PALETTE
from utils.text import CORPORA, CORPORA_DIR

TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.splitlines()


def test_every_setup_cell_has_the_address_of_the_config():
    assert repository.outdated_setup_cells() == []
    assert repository.repository_url() in repository.setup_cell()


def test_every_page_has_the_address_of_the_config():
    url = repository.repository_url()
    for name in repository.PAGES_WITH_ADDRESS:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert url in text, name
        if url != repository.PLACEHOLDER:
            assert "OWNER/unrolled" not in text, name


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the files that hold the address, which `make repo` may change."""
    for name in ("_config.yml", *repository.PAGES_WITH_ADDRESS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    chapter = shutil.copy(notebooks()[0], tmp_path)
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    monkeypatch.setattr(
        repository, "notebooks", lambda: [tmp_path / notebooks()[0].name]
    )
    repository.move_to(repository.PLACEHOLDER)
    return tmp_path, tmp_path / chapter


def test_make_repo_changes_the_address_everywhere(copy):
    folder, chapter = copy
    changed = repository.move_to("https://github.com/someone/rnn-course/")
    assert len(changed) == 2 + len(repository.PAGES_WITH_ADDRESS)
    assert repository.repository_url() == "https://github.com/someone/rnn-course"
    for path in changed:
        assert "OWNER/unrolled" not in path.read_text()
    assert (
        "colab.research.google.com/github/someone/rnn-course/blob"
        in (folder / "README.md").read_text()
    )
    cell = load(chapter).cells[repository.find_setup_cell(load(chapter))]
    assert '"https://github.com/someone/rnn-course"' in cell.source
    assert repository.move_to("https://github.com/someone/rnn-course") == []


@pytest.mark.parametrize(
    "url", ["", "someone/unrolled", "http://github.com/a/b", "https://github.com/a"]
)
def test_a_bad_address_changes_nothing(copy, url):
    folder, _ = copy
    before = (folder / "_config.yml").read_text()
    with pytest.raises(
        ValueError, match=r"expected an address such as https://github\.com/"
    ):
        repository.move_to(url)
    assert (folder / "_config.yml").read_text() == before


def test_the_drawings_use_the_palette_only():
    allowed = {color.upper() for color in PALETTE.values()}
    for path in (ROOT / "book" / "figures").glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        used = {
            color.upper()
            for color in re.findall(r"#[0-9a-fA-F]{6}\b|#[0-9a-fA-F]{3}\b", text)
        }
        assert used <= allowed, path.name
        assert "<title" in text, path.name
        assert "href=" not in text.replace('href="#', ""), path.name


def test_the_live_figures_take_their_colors_from_the_palette():
    for path in (ROOT / "utils" / "live").glob("*.js"):
        assert not re.search(r"#[0-9a-fA-F]{6}\b", path.read_text()), path.name


def test_the_time_machine_is_not_in_the_repository():
    assert [name for name in TRACKED if "timemachine" in name] == []
    embedded = {corpus.filename for corpus in CORPORA.values() if not corpus.mirrors}
    assert {path.name for path in CORPORA_DIR.glob("*.txt")} == embedded


def test_sources_name_the_checksum_of_every_corpus():
    sources = (CORPORA_DIR / "SOURCES.md").read_text(encoding="utf-8")
    for corpus in CORPORA.values():
        assert corpus.sha256 in sources


def test_results_name_their_machine_and_command():
    paths = list((ROOT / "book" / "results").glob("*.json"))
    assert paths
    for path in paths:
        result = json.loads(path.read_text(encoding="utf-8"))
        assert result["machine"]
        assert result["command"].startswith("make ")


def test_workflows_and_ci_call_make_targets():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for path in [*(ROOT / ".github" / "workflows").glob("*.yml"), ROOT / ".ci" / "run"]:
        text = path.read_text()
        if path.suffix == ".yml":
            assert yaml.safe_load(text)["jobs"]
        called = set(re.findall(r"\bmake ([a-z-]+)", text))
        assert called, path.name
        assert called <= targets, path.name


def test_every_chapter_is_in_the_table_of_contents():
    toc = (ROOT / "_toc.yml").read_text()
    for path in notebooks():
        assert str(path.relative_to(ROOT).with_suffix("")) in toc


def test_what_is_installed_is_pinned():
    pinned = {
        line.split("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            package = re.match(r"[\w-]+", line)
            if package and not line.startswith(("#", "-r")):
                assert package.group().lower() in pinned, package.group()


def test_the_command_line_explains_itself():
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "tools", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for command in ("run", "export", "setup", "lint", "repo", "results", "screenshot"):
        assert re.search(rf"^\s+{command}\b", done.stdout, re.MULTILINE)
