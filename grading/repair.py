"""Putting a submission back into the form of its assignment, and saying what was done.

The tests and other locked cells come from the assignment. A student's are the solutions
and the cells of their own, which stay where they were, so that the notebook does what
the student's did.
"""

import copy
import re
import reprlib
from collections import Counter
from typing import NamedTuple

from nbformat import NotebookNode, v4

from grading.reading import grade_id

SIMILAR = 0.6  # share of words in common from which on a cell is taken for another
TAG = re.compile(r"<(?=[A-Za-z/!?])")
WORD = re.compile(r"\w+|[^\w\s]")


def harmless(markdown: str) -> str:
    """Return Markdown whose HTML shows as text: a script would run where it is read."""
    return TAG.sub("&lt;", markdown)


class Note(NamedTuple):
    """Something that was repaired; ``look`` if a person should look at it."""

    text: str
    look: bool


def repair(
    submitted: NotebookNode, release: NotebookNode
) -> tuple[NotebookNode, list[Note]]:
    """Return a sound notebook with the student's work, and what was done to get it.

    Both are in format 4.5; ``reading.read`` makes ``submitted`` so.
    """
    return _Repair(submitted, release).run()


class _Repair:
    """One repair: finds the assignment's cells among ``theirs``, puts all together."""

    def __init__(self, submitted: NotebookNode, release: NotebookNode) -> None:
        self.theirs, self.release = submitted.cells, release
        self.wanted = {grade_id(cell): cell for cell in release.cells if grade_id(cell)}
        self.place: dict[str, int] = {}  # of each cell of the assignment among theirs
        self.dropped: set[int] = set()  # copies of what the assignment has anyway
        self.kept_beside: set[str] = set()  # locked cells whose changed text runs, too
        self.notes: list[Note] = []

    def run(self) -> tuple[NotebookNode, list[Note]]:
        self._find_by_grade_id()
        self._find_by_id_or_text()
        self._find_by_likeness()
        for name, index in self.place.items():
            self._compare(name, self.theirs[index])
        for name, cell in self.wanted.items():
            if name not in self.place:
                self._note(f"{name} was missing and was put back", _is_solution(cell))
        order = [self.place[name] for name in self.wanted if name in self.place]
        if order != sorted(order):
            self._note("the cells were in another order; they are in the assignment's")
        return self._assembled(), self.notes

    def _note(self, text: str, look: bool = False) -> None:
        self.notes.append(Note(text, look))

    def _free(self, start: int = 0, stop: int | None = None) -> list[int]:
        """Return the places of cells not yet found to be one of the assignment's."""
        taken = {*self.place.values(), *self.dropped}
        stop = len(self.theirs) if stop is None else stop
        return [index for index in range(start, stop) if index not in taken]

    def _find_by_grade_id(self) -> None:
        for name, cell in self.wanted.items():
            found = [i for i, one in enumerate(self.theirs) if grade_id(one) == name]
            same = [i for i in found if _same(self.theirs[i], cell)]
            other = [i for i in found if i not in same]
            if not found:
                continue
            # Of a solution, the last that was written; of a locked cell, the original.
            best = (other or same)[-1] if _is_solution(cell) else (same or other)[0]
            again = [i for i in other if _same(self.theirs[i], self.theirs[best])]
            self.place[name] = best
            self.dropped.update({*same, *again} - {best})
            if len(found) > 1:
                rest = "the last that was filled in counts" if other else "one counts"
                look = _is_solution(cell) and len(other) > len(again)
                self._note(f"{name} was there {len(found)} times; {rest}", look)

    def _find_by_id_or_text(self) -> None:
        before = len(self.place)
        for matches in (lambda a, b: a.id and a.id == b.id, _same):
            for name, cell in self.wanted.items():
                if name not in self.place:
                    for index in self._free():
                        if matches(self.theirs[index], cell):
                            self.place[name] = index
                            break
        if found := len(self.place) - before:
            self._note(f"{found} cells had lost their metadata; it was put back")

    def _find_by_likeness(self) -> None:
        names = [name for name in self.wanted if name not in self.place]
        # Locked cells first: what is left of them is more like them than any solution.
        for name in sorted(names, key=lambda name: _is_solution(self.wanted[name])):
            cell = self.wanted[name]
            choice = [i for i in self._gap(name) if not self._is_prose(i)]
            likeness = {i: _likeness(self.theirs[i], cell) for i in choice}
            best = max(likeness, key=likeness.__getitem__, default=None)
            if best is None:
                continue
            same_type = self.theirs[best].cell_type == cell.cell_type
            if likeness[best] >= SIMILAR or (_is_solution(cell) and same_type):
                self.place[name] = best
                said = f"{name} was recognized by its place and its text only"
                self._note(said, look=True)

    def _gap(self, name: str) -> list[int]:
        """Return the free places between the assignment's neighbors of a cell."""
        names = list(self.wanted)
        at = names.index(name)
        before = [self.place[n] for n in names[:at] if n in self.place]
        after = [self.place[n] for n in names[at:] if n in self.place]
        start, stop = (before or [-1])[-1] + 1, (after or [len(self.theirs)])[0]
        return self._free(start, stop) if start <= stop else self._free()

    def _is_prose(self, index: int) -> bool:
        """Return whether a cell is a plain one of the assignment, or empty."""
        cell = self.theirs[index]
        prose = [other for other in self.release.cells if not grade_id(other)]
        return not cell.source.strip() or any(
            _same(cell, other) or (cell.id and cell.id == other.id) for other in prose
        )

    def _compare(self, name: str, theirs: NotebookNode) -> None:
        """Note how a cell that was found differs from the assignment's."""
        cell = self.wanted[name]
        if theirs.cell_type != cell.cell_type:
            now = f"it is {cell.cell_type} again"
            self._note(f"{name} had become {theirs.cell_type}; {now}")
        marks, wanted = theirs.metadata.get("nbgrader", {}), cell.metadata.nbgrader
        if grade_id(theirs):
            points, right = marks.get("points"), wanted.get("points")
            if wanted.grade and points != right:
                was = f"had been changed to {reprlib.repr(points)}"
                said = f"the points of {name} {was}; they are {right} again"
                self._note(said, look=True)
            kinds = ("grade", "solution", "locked")
            if any(bool(marks.get(kind)) != wanted[kind] for kind in kinds):
                said = f"{name} had been marked as another kind of cell"
                self._note(said, look=True)
        if not _is_solution(cell) and not _same(theirs, cell):
            what = "the test" if wanted.grade else "the locked cell"
            said = f"{what} {name} had been changed; the original is back"
            self._note(said, look=True)
            if not wanted.grade:  # it may hold an import that a solution needs
                self.kept_beside.add(name)

    def _assembled(self) -> NotebookNode:
        """Return the assignment's cells, each followed by the student's own."""
        owner, groups = "", {"": []}
        names = {index: name for name, index in self.place.items()}
        for index, cell in enumerate(self.theirs):
            if index in names:
                owner = names[index]
                groups[owner] = [cell] if owner in self.kept_beside else []
            elif index not in self.dropped:
                groups[owner].append(cell)
        cells = [_own(cell) for cell in groups[""]]
        for name, cell in self.wanted.items():
            index = self.place.get(name)
            theirs = None if index is None else self.theirs[index]
            cells.append(_filled(cell, theirs))
            cells += [_own(cell) for cell in groups.get(name, [])]
        _name_uniquely(cells, {cell.id for cell in self.wanted.values()})
        result = v4.new_notebook(cells=cells)
        result.metadata = copy.deepcopy(self.release.metadata)
        return result


