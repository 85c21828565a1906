"""The repository holds together: one address, one palette, nothing that must not be."""

import re
import subprocess

import yaml

from tools import repository
from tools.notebook import ROOT, notebooks
from utils.corpora import CORPORA, CORPORA_DIR
from utils.palette import PALETTE

TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.splitlines()


def test_every_page_has_the_address_of_the_config():
    url = repository.repository_url()
    for name in repository.PAGES_WITH_ADDRESS:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert url in text, name
        if url != repository.PLACEHOLDER:
            assert "OWNER/unrolled" not in text, name


def test_the_drawings_use_the_palette_only():
    allowed = {color.upper() for color in PALETTE.values()}
    for path in (ROOT / "book" / "figures").glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        used = re.findall(r"#[0-9a-fA-F]{6}\b|#[0-9a-fA-F]{3}\b", text)
        assert {color.upper() for color in used} <= allowed, path.name
        assert "<title" in text, path.name
        assert "href=" not in text.replace('href="#', ""), path.name


def test_the_time_machine_is_not_in_the_repository():
    assert [name for name in TRACKED if "timemachine" in name] == []
    embedded = {corpus.filename for corpus in CORPORA.values() if not corpus.mirrors}
    assert {path.name for path in CORPORA_DIR.glob("*.txt")} == embedded


def test_sources_name_the_checksum_of_every_corpus():
    sources = (CORPORA_DIR / "SOURCES.md").read_text(encoding="utf-8")
    for corpus in CORPORA.values():
        assert corpus.sha256 in sources


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


def test_a_commit_that_touches_an_exported_module_is_checked():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = {hook["id"]: hook for hook in config["repos"][0]["hooks"]}
    watched = re.compile(hooks["export"]["files"])
    for name in TRACKED:
        if re.match(r"chapters/0.*ipynb|utils/.*py", name):
            assert watched.search(name), name


def test_every_chapter_is_in_the_table_of_contents():
    toc = (ROOT / "_toc.yml").read_text()
    for path in notebooks():
        assert str(path.relative_to(ROOT).with_suffix("")) in toc


def test_what_is_installed_is_pinned():
    pinned = (ROOT / "constraints.txt").read_text().lower()
    for path in ROOT.glob("requirements*.txt"):
        for line in path.read_text().splitlines():
            package = re.match(r"[\w-]+", line)
            if package and not line.startswith(("#", "-r")):
                assert f"\n{package.group().lower()}==" in pinned, package.group()
