"""The repository's one command-line program."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from nbclient.exceptions import (
    CellExecutionError,
    CellTimeoutError,
    DeadKernelError,
)

from tools import assignments, export, notebook, repository
from tools.lint import lint


def run(arguments: argparse.Namespace) -> int:
    """Run notebooks in place."""
    for path in arguments.notebooks or notebook.notebooks():
        started = time.perf_counter()
        try:
            notebook.execute(path)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            print(
                f"{path}: a cell failed; the file is as it was.\n{error}",
                file=sys.stderr,
            )
            return 1
        print(f"{path}: {time.perf_counter() - started:.0f} s", flush=True)
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """Write (or check) the code that the chapters export."""
    paths = list(export.outdated()) if arguments.check else export.export()
    return _report(paths, arguments.check)


def run_setup(arguments: argparse.Namespace) -> int:
    """Write (or check) the setup cells."""
    check = arguments.check
    paths = (
        repository.outdated_setup_cells() if check else repository.write_setup_cells()
    )
    return _report(paths, check)


def _report(paths: list[Path], check: bool) -> int:
    for path in paths:
        print(
            f"{path.relative_to(notebook.ROOT)}: {'out of date, run `make notebooks`' if check else 'written'}"
        )
    return int(check and bool(paths))


def run_lint(arguments: argparse.Namespace) -> int:
    """Lint notebooks."""
    faults = [
        fault
        for path in arguments.notebooks or notebook.notebooks()
        for fault in lint(path)
    ]
    print("\n".join(faults or ["notebooks: nothing to mend"]))
    return int(bool(faults))


def run_repo(arguments: argparse.Namespace) -> int:
    """Change the repository's address everywhere."""
    return _report(repository.move_to(arguments.url), check=False)


STUDIES = ("texts", "depth", "dates", "ablation", "grid", "searches")


def run_results(arguments: argparse.Namespace) -> int:
    """Measure what the chapters quote and write book/results."""
    # They import PyTorch, which the other commands need not wait for.
    from tools import ablation_study, date_study, depth_study, grid_study, results

    measures = (
        results.measure,
        depth_study.measure,
        date_study.measure,
        ablation_study.measure,
        grid_study.measure,
        grid_study.measure_searches,
    )
    chosen = dict(zip(STUDIES, measures, strict=True))
    for name in [arguments.study] if arguments.study else STUDIES:
        results.write(chosen[name]())
    return 0


def run_assignments(arguments: argparse.Namespace) -> int:
    """Write the student versions."""
    for path in assignments.write_releases(arguments.sources, arguments.target):
        print(path)
    return 0


def run_grade(arguments: argparse.Namespace) -> int:
    """Grade what students handed in."""
    from tools.grading.grade import grade

    grade(
        arguments.submissions,
        arguments.grades,
        assignment=arguments.assignment,
        roster=arguments.roster,
        sources=arguments.sources,
        unsafe=arguments.unsafe,
    )
    return 0


def run_screenshot(_: argparse.Namespace) -> int:
    """Photograph the built book for the README."""
    from tools import browser

    print(browser.screenshot())
    return 0


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

    paths = {"nargs": "*", "type": Path, "metavar": "NOTEBOOK", "help": "default: all"}
    add(
        "run", run, "run notebooks in place, on the CPU, and normalize them"
    ).add_argument("notebooks", **paths)
    check = {
        "action": "store_true",
        "help": "change nothing; exit 1 if something is out of date",
    }
    add("export", run_export, "write the cells tagged `export` to utils/").add_argument(
        "--check", **check
    )
    add(
        "setup", run_setup, "write the setup cell of every notebook from _config.yml"
    ).add_argument("--check", **check)
    add("lint", run_lint, "check the rules for notebooks").add_argument(
        "notebooks", **paths
    )
    add("repo", run_repo, "change the repository's address everywhere").add_argument(
        "url"
    )
    add(
        "results",
        run_results,
        "measure what the chapters quote and write book/results/*.json (`texts` needs The Time Machine)",
    ).add_argument(
        "study", nargs="?", choices=STUDIES, metavar="STUDY", help="default: all"
    )
    sources = {
        "type": Path,
        "default": assignments.EXERCISES,
        "metavar": "FOLDER",
        "help": "the assignments, NAME/NAME.ipynb each (default: chapters/exercises)",
    }
    releases = add(
        "assignments", run_assignments, "write the student versions of all assignments"
    )
    releases.add_argument("--sources", **sources)
    releases.add_argument(
        "--target",
        type=Path,
        default=assignments.RELEASES,
        metavar="FOLDER",
        help="where to write them (default: _build/assignments)",
    )
    grades = add("grade", run_grade, "grade a folder of submissions")
    grades.add_argument(
        "submissions",
        type=Path,
        help="a folder or .zip file with downloads as they come",
    )
    grades.add_argument("--sources", **sources)
    grades.add_argument(
        "--assignment",
        metavar="NAME",
        help="which one (default: the one that most files are of)",
    )
    grades.add_argument(
        "--roster",
        type=Path,
        metavar="CSV",
        help="the class list, with columns id, name and email",
    )
    grades.add_argument(
        "--grades",
        type=Path,
        default=Path("grades"),
        metavar="FOLDER",
        help="gradebook, tables and feedback pages (default: grades)",
    )
    grades.add_argument(
        "--unsafe",
        action="store_true",
        help="run submissions without a sandbox, with access to all your files",
    )
    add(
        "screenshot",
        run_screenshot,
        "photograph the built book into book/figures/screenshot.png",
    )
    return main


if __name__ == "__main__":
    chosen = parser().parse_args()
    try:
        sys.exit(chosen.function(chosen))
    except ValueError as error:
        sys.exit(f"error: {error}")
