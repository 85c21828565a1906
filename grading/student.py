"""What is known of one student: who it is, what was handed in, what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from grading.unpack import File


@dataclass
class Student:
    """Somebody who handed in, or should have."""

    id: str  # also the folder's name
    name: str
    email: str = ""
    files: list[File] = field(default_factory=list)
    chosen: File | None = None  # the one that counts
    found: list[str] = field(default_factory=list)  # to look at, from collecting
    problem: str = ""  # why nothing was graded
    file: str = ""  # the name of the one that was graded
    digest: str = ""  # of that file
    fingerprint: str = ""  # of everything else that decides about the score
    repairs: list[str] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)  # to look at, from grading
    unsafe: bool = False
    page: str = ""  # the state of the gradebook that the feedback page shows
    score: float = 0.0
    max: float = 0.0
    by_hand: float = 0.0  # the part of the score that a person gave
    needs_marking: bool = False

    def remembered(self) -> dict[str, Any]:
        """Return all but the files, for the next run; ``recalled`` reads it."""
        values = vars(self).items()
        return {key: value for key, value in values if key not in ("files", "chosen")}

    @classmethod
    def recalled(cls, id: str, values: Mapping[str, Any]) -> Self:
        """Return the student of a record, which an older version may have written."""
        known = [one.name for one in fields(cls) if one.name in values]
        return cls(**{key: values[key] for key in known} | {"id": id})

    def reasons(self) -> list[str]:
        """Return why a person should look, each reason once."""
        return list(dict.fromkeys(self.found + self.looks))

    def line(self, assignment: str) -> dict[str, str]:
        """Return the student's line in the table of grades, by column."""
        return {
            "student": self.id,
            "name": self.name,
            "email": self.email,
            "assignment": assignment,
            "score": f"{self.score:g}",
            "max": f"{self.max:g}",
            "automatic": f"{self.score - self.by_hand:g}",
            "by_hand": f"{self.by_hand:g}",
            "needs_marking": "yes" if self.needs_marking else "no",
            "not_graded": self.problem,
            "repaired": "; ".join(self.repairs),
            "sandboxed": "NO" if self.unsafe else "yes",
            "file": self.file,
        }
