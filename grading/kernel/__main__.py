"""A submission's kernel: ``python kernel CONNECTION_FILE COURSE LIMITS``.

It stands alone, since of the course's code the sandbox has nothing but ``utils``.
It first limits itself; LIMITS is a JSON object such as ``{"RLIMIT_DATA": 4000000000}``.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

HERE, COURSE = sys.path.pop(0), sys.argv[2]
LONGEST_STRING = 500_000


def limit(limits: dict[str, int]) -> None:
    """Set limits that neither this process nor its children can raise again."""
    if limits:
        import resource  # there is none on Windows, and then no limits either

        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))


def copy_font_list() -> None:
    """Save matplotlib the search for fonts, seconds for each submission."""
    if fonts := os.environ.pop("GRADING_FONTS", ""):
        target = Path(os.environ["MPLCONFIGDIR"])
        target.mkdir(parents=True)
        shutil.copy(fonts, target)


limit(json.loads(sys.argv[3]))
copy_font_list()

from ipykernel.ipkernel import IPythonKernel  # noqa: E402
from ipykernel.kernelapp import IPKernelApp  # noqa: E402


class GradingKernel(IPythonKernel):
    """An IPython kernel whose locked cells and tests find all as it was at first.

    What a cell is comes in a message's metadata: ``"grading": "locked"`` or ``"test"``.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        path, sys.path[:0] = list(sys.path), [COURSE, HERE]
        from originals import Originals

        self.originals = Originals(self.shell, self)
        sys.path[:] = path
        self._send, self.session.send = self.session.send, self._send_shortened

    def _send_shortened(
        self, stream: Any, kind: Any, content: Any = None, *args: Any, **settings: Any
    ) -> Any:
        """Send a message without strings so long that they break the connection."""
        if isinstance(kind, dict):  # a whole message
            kind = kind | {"content": _shortened(kind["content"])}
        return self._send(stream, kind, _shortened(content), *args, **settings)

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: dict | None = None,
        allow_stdin: bool = False,
        *,
        cell_meta: dict | None = None,
        cell_id: str | None = None,
    ) -> dict[str, Any]:
        """Run a cell and return the reply.

        That of a test names in ``replaced`` what had been tampered with.
        """
        settings = {"cell_meta": cell_meta, "cell_id": cell_id}
        run = super().do_execute(
            code, silent, store_history, user_expressions, allow_stdin, **settings
        )
        kind = (cell_meta or {}).get("grading")
        if kind is None:
            return await run
        names = dict(self.shell.user_ns)
        with self.originals.in_place(code) as (before, during):
            # The cell may have found other streams than it runs with.
            streams = (sys.stdout, sys.stderr)
            for stream in streams:
                stream.set_parent(self.get_parent())
            reply = await run
            for stream in streams:
                stream.flush()
        if kind == "locked":
            self.originals.provide(names)
            return reply
        reply["replaced"] = before + during
        return reply | _failure(during)


def _shortened(content: Any) -> Any:
    """Return a message's content with its strings cut."""
    if isinstance(content, str):
        return content[:LONGEST_STRING]
    if isinstance(content, dict):
        return {key: _shortened(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_shortened(value) for value in content]
    return content


def _failure(replaced: list[str]) -> dict[str, Any]:
    """Return what turns a test's reply into an error if it ``replaced`` something."""
    if not replaced:
        return {}
    names = ", ".join(replaced[:3])
    said = f"{names}: replaced while the test ran, which a solution must not do"
    error = {"ename": "Replaced", "evalue": said, "traceback": [f"Replaced: {said}."]}
    return {"status": "error"} | error


IPKernelApp.launch_instance(argv=["-f", sys.argv[1]], kernel_class=GradingKernel)
