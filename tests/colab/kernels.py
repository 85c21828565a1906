"""Running code in a kernel of a chosen environment, as JupyterLab or Colab would."""

import json
import os
import subprocess
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tools.notebook import ROOT

COLAB_PYTHON = ROOT / ".venv-colab" / "bin" / "python"


def colab_versions() -> dict[str, str]:
    """Return Colab's versions by package, from the file that made the environment."""
    path = ROOT / os.environ.get("COLAB_VERSIONS", "tools/colab-versions.txt")
    lines = [line.split("==") for line in path.read_text().splitlines() if "==" in line]
    return {name.lower(): version for name, version in lines}


def start_kernels_with(python: Path | str, folder: Path, monkeypatch) -> None:
    """Let the kernelspec ``python3``, written into ``folder``, start ``python``."""
    # Without the option, the debugger warns of modules that it cannot stop in.
    argv = [str(python), "-Xfrozen_modules=off", "-m", "ipykernel_launcher"]
    spec = {
        "argv": [*argv, "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
    }
    target = folder / "kernels" / "python3"
    target.mkdir(parents=True)
    (target / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(folder))


def execute(notebook, folder: Path) -> None:
    """Run ``notebook`` in ``folder``; its cells hold the outputs, also if one fails."""
    resources = {"metadata": {"path": str(folder)}}
    options = {"timeout": 900, "kernel_name": "python3", "resources": resources}
    NotebookClient(notebook, **options).execute()


def run(folder: Path, *sources: str) -> list:
    """Run code cells in ``folder``, in one kernel; return them with their outputs."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    execute(nbformat.v4.new_notebook(cells=cells), folder)
    return cells


def printed(cell) -> str:
    """Return what a cell printed."""
    return "".join(output.get("text", "") for output in cell.outputs)


def snapshot(folder: Path) -> str:
    """Commit the working tree into a repository at ``folder``; return its address."""
    git = ["git", f"--git-dir={folder}", f"--work-tree={ROOT}"]
    git += ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    plain = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull}  # nobody's keys or hooks
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "snapshot"]):
        subprocess.run([*git, *command], cwd=ROOT, check=True, env=plain)
    return folder.as_uri()
