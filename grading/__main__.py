"""The command line: ``python -m grading SUBMISSIONS [options]``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tools import assignments


def parser() -> argparse.ArgumentParser:
    """Return the parser of all options; their names are those of ``grade``."""
    said = "Grade what students handed in."
    options = argparse.ArgumentParser(prog="python -m grading", description=said)
    add, folder = options.add_argument, {"type": Path, "metavar": "FOLDER"}
    said = "a folder or .zip file with downloads as they come"
    add("submissions", type=Path, help=said)
    said = "the assignments, NAME/NAME.ipynb each (default: chapters/exercises)"
    add("--sources", **folder, default=assignments.EXERCISES, help=said)
    said = "which one (default: the one that most files are of)"
    add("--assignment", metavar="NAME", help=said)
    said = "the class list, with columns id, name and email"
    add("--roster", type=Path, metavar="CSV", help=said)
    said = "gradebook, tables and feedback pages (default: grades)"
    add("--grades", **folder, default=Path("grades"), help=said)
    said = "run submissions without a sandbox, with access to all your files"
    add("--unsafe", action="store_true", help=said)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Grade as ``arguments`` say, by default those of the command line."""
    options = parser().parse_args(arguments)
    # It imports nbgrader, which `--help` need not wait for.
    from grading.grade import grade

    try:
        grade(**vars(options))
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
