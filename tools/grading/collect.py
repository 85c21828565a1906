"""From a folder of downloads to students: which files are whose, and which one counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode

from tools.grading.names import (
    Label,
    Person,
    Roster,
    cleaned,
    fold,
    label,
    safe_name,
    version,
)
from tools.grading.reading import UnreadableError, check_size, read, recognize
from tools.grading.unpack import File

MOST_OF_ONE = 5  # differently named files that one student may hand in


@dataclass
class Student:
    """Somebody who handed in, or should have."""

    id: str  # also the folder's name
    name: str
    email: str = ""
    files: list[File] = field(default_factory=list)
    chosen: File | None = None  # the one that counts
    looks: list[str] = field(default_factory=list)  # why a person should look
    problem: str = ""  # why nothing can be graded


@dataclass(frozen=True)
class Examined:
    """What a file turned out to be: an assignment's notebook, or why not."""

    file: File
    assignment: str | None = None
    problem: str = ""


def examine(file: File, releases: Mapping[str, NotebookNode]) -> Examined:
    """Read a file and say which assignment it is of."""
    if file.problem:
        return Examined(file, problem=file.problem)
    name = file.parts[-1].lower()
    if ".ipynb" not in name and not name.endswith(".json"):
        return Examined(file, problem="it is no .ipynb file")
    try:
        check_size(file.size)
        found = recognize(read(file.path.read_bytes()), releases)
    except UnreadableError as error:
        return Examined(file, problem=str(error))
    return Examined(file, found, "" if found else "it is of no assignment known here")


def majority(examined: Iterable[Examined]) -> str:
    """Return the assignment that most notebooks are of.

    Raises:
        ValueError: there is none, or two have the same number.
    """
    found = Counter(one.assignment for one in examined if one.assignment)
    ranks = found.most_common(2)
    if not ranks:
        raise ValueError(
            "no file handed in is a notebook of an assignment of this course: is this the right folder? "
            'If it is, say which assignment it should be: OPTIONS="--assignment NAME"'
        )
    if len(ranks) == 2 and ranks[0][1] == ranks[1][1]:
        raise ValueError(
            f"as many notebooks are of {ranks[0][0]} as of {ranks[1][0]}: "
            'say which to grade: OPTIONS="--assignment NAME"'
        )
    return ranks[0][0]


def students(
    examined: Iterable[Examined], assignment: str, people: list[Person] | None
) -> list[Student]:
    """Return who handed in what, and, of the class list, who did not; sorted by id."""
    groups = _groups(list(examined), assignment)
    roster, used = Roster(people or []), set()
    persons = _persons(groups, roster) if people else {}
    merged: dict[object, list[tuple[Label, Examined]]] = defaultdict(list)
    reasons = {}
    for key, group in groups.items():
        person, reason = persons.get(key, (None, ""))
        merged[person or key] += group
        reasons[person or key] = reason
    result = []
    for person in people or []:  # first, so that theirs are the plain ids
        student = Student(_unused(person.id, used), person.name, person.email)
        _fill(student, merged.pop(person, []), assignment)
        result.append(student)
    clashes = Counter(fold(group[0][0].text) for group in merged.values())
    for key, group in sorted(merged.items(), key=lambda item: str(item[0])):
        first = group[0][0]
        name = first.text
        if clashes[fold(name)] > 1 and first.platform_id:
            name = f"{name} {first.platform_id.split()[-1]}"
        student = Student(_unused(name, used), name)
        if reasons[key]:
            student.looks.append(f"{reasons[key]}; graded under the name as read")
        _fill(student, group, assignment)
        result.append(student)
    return sorted(result, key=lambda student: student.id)


def _groups(
    examined: list[Examined], assignment: str
) -> dict[str, list[tuple[Label, Examined]]]:
    """Return the files by who they seem to be of."""
    homes: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for one in examined:
        homes[_home(one.file, assignment)].add(_stem(one.file, assignment))
    groups = defaultdict(list)
    for one in examined:
        home = _home(one.file, assignment)
        said = label(one.file.parts, assignment, _is_batch(home, homes))
        groups[said.platform_id or f"name {_plain(said.text)}"].append((said, one))
    return groups


def _home(file: File, assignment: str) -> tuple[str, ...]:
    """Return the innermost folder that is not named after what it holds."""
    home = file.parts[:-1]
    while home and not cleaned(home[-1], assignment):
        home = home[:-1]
    return home


def _is_batch(home: tuple[str, ...], homes: Mapping[tuple[str, ...], set[str]]) -> bool:
    """Return whether a folder's files are several students', by their names."""
    names = homes[home]
    siblings = sum(other[:-1] == home[:-1] for other in homes if other) - bool(home)
    return "" not in names and len(names) > (MOST_OF_ONE if siblings else 1)


def _stem(file: File, assignment: str) -> str:
    return _plain(cleaned(Path(file.parts[-1]).stem, assignment))


def _plain(text: str) -> str:
    """Return what is the same for two spellings of a name, but not for two names."""
    return " ".join(text.replace("_", " ").casefold().split())


def _persons(groups: Mapping, roster: Roster) -> dict[str, tuple[Person | None, str]]:
    """Return whom of the class list each group is; nobody is two students of one system."""
    found = {key: roster.match(group[0][0]) for key, group in groups.items()}
    systems = Counter(
        (person, key.split()[0]) for key, (person, _) in found.items() if person
    )
    for key, (person, _) in found.items():
        system = key.split()[0]
        if person and system != "name" and systems[person, system] > 1:
            found[key] = (None, f"two students fit {person.name!r} of the class list")
    return found


def _unused(name: str, used: set[str]) -> str:
    """Return a safe name that nobody has, also where capitals do not count."""
    plain = name = safe_name(name)
    number = 2
    while name.casefold() in used:
        name, number = f"{plain} ({number})", number + 1
    used.add(name.casefold())
    return name


def _fill(student: Student, group: list, assignment: str) -> None:
    """Choose the file that counts: the last one that can be graded."""
    examined = [one for _, one in group]
    student.files = [one.file for one in examined]
    right = [one for one in examined if one.assignment == assignment]
    right.sort(key=lambda one: _age(one.file))
    for one in examined:
        name = one.file.parts[-1]
        if one.assignment and one.assignment != assignment:
            student.looks.append(f"{name} is of the assignment {one.assignment}")
        elif one.problem:
            student.looks.append(f"{name}: {one.problem}")
    if right:
        student.chosen = right[-1].file
        if len(right) > 1:
            others = ", ".join(one.file.name for one in right[:-1])
            student.looks.append(
                f"{len(right)} notebooks; {student.chosen.name} is the last and counts, not {others}"
            )
    else:
        student.problem = "; ".join(student.looks) or "nothing was handed in"
        student.looks = student.looks or ["nothing was handed in"]


def _age(file: File) -> tuple[int, int, str]:
    """Return what sorts files of one student by age; archives keep only even seconds."""
    return int(file.time / 2), version(Path(file.parts[-1]).stem), file.name
