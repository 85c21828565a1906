"""Names: what those of files tell, who is in the class list, how folders are called."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)")
CANVAS = re.compile(r"(?P<name>[^_]+)(?:_LATE)?_(?P<id>\d+)_\d+_(?P<file>.+)")
COPY = re.compile(r"^(?:copy of|copie de|kopie von|copia de) ", re.IGNORECASE)
VERSION = re.compile(r"(?: ?\((\d+)\)|-(\d{1,2})|[ _-]+copy ?(\d*))$", re.IGNORECASE)
GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
# Folders and files that are named after what they hold, not after who handed it in.
GENERIC = {
    *("", "submission", "submissions", "download", "downloads", "assignment"),
    *("assignments", "notebook", "notebooks", "homework", "untitled", "solution"),
    *("classroom", "files", "src", "final", "abgabe", "abgaben", "content", "drive"),
}
FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\[\]{}]')
LONGEST_NAME = 120  # bytes; a file system allows 255, and more is added


class Person(NamedTuple):
    """A line of the class list."""

    id: str
    name: str
    email: str


@dataclass(frozen=True)
class Label:
    """What a path says about who handed a file in, the most telling first."""

    candidates: tuple[str, ...]
    platform_id: str = ""  # distinguishes two students of the same name

    @property
    def text(self) -> str:
        return self.candidates[0]


def read_roster(path: Path) -> list[Person]:
    """Read the class list, a CSV file with ``id``, ``name`` and perhaps ``email``.

    Raises:
        ValueError: a column is missing, or an id is missing or there twice.
    """
    text = path.read_text(encoding="utf-8-sig")
    delimiter = ";" if text.partition("\n")[0].count(";") else ","
    people = []
    for row in csv.DictReader(io.StringIO(text), delimiter=delimiter):
        row = {str(k).strip().lower(): str(v or "").strip() for k, v in row.items()}
        if not {"id", "name"} <= row.keys():
            wanted = "expected id, name and, if you like, email"
            raise ValueError(f"{path} has the columns {', '.join(row)}; {wanted}.")
        people.append(Person(row["id"], row["name"], row.get("email", "")))
    ids = [fold(person.id) for person in people]
    for person, id in zip(people, ids, strict=True):
        if not id or ids.count(id) > 1:
            said = f"{path}: {person.name!r} has the id {person.id!r}"
            raise ValueError(f"{said}; expected one of its own for everybody.")
    return people


def fold(text: str) -> str:
    """Return ``text`` without case, accents and signs, with single spaces."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFC", text).casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return " ".join(re.findall(r"[^\W_]+", plain))


def safe_name(text: str) -> str:
    """Return ``text`` as a folder's name for every system; accents and Chinese stay."""
    name = FORBIDDEN.sub("_", unicodedata.normalize("NFC", text))
    name = "".join(c for c in name if c.isprintable() or c == " ")
    name = name.encode("utf-8", "ignore")[:LONGEST_NAME].decode("utf-8", "ignore")
    name = name.strip(" .")
    return name if name.strip("_- ") else f"unnamed{name}".strip()


def version(stem: str) -> int:
    """Return the number that a system added to a later file of the same name, or 0."""
    match = VERSION.search(stem)
    return int("".join(filter(None, match.groups())) or 1) if match else 0


def cleaned(stem: str, assignment: str) -> str:
    """Return a file's or folder's name without what is not a person's in it."""
    text = VERSION.sub("", COPY.sub("", unicodedata.normalize("NFC", stem).strip()))
    about = fold(assignment)
    parts = [part for part in re.split(r"\s+-\s+", text) if fold(part) != about]
    text = " - ".join(parts)
    words = r"[\W_]*".join(map(re.escape, assignment.split("_")))
    text = re.sub(rf"^{words}(?=[\W_]|$)|(?<=[\W_]){words}$", "", text, flags=re.I)
    text = text.strip(" _-.")
    return "" if fold(text) in GENERIC | {about} else text


def label(parts: tuple[str, ...], assignment: str, is_batch: bool) -> Label:
    """Read a path below the submissions' folder.

    ``is_batch``: the folder that it lies in holds several students' files.
    """
    for part in parts:
        if match := MOODLE.match(part):
            return Label((match["name"],), f"moodle {match['id']}")
    if match := CANVAS.fullmatch(parts[-1]):
        return Label((match["name"],), f"canvas {match['id']}")
    stem = cleaned(Path(parts[-1]).stem, assignment)
    folders = [cleaned(part, assignment) for part in reversed(parts[:-1])]
    folders = [folder for folder in folders if folder]
    found = [stem, *folders] if is_batch or not folders else [*folders, stem]
    return Label(tuple(filter(None, found)) or (Path(parts[-1]).stem,))


class Roster:
    """Finds people of the class list by what a label says."""

    def __init__(self, people: Iterable[Person]) -> None:
        self.by_key: dict[str, set[Person]] = {}
        for person in people:
            for key in _keys(person):
                self.by_key.setdefault(key, set()).add(person)

    def match(self, label: Label) -> tuple[Person | None, str]:
        """Return the one person that a label fits, or None and why."""
        for text in label.candidates:
            keys = {fold(text), " ".join(sorted(fold(text).split()))}
            for word in re.split(r"[\s_,;()]+", text):  # an id beside a name
                if any(c.isdigit() for c in word) and len(word) > 2:
                    keys.add(fold(word))
            found = set().union(*(self.by_key.get(key, ()) for key in keys))
            if len(found) > 1:
                names = ", ".join(sorted(person.id for person in found))
                return None, f"{text!r} fits several of the class list: {names}"
            if found:
                return found.pop(), ""
        return None, f"{label.text!r} is not in the class list"


def _keys(person: Person) -> set[str]:
    """Return all by which a person may be called, folded."""
    keys = {fold(person.id), fold(person.email), fold(person.email.partition("@")[0])}
    for name in (person.name, person.name.casefold().translate(GERMAN)):
        words = fold(name).split()
        keys |= {" ".join(words), " ".join(sorted(words))}
        # Canvas writes "lastfirst": the words in a row, beginning with any.
        keys |= {"".join(words[i:] + words[:i]) for i in range(len(words))}
    return keys - {""}
