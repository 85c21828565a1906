"""The command line: ``python -m tools COMMAND [options]``."""

import argparse
import importlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from tools import assignments, export, notebook, repository
from tools.lint import lint

# The function in `tools.studies` that carries each out.
STUDIES = {
    "texts": "texts.measure",
    "depth": "depth.measure",
    "dates": "dates.measure",
    "ablation": "ablation.measure",
    "grid": "grid.measure",
    "searches": "grid.measure_searches",
}


def run(arguments: argparse.Namespace) -> int:
    """Run notebooks in place."""
    for path in arguments.notebooks or notebook.notebooks():
        started = time.perf_counter()
        try:
            notebook.execute(path)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            failed = f"{path}: a cell failed; the file is as it was.\n{error}"
            print(failed, file=sys.stderr)
            return 1
        print(f"{path}: {time.perf_counter() - started:.0f} s", flush=True)
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """Write (or check) the code that the chapters export."""
    paths = list(export.outdated()) if arguments.check else export.export()
    return _report(paths, arguments.check)


def run_setup(arguments: argparse.Namespace) -> int:
    """Write (or check) the setup cells."""
    if arguments.check:
        return _report(repository.outdated_setup_cells(), check=True)
    return _report(repository.write_setup_cells(), check=False)


def run_lint(arguments: argparse.Namespace) -> int:
    """Lint notebooks."""
    paths = arguments.notebooks or notebook.notebooks()
    faults = [fault for path in paths for fault in lint(path)]
    print("\n".join(faults or ["notebooks: nothing to mend"]))
    return int(bool(faults))


def run_repo(arguments: argparse.Namespace) -> int:
    """Change the repository's address everywhere."""
    return _report(repository.move_to(arguments.url), check=False)


def run_results(arguments: argparse.Namespace) -> int:
    """Measure what the chapters quote and write book/results."""
    # They import PyTorch, which the other commands need not wait for.
    from tools.studies import common

    scale = common.reduced(arguments.reduced) if arguments.reduced else common.FULL
    for name in [arguments.study] if arguments.study else STUDIES:
        module, _, function = STUDIES[name].partition(".")
        measure = getattr(importlib.import_module(f"tools.studies.{module}"), function)
        for path in common.write(measure, scale):
            print(f"{path}: written")
    return 0


def run_assignments(arguments: argparse.Namespace) -> int:
    """Write the student versions."""
    for path in assignments.write_releases(arguments.sources, arguments.target):
        print(path)
    return 0


def run_screenshot(_: argparse.Namespace) -> int:
    """Photograph the built book for the README."""
    from tools import browser

    print(browser.screenshot())
    return 0


def _report(paths: Iterable[Path], check: bool) -> int:
    state = "out of date, run `make notebooks`" if check else "written"
    for path in paths:
        print(f"{path.relative_to(notebook.ROOT)}: {state}")
    return int(check and bool(paths))


def parser() -> argparse.ArgumentParser:
    """Return the parser of all subcommands."""
    main = argparse.ArgumentParser(
        prog="python -m tools", description="Maintains the course's repository."
    )
    commands = main.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function, help: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help, description=help)
        command.set_defaults(function=function)
        return command

    notebooks = {"nargs": "*", "type": Path, "metavar": "NOTEBOOK"}
    check = {"action": "store_true", "help": "write nothing; exit 1 if it is needed"}
    folder = {"type": Path, "metavar": "FOLDER"}

    command = add("run", run, "run notebooks in place, on the CPU, and normalize them")
    command.add_argument("notebooks", help="default: all", **notebooks)
    command = add("export", run_export, "write the cells tagged `export` to utils/")
    command.add_argument("--check", **check)
    command = add("setup", run_setup, "write the setup cell of every notebook")
    command.add_argument("--check", **check)
    command = add("lint", run_lint, "check the rules for notebooks")
    command.add_argument("notebooks", help="default: all", **notebooks)
    command = add("repo", run_repo, "change the repository's address everywhere")
    command.add_argument("url")
    command = add("results", run_results, "measure what is quoted: book/results/*.json")
    text = f"one of {', '.join(STUDIES)} (default: all); `texts` needs The Time Machine"
    command.add_argument(
        "study", nargs="?", choices=STUDIES, metavar="STUDY", help=text
    )
    text = "carry out a little of each study, and write to FOLDER instead"
    command.add_argument("--reduced", help=text, **folder)
    command = add("assignments", run_assignments, "write all student versions")
    text = "the assignments, NAME/NAME.ipynb each (default: chapters/exercises)"
    command.add_argument(
        "--sources", default=assignments.EXERCISES, help=text, **folder
    )
    text = "where to write them (default: _build/assignments)"
    command.add_argument("--target", default=assignments.RELEASES, help=text, **folder)
    add(
        "screenshot", run_screenshot, "photograph the book: book/figures/screenshot.png"
    )
    return main


if __name__ == "__main__":
    chosen = parser().parse_args()
    try:
        sys.exit(chosen.function(chosen))
    except (ValueError, RuntimeError, ConnectionError) as error:
        sys.exit(f"error: {error}")
