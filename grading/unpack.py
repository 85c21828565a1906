"""Files as they were handed in: loose, in folders and in zip archives within archives.

Archives come from strangers. They are unpacked within limits, under names of our own,
so that neither a "zip bomb" nor a path such as ``../../x`` in them does harm; what is
not unpacked is listed with the reason.
"""

import itertools
import os
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

from nbformat import NotebookNode

from grading.limits import MiB
from grading.reading import LARGEST_FILE

DEEPEST = 3  # archives in archives
MOST_ENTRIES = 20_000  # of one archive
LARGEST_ARCHIVE = 256 * MiB  # in another
EXPANSION = 20  # times its size, but at least LEAST_ROOM, may come out of an archive
LEAST_ROOM = 2048 * MiB
OTHER_ARCHIVES = (".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz")
SYSTEM_FILES = {"__MACOSX", "__pycache__", "Thumbs.db", "desktop.ini"}
_numbers = itertools.count()  # what unpacked files are called


@dataclass(frozen=True)
class File:
    """A file as it was handed in and, once it was read, what it turned out to be."""

    parts: tuple[str, ...]  # its path; an archive counts as a folder
    path: Path | None  # where it lies now; None if it was not unpacked
    time: float  # when it was last changed, seconds since 1970, or 0
    size: int
    problem: str = ""  # why it is of no use
    assignment: str | None = None  # which one it is of
    notebook: NotebookNode | None = None  # what is in it, if there was memory for it

    @property
    def name(self) -> str:
        return "/".join(self.parts)


@dataclass
class _Room:
    """How many bytes may still come out of an archive and those in it."""

    left: int


def files(folder: Path, scratch: Path, skip: tuple[Path, ...] = ()) -> Iterator[File]:
    """Yield all files handed in below ``folder``, which may be an archive itself.

    What is in archives is unpacked into ``scratch``. Files and folders of operating
    systems and Git are left out, and those in ``skip``.
    """
    if folder.is_file():
        yield from _open(_loose(folder, (folder.name,)), scratch)
        return
    skipped = {path.resolve() for path in skip}

    def wanted(path: Path) -> bool:
        return not _is_systems(path.name) and path.resolve() not in skipped

    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(name for name in folders if wanted(here / name))
        for path in (here / name for name in sorted(names)):
            if wanted(path):
                yield from _open(_loose(path, path.relative_to(folder).parts), scratch)


def _is_systems(name: str) -> bool:
    return name.startswith(".") or name in SYSTEM_FILES


def _loose(path: Path, parts: tuple[str, ...]) -> File:
    if path.is_symlink() or not path.is_file():
        return File(parts, None, 0.0, 0, "it is a link or no file at all")
    status = path.stat()
    return File(parts, path, status.st_mtime, status.st_size)


def _open(
    file: File, scratch: Path, room: _Room | None = None, depth: int = 0
) -> Iterator[File]:
    """Yield ``file``, or what is in it; ``depth`` counts the archives around it."""
    suffix = Path(file.parts[-1]).suffix.lower()
    if suffix in OTHER_ARCHIVES and not file.problem:
        kind = f"it is an archive of the kind {suffix}, and only .zip is unpacked"
        yield replace(file, problem=kind)
    elif suffix != ".zip" or file.path is None:
        yield file
    elif depth == DEEPEST:
        yield replace(file, problem="it lies too deep, in archives in archives")
    else:
        room = room or _Room(max(LEAST_ROOM, EXPANSION * file.size))
        yield from _unpack(file, scratch, room, depth)
        if depth:  # a copy of our own, in ``scratch``
            file.path.unlink()


def _unpack(file: File, scratch: Path, room: _Room, depth: int) -> Iterator[File]:
    """Yield what is in an archive, small files first: bombs take no room from them."""
    parts = (*file.parts[:-1], Path(file.parts[-1]).stem)
    try:
        with zipfile.ZipFile(file.path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MOST_ENTRIES:
                raise zipfile.BadZipFile(f"it has {len(entries)} entries")
            entries.sort(key=lambda e: (_is_archive(e.filename), e.file_size))
            for entry in entries:
                names = _names(entry)
                if names and not any(map(_is_systems, names)):
                    found = _extract(archive, entry, (*parts, *names), scratch, room)
                    yield from _open(found, scratch, room, depth + 1)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        yield replace(file, problem=f"it cannot be unpacked: {error}")


def _is_archive(name: str) -> bool:
    return name.lower().endswith(".zip")


def _names(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """Return an entry's path, with the letters that were meant, without ``..``."""
    name = entry.filename
    if not entry.flag_bits & 0x800:  # it does not say that it is UTF-8, but often it is
        raw = name.encode("cp437", "replace")
        for encoding in ("utf-8", "gb18030"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return tuple(part for part in parts if part.strip("./") and part[-1] != ":")


def _extract(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    parts: tuple[str, ...],
    scratch: Path,
    room: _Room,
) -> File:
    """Unpack an entry under a number; if it is or becomes too large, say so instead."""
    file = File(parts, None, _time(entry), entry.file_size)
    largest = LARGEST_ARCHIVE if _is_archive(parts[-1]) else LARGEST_FILE
    if file.size > min(largest, room.left):
        size = f"{file.size / MiB:.0f} MiB"
        said = f"it would have {size} unpacked, which is too much"
        return replace(file, problem=said)
    room.left -= file.size
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / str(next(_numbers))
    try:
        with archive.open(entry) as source, target.open("wb") as copy:
            _copy(source, copy, file.size)
    except Exception as error:  # encrypted, damaged, an unknown method
        target.unlink(missing_ok=True)
        return replace(file, problem=f"it cannot be unpacked: {error}")
    return replace(file, path=target)


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    while chunk := source.read(MiB):
        size -= len(chunk)
        if size < 0:
            raise zipfile.BadZipFile("it is larger than it says")
        target.write(chunk)


def _time(entry: zipfile.ZipInfo) -> float:
    try:
        return time.mktime((*entry.date_time, 0, 0, -1))
    except (ValueError, OverflowError):
        return 0.0
