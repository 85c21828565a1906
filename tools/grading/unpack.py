"""Files as they were handed in: loose, in folders and in zip archives, also in one another.

Archives come from strangers. They are unpacked within limits, under names of our own, so that neither a
"zip bomb" nor a path such as ``../../x`` in them does harm; what is not unpacked is listed with the reason.
"""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tools.grading.limits import MiB
from tools.grading.reading import LARGEST_FILE

DEEPEST = 3  # archives in archives
MOST_ENTRIES = 20_000  # of one archive
LARGEST_ARCHIVE = 256 * MiB  # in another
EXPANSION = 20  # times its size, but at least LEAST_ROOM, may come out of an archive
LEAST_ROOM = 2048 * MiB
OTHER_ARCHIVES = (".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz")
SYSTEM_FILES = {"__MACOSX", "__pycache__", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class File:
    """A file as it was handed in."""

    parts: tuple[str, ...]  # its path; an archive counts as a folder
    path: Path | None  # where it lies now; None if it was not unpacked
    time: float  # when it was last changed, seconds since 1970, or 0
    size: int
    problem: str = ""  # why it cannot be read

    @property
    def name(self) -> str:
        return "/".join(self.parts)


@dataclass
class _Room:
    """How many bytes may still come out of an archive and those in it."""

    left: int


def files(folder: Path, scratch: Path, skip: tuple[Path, ...] = ()) -> Iterator[File]:
    """Yield all files handed in below ``folder``; what is in archives is unpacked into ``scratch``.

    ``folder`` may be an archive itself. Files and folders of operating systems and Git are left out, and
    those in ``skip``.
    """
    if folder.is_file():
        yield from _open(_loose(folder, (folder.name,)), scratch)
        return
    skipped = {path.resolve() for path in skip}
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if not _is_systems(name) and (here / name).resolve() not in skipped
        )
        for name in sorted(names):
            path = here / name
            if not _is_systems(name) and path.resolve() not in skipped:
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
    """Yield ``file``, or if it is an archive what is in it; ``depth`` counts the archives around it."""
    suffix = Path(file.parts[-1]).suffix.lower()
    if suffix in OTHER_ARCHIVES and not file.problem:
        kind = f"it is an archive of the kind {suffix}, and only .zip is unpacked"
        yield File(file.parts, file.path, file.time, file.size, kind)
    elif suffix != ".zip" or file.path is None:
        yield file
    elif depth == DEEPEST:
        said = "it lies too deep, in archives in archives"
        yield File(file.parts, file.path, file.time, file.size, said)
    else:
        room = room or _Room(max(LEAST_ROOM, EXPANSION * file.size))
        yield from _unpack(file, scratch, room, depth)
        if depth:  # a copy of our own, in ``scratch``
            file.path.unlink()


def _unpack(file: File, scratch: Path, room: _Room, depth: int) -> Iterator[File]:
    """Yield the files in an archive, small ones first, so that a bomb takes no room from others."""
    parts = (*file.parts[:-1], Path(file.parts[-1]).stem)
    try:
        with zipfile.ZipFile(file.path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MOST_ENTRIES:
                raise zipfile.BadZipFile(f"it has {len(entries)} entries")
            entries.sort(
                key=lambda e: (e.filename.lower().endswith(".zip"), e.file_size)
            )
            for entry in entries:
                names = _names(entry)
                if names and not any(map(_is_systems, names)):
                    found = _extract(archive, entry, (*parts, *names), scratch, room)
                    yield from _open(found, scratch, room, depth + 1)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        said = f"it cannot be unpacked: {error}"
        yield File(file.parts, file.path, file.time, file.size, said)


def _names(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """Return an entry's path, with the letters that were meant, without ``..`` and the like."""
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
    """Unpack one entry into ``scratch`` under a number, unless it is too large; never more than it declares."""
    changed = _time(entry)
    largest = LARGEST_ARCHIVE if parts[-1].lower().endswith(".zip") else LARGEST_FILE
    if entry.file_size > min(largest, room.left):
        size = f"{entry.file_size / MiB:.0f} MiB"
        said = f"it would have {size} unpacked, which is too much"
        return File(parts, None, changed, entry.file_size, said)
    room.left -= entry.file_size
    scratch.mkdir(parents=True, exist_ok=True)
    target = scratch / f"{len(os.listdir(scratch))}-{time.monotonic_ns()}"
    try:
        with archive.open(entry) as source, target.open("wb") as copy:
            _copy(source, copy, entry.file_size)
    except Exception as error:  # encrypted, damaged, an unknown method
        target.unlink(missing_ok=True)
        said = f"it cannot be unpacked: {error}"
        return File(parts, None, changed, entry.file_size, said)
    return File(parts, target, changed, entry.file_size)


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
