"""Writing files so that a crash half-way leaves the old file whole."""

import contextlib
import os
import tempfile
from pathlib import Path


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write ``data`` beside ``path`` and rename it: ``path`` is whole at every moment.

    Raises:
        OSError: the disk is full or the folder is not writable; what was at ``path`` is
            still there.
    """
    path = Path(path).resolve()  # a link keeps pointing to the file
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=".part"
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(OSError):  # some mounted drives have no modes
            mode = path.stat().st_mode & 0o777 if path.exists() else _default_mode()
            os.chmod(part, mode)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _default_mode() -> int:
    """Return the mode that a new file gets from ``open``."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
