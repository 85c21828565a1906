"""From files to students: what each file is, whose it is, and which one counts."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import psutil
from nbformat import NotebookNode

from grading import names
from grading.limits import MiB
from grading.names import Label, Person, Roster
from grading.reading import UnreadableError, read, recognize, require_size
from grading.student import Student
from grading.unpack import File

MOST_OF_ONE = 5  # differently named files that one student may hand in
MOST_MEMORY = 2048 * MiB  # of the grader; beyond it, notebooks are read again


def examine(file: File, releases: Mapping[str, NotebookNode]) -> File:
    """Read a file and return it with its assignment and notebook, or with a problem."""
    if file.problem:
        return file
    name = file.parts[-1].lower()
    if ".ipynb" not in name and not name.endswith(".json"):
        return replace(file, problem="it is no .ipynb file")
    try:
        require_size(file.size)
        notebook = read(file.path.read_bytes())
    except UnreadableError as error:
        return replace(file, problem=str(error))
    found = recognize(notebook, releases)
    if found is None:
        return replace(file, problem="it is of no assignment known here")
    if psutil.Process().memory_info().rss > MOST_MEMORY:
        notebook = None
    return replace(file, assignment=found, notebook=notebook)


def majority(found: Iterable[File]) -> str:
    """Return the assignment that most notebooks are of.

    Raises:
        ValueError: there is none, or two have the same number.
    """
    counts = Counter(file.assignment for file in found if file.assignment)
    ranks = counts.most_common(2)
    if not ranks:
        raise ValueError(
            "no file handed in is a notebook of an assignment of this course: is this "
            "the right folder? If it is, say which assignment it should be: "
            'OPTIONS="--assignment NAME"'
        )
    if len(ranks) == 2 and ranks[0][1] == ranks[1][1]:
        raise ValueError(
            f"as many notebooks are of {ranks[0][0]} as of {ranks[1][0]}: "
            'say which to grade: OPTIONS="--assignment NAME"'
        )
    return ranks[0][0]


Group = list[tuple[Label, File]]  # the files of one student, with what their paths say


def students(
    found: Iterable[File], assignment: str, people: list[Person] | None
) -> list[Student]:
    """Return who handed in what and, of the class list, who did not; sorted by id."""
    groups = _groups(list(found), assignment)
    persons = _persons(groups, Roster(people)) if people else {}
    merged: dict[Person | str, Group] = defaultdict(list)
    for key, group in groups.items():
        merged[persons.get(key, (None, ""))[0] or key] += group
    result, used = [], set()
    for person in people or []:  # first, so that theirs are the plain ids
        student = Student(_unused(person.id, used), person.name, person.email)
        _fill(student, merged.pop(person, []), assignment)
        result.append(student)
    clashes = Counter(names.fold(group[0][0].text) for group in merged.values())
    for key, group in sorted(merged.items()):
        first = group[0][0]
        name = first.text
        if clashes[names.fold(name)] > 1 and first.platform_id:
            name = f"{name} {first.platform_id.split()[-1]}"
        student = Student(_unused(name, used), name)
        if people:
            reason = persons[key][1]
            student.found.append(f"{reason}; graded under the name as read")
        _fill(student, group, assignment)
        result.append(student)
    return sorted(result, key=lambda student: student.id)


def _groups(found: list[File], assignment: str) -> dict[str, Group]:
    """Return the files by who they seem to be of."""
    homes: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for file in found:
        homes[_home(file, assignment)].add(_stem(file, assignment))
    groups = defaultdict(list)
    for file in found:
        home = _home(file, assignment)
        said = names.label(file.parts, assignment, _is_batch(home, homes))
        groups[said.platform_id or f"name {_plain(said.text)}"].append((said, file))
    return groups


def _home(file: File, assignment: str) -> tuple[str, ...]:
    """Return the innermost folder that is not named after what it holds."""
    home = file.parts[:-1]
    while home and not names.cleaned(home[-1], assignment):
        home = home[:-1]
    return home


def _is_batch(home: tuple[str, ...], homes: Mapping[tuple[str, ...], set[str]]) -> bool:
    """Return whether a folder's files are several students', by their names."""
    stems = homes[home]
    siblings = sum(other[:-1] == home[:-1] for other in homes if other) - bool(home)
    return "" not in stems and len(stems) > (MOST_OF_ONE if siblings else 1)


def _stem(file: File, assignment: str) -> str:
    return _plain(names.cleaned(Path(file.parts[-1]).stem, assignment))


def _plain(text: str) -> str:
    """Return what is the same for two spellings of a name, but not for two names."""
    return " ".join(text.replace("_", " ").casefold().split())


def _persons(
    groups: Mapping[str, Group], roster: Roster
) -> dict[str, tuple[Person | None, str]]:
    """Return whom of the class list each group is; nobody is two of one system."""
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
    plain = name = names.safe_name(name)
    number = 2
    while name.casefold() in used:
        name, number = f"{plain} ({number})", number + 1
    used.add(name.casefold())
    return name


def _fill(student: Student, group: Group, assignment: str) -> None:
    """Choose the file that counts: the last one that can be graded."""
    student.files = [file for _, file in group]
    for file in student.files:
        name = file.parts[-1]
        if file.assignment and file.assignment != assignment:
            student.found.append(f"{name} is of the assignment {file.assignment}")
        elif file.problem:
            student.found.append(f"{name}: {file.problem}")
    right = [file for file in student.files if file.assignment == assignment]
    if right:
        *others, student.chosen = sorted(right, key=_age)
        if others:
            rest = ", ".join(file.name for file in others)
            said = f"{student.chosen.name} is the last and counts, not {rest}"
            student.found.append(f"{len(right)} notebooks; {said}")
    else:
        student.found = student.found or ["nothing was handed in"]
        student.problem = "; ".join(student.found)


def _age(file: File) -> tuple[int, int, str]:
    """Return what sorts files by age; archives keep even seconds only."""
    return int(file.time / 2), names.version(Path(file.parts[-1]).stem), file.name
