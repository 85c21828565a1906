"""Where the repository is hosted, and the cell by which notebooks get it from there."""

import re
from pathlib import Path

import yaml
from nbformat import NotebookNode

from tools.notebook import ROOT, load, notebooks, save
from utils.files import write_atomically

PLACEHOLDER = "https://github.com/OWNER/unrolled"
PAGES_WITH_ADDRESS = (
    "README.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "book/setup.md",
    "book/instructors.md",
)
SETUP_CELL = """\
# Finds the course's module `utils`; on Colab it fetches it first. Installs nothing.
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = os.environ.get("UNROLLED_REPO", "{url}")
here = Path.cwd()
root = next((p for p in (here, *here.parents) if (p / "utils/cells.py").exists()), None)
if root is None:
    try:
        import google.colab  # noqa: F401
    except ImportError:
        raise RuntimeError("open this notebook inside a clone of the course") from None
    if "/OWNER/" in REPOSITORY:
        raise RuntimeError(
            "this copy does not know where the course is hosted: run os.environ"
            "['UNROLLED_REPO'] = 'https://github.com/...' first, then this cell again"
        )
    root, part = here / "unrolled", here / "unrolled.part"
    if not root.exists():  # a clone that broke off leaves only unrolled.part
        shutil.rmtree(part, ignore_errors=True)
        clone = ["git", "clone", "--quiet", "--depth", "1", REPOSITORY, str(part)]
        if subprocess.run(clone).returncode:
            raise RuntimeError(f"{{REPOSITORY}} could not be cloned; see UNROLLED_REPO")
        part.rename(root)
if str(root) not in sys.path:
    sys.path.insert(0, str(root))"""


def repository_url() -> str:
    """Return the repository's address from ``_config.yml``, without a last slash."""
    return _repository()["url"].rstrip("/")


def branch() -> str:
    """Return the branch that readers see, from ``_config.yml``."""
    return _repository()["branch"]


def _repository() -> dict[str, str]:
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    return config["repository"]


def setup_cell() -> str:
    """Return the source of the setup cell that each notebook must have."""
    return SETUP_CELL.format(url=repository_url())


def find_setup_cell(notebook: NotebookNode) -> int | None:
    """Return the index of the cell tagged ``setup``, or None."""
    for index, cell in enumerate(notebook.cells):
        if "setup" in cell.metadata.get("tags", []):
            return index
    return None


def outdated_setup_cells() -> list[Path]:
    """Return the notebooks whose setup cell is missing or another."""
    wanted, outdated = setup_cell(), []
    for path in notebooks():
        notebook = load(path)
        index = find_setup_cell(notebook)
        if index is None or notebook.cells[index].source != wanted:
            outdated.append(path)
    return outdated


def write_setup_cells() -> list[Path]:
    """Write the setup cell into every notebook; return those that changed.

    Raises:
        ValueError: a notebook has no such cell.
    """
    changed = outdated_setup_cells()
    for path in changed:
        notebook = load(path)
        index = find_setup_cell(notebook)
        if index is None:
            raise ValueError(
                f"{path} has no cell tagged `setup`; add an empty one after the "
                "introduction."
            )
        notebook.cells[index].source = setup_cell()
        save(notebook, path)
    return changed


def move_to(url: str) -> list[Path]:
    """Change the repository's address to ``url``; return the files that changed.

    Raises:
        ValueError: ``url`` is no https address of a GitHub repository.
    """
    url = url.rstrip("/").removesuffix(".git")
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        raise ValueError(
            f"URL is {url!r}; expected an address such as "
            "https://github.com/someone/unrolled."
        )
    old = repository_url()
    old_slug, slug = (
        address.removeprefix("https://github.com/") for address in (old, url)
    )
    changed = []
    for name in ("_config.yml", *PAGES_WITH_ADDRESS):
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        # The slug alone stands in Colab's addresses: .../github/OWNER/unrolled/blob/...
        new = re.sub(re.escape(old) + r"(?![\w.-])", url, text)
        new = new.replace(f"/github/{old_slug}/", f"/github/{slug}/")
        if new != text:
            write_atomically(path, new.encode())
            changed.append(path)
    return changed + write_setup_cells()