def _filled(cell: NotebookNode, theirs: NotebookNode | None) -> NotebookNode:
    """Return the assignment's cell; a solution with the student's text."""
    cell = copy.deepcopy(cell)
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    if _is_solution(cell) and theirs is not None:
        written = cell.cell_type == "markdown" and not _same(theirs, cell)
        cell.source = harmless(theirs.source) if written else theirs.source
        if "attachments" in theirs and cell.cell_type != "code":
            cell.attachments = theirs.attachments
    elif _is_solution(cell) and cell.cell_type == "code":
        # The empty form would hide a solution that stands in a cell of their own.
        cell.source = "# This cell was missing."
    return cell


def _own(cell: NotebookNode) -> NotebookNode:
    """Return a student's own cell without metadata, which could change how it runs."""
    cell = copy.deepcopy(cell)
    cell.metadata = NotebookNode()
    if cell.cell_type == "markdown":
        cell.source = harmless(cell.source)
    return cell


def _name_uniquely(cells: list[NotebookNode], reserved: set[str]) -> None:
    seen = set()
    for number, cell in enumerate(cells):
        own = not grade_id(cell)
        if own and (not cell.id or cell.id in reserved | seen):
            cell.id = f"own-{number}"
        seen.add(cell.id)


def _is_solution(cell: NotebookNode) -> bool:
    return cell.metadata.nbgrader.solution


def _same(one: NotebookNode, other: NotebookNode) -> bool:
    """Return whether two cells have the same text; white space around it may differ."""

    def text(cell: NotebookNode) -> list[str]:
        return [line.rstrip() for line in cell.source.strip().splitlines()]

    return text(one) == text(other)


def _likeness(one: NotebookNode, other: NotebookNode) -> float:
    """Return which share of words two cells have in common, half if types differ."""
    words, others = (Counter(WORD.findall(cell.source)) for cell in (one, other))
    share = 2 * (words & others).total() / max((words + others).total(), 1)
    return share if one.cell_type == other.cell_type else 0.5 * share
