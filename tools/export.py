"""Cells tagged ``export`` become the shared module: code is written in its chapter."""

import re
import subprocess
import sys
from pathlib import Path

from tools.notebook import ROOT, load, notebooks
from utils.files import write_atomically

MARKER = (
    "# ---- Below: exported from the chapters by `make notebooks`. "
    "Edit there, not here. ----"
)
TARGET = re.compile(r"# exported to utils/(\w+\.py)\n")


def exported_modules() -> dict[Path, str]:
    """Return what each module with exported cells should hold, by path.

    Raises:
        ValueError: an ``export`` cell does not name its module, or the module lacks the
            marker line.
    """
    modules = sorted((ROOT / "utils").glob("*.py"))
    blocks: dict[str, list[str]] = {
        path.name: [] for path in modules if MARKER in path.read_text(encoding="utf-8")
    }
    for path in notebooks():
        for cell in load(path).cells:
            if "export" in cell.metadata.get("tags", []):
                name, block = _block(path, cell.source)
                blocks.setdefault(name, []).append(block)
    return {
        ROOT / "utils" / name: _module(ROOT / "utils" / name, code)
        for name, code in blocks.items()
    }


def _block(path: Path, source: str) -> tuple[str, str]:
    """Return which module a cell goes to, and its code below its chapter's name."""
    match = TARGET.match(source)
    if match is None:
        raise ValueError(
            f"{path.name}: an `export` cell begins with {source.splitlines()[:1]}; "
            "expected '# exported to utils/NAME.py' as its first line."
        )
    code = source[match.end() :].strip()
    return match.group(1), f"# From {path.relative_to(ROOT).as_posix()}\n{code}"


def _module(path: Path, blocks: list[str]) -> str:
    head, marker, _ = path.read_text(encoding="utf-8").partition(MARKER)
    if not marker:
        raise ValueError(
            f"{path.name} lacks the line {MARKER!r}; put it after the hand-written "
            "part."
        )
    return _formatted("\n\n\n".join([head + marker, *blocks]) + "\n", path.name)


def _formatted(code: str, name: str) -> str:
    ruff = [sys.executable, "-m", "ruff", "format", "--stdin-filename", f"utils/{name}"]
    done = subprocess.run(
        [*ruff, "-"], input=code, capture_output=True, text=True, cwd=ROOT
    )
    if done.returncode:
        raise ValueError(
            f"what the chapters export to {name} is no Python:\n{done.stderr}"
        )
    return done.stdout


def outdated() -> dict[Path, str]:
    """Return what the modules that differ from the chapters' exports should hold."""
    return {
        path: code
        for path, code in exported_modules().items()
        if path.read_text(encoding="utf-8") != code
    }


def export() -> list[Path]:
    """Write the exported modules; return those that changed."""
    changed = outdated()
    for path, code in changed.items():
        write_atomically(path, code.encode())
    return list(changed)
