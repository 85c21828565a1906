"""Running code in a kernel of a chosen environment, as JupyterLab or Colab would."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tools.notebook import ROOT

COLAB_PYTHON = ROOT / ".venv-colab" / "bin" / "python"


def colab_versions() -> dict[str, str]:
    """Return Colab's versions by package, from the file that the environment was made from."""
    path = ROOT / os.environ.get("COLAB_VERSIONS", "tools/colab-versions.txt")
    lines = [line.split("==") for line in path.read_text().splitlines() if "==" in line]
    return {name.lower(): version for name, version in lines}


def kernel_home(folder: Path, python: Path | str) -> Path:
    """Write a kernelspec ``python3`` that starts ``python``; return the folder for JUPYTER_PATH."""
    spec = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
    }
    target = folder / "kernels" / "python3"
    target.mkdir(parents=True)
    (target / "kernel.json").write_text(json.dumps(spec))
    return folder


def execute(notebook, folder: Path, timeout: int = 900):
    """Run ``notebook`` from top to bottom in ``folder``; return it with its outputs."""
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", resources=resources
    )
    return client.execute()


def notebook_of(*sources: str):
    """Return a notebook with these code cells."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return nbformat.v4.new_notebook(cells=cells)


def printed(cell) -> str:
    """Return what a cell printed."""
    return "".join(output.get("text", "") for output in cell.outputs)


def snapshot(folder: Path) -> str:
    """Commit the working tree's files into a repository at ``folder``; return its address."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    identity = {
        f"GIT_{who}_{what}": "test@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    identity["GIT_CONFIG_GLOBAL"] = os.devnull  # nobody's signing keys or hooks
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "snapshot"]):
        subprocess.run(
            ["git", *command], cwd=folder, check=True, env=os.environ | identity
        )
    return folder.as_uri()
