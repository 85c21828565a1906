"""Running a submission cell by cell: a test earns points only if it ran to its end.

A dead kernel, an endless loop or endless output ends that cell or that notebook, never
the batch.
"""

import asyncio
import contextlib
import secrets
from typing import Any

from jupyter_core.utils import run_sync
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, v4
from nbgrader import preprocessors
from traitlets import Bool, Instance

from grading.limits import Limits, MiB
from grading.reading import pictures
from grading.sandbox import SandboxManager

MOST_OUTPUT = 64 * MiB  # of all cells together, but for tests
RECORD = "grading"  # where a notebook's metadata says how its run went


def role(cell: NotebookNode) -> str:
    """Return ``"test"``, ``"locked"`` or, for what a student may write, ``""``."""
    marks = cell.metadata.get("nbgrader", {})
    if cell.cell_type != "code" or marks.get("solution") or not marks:
        return ""
    if marks.get("grade"):
        return "test"
    return "locked" if marks.get("locked") else ""


class Execute(preprocessors.Execute):
    """nbgrader's ``Execute`` in a sandbox, with limits that end one notebook's run."""

    limits = Instance(Limits, ()).tag(config=True)
    unsafe = Bool(False, help="run without a sandbox").tag(config=True)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        seconds = self.limits.cell_seconds
        self.timeout, self.iopub_timeout, self.startup_timeout = seconds, 10, 180
        said = f"This cell ran longer than {seconds} s and was interrupted."
        self.error_on_timeout = _error("TooLong", said)
        self.shutdown_kernel = "immediate"
        # nbclient's own joining of streams takes the square of a line's length.
        self.coalesce_streams = self.record_timing = self.store_widget_state = False

    def preprocess(
        self, nb: NotebookNode, resources: Any = None, km: Any = None
    ) -> tuple[NotebookNode, Any]:
        """Run ``nb`` in place; its metadata ``grading`` says how that went.

        Raises:
            RuntimeError: the kernel did not start, whatever the submission.
        """
        self.ended, self.replaced, self.stopped, self.all_written = "", [], [], 0
        tests = [cell for cell in nb.cells if role(cell) == "test"]
        self.proofs = {cell.metadata.nbgrader.grade_id: _prove(cell) for cell in tests}
        self.manager = SandboxManager(self.limits, self.unsafe)
        try:
            nb, resources = super().preprocess(nb, resources, km)
        except RuntimeError as error:
            raise RuntimeError(f"{error}. {self.manager.last_words()}") from error
        finally:
            self.manager.close()
        for cell in nb.cells:
            if cell.cell_type == "code":
                self._tidy(cell)
        nb.metadata[RECORD] = {
            "ended": self.ended,
            "replaced": sorted(set(self.replaced)),
            "stopped": self.stopped,
            "unsafe": self.unsafe,
        }
        return nb, resources

    def create_kernel_manager(self) -> SandboxManager:
        self.km = self.manager
        return self.km

    async def async_start_new_kernel(self, **_: Any) -> None:
        await self.manager.start()

    start_new_kernel = run_sync(async_start_new_kernel)

    def preprocess_cell(
        self, cell: NotebookNode, resources: Any, index: int
    ) -> tuple[NotebookNode, Any]:
        """Run ``cell``, or say in its output why it was not run or did not end."""
        if cell.cell_type != "code":
            return cell, resources
        if self.ended:
            cell.outputs = [_output("NotRun", f"Not run. {self.ended}")]
            return cell, resources
        self.manager.watcher.begin()
        self.timed_out, self.flooded, self.written = False, None, 0
        # The kernel learns from this what kind of cell it gets.
        self.kc.session.metadata = {"grading": role(cell) or None}
        try:
            return super().preprocess_cell(cell, resources, index)
        except DeadKernelError:
            self.ended = self.manager.watcher.reason or (
                "The kernel ended while a cell ran, as by os._exit or by too much "
                "computing time."
            )
        except CellTimeoutError:
            why = "The connection broke, as by too much output"
            if self.timed_out:
                why = "A cell ran too long and could not be interrupted"
            self.ended = f"{why}; the kernel was stopped."
            self.manager.watcher.kill(self.ended)
        cell.outputs.append(_output("NotFinished", "This cell did not run to its end."))
        return cell, resources

    async def _async_handle_timeout(self, timeout: int, cell: Any = None) -> Any:
        self.timed_out = True
        return await super()._async_handle_timeout(timeout, cell)

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        """Add a message to the cell's outputs; if they get too long, interrupt it."""
        if msg["msg_type"] not in ("status", "execute_input"):
            size = len(str(msg["content"]))
            self.written += size
            self.all_written += size
            if self.written > self.limits.output:
                if not self.flooded:
                    interrupt = self.km._async_interrupt_kernel()
                    self.flooded = asyncio.ensure_future(interrupt)
                return None
            if self.all_written > MOST_OUTPUT and role(cell) != "test":
                return None
        with contextlib.suppress(LookupError):  # an update of an output that is gone
            return super().process_message(msg, cell, cell_index)

    def on_cell_executed(self, **event: Any) -> None:
        super().on_cell_executed(**event)
        self.replaced += map(str, event["execute_reply"]["content"].get("replaced", []))
        if self.flooded:
            most = self.limits.output // MiB
            said = f"This cell printed more than {most} MiB; the rest is left out."
            event["cell"].outputs.append(_output("TooMuchOutput", said))
            self.stopped.append(said)
        elif self.timed_out:
            self.stopped.append(self.error_on_timeout["evalue"])

    def _tidy(self, cell: NotebookNode) -> None:
        """Keep text and pictures, no HTML, no scripts; judge a test by its proof."""
        cell.outputs = _joined(cell.outputs)
        for output in cell.outputs:
            if "data" in output:
                kept = {"text/plain": str(output.data.get("text/plain", ""))}
                kept |= pictures(output.data)
                output.data, output.metadata = NotebookNode(kept), NotebookNode()
        if role(cell) == "test":
            proof = self.proofs[cell.metadata.nbgrader.grade_id]
            cell.source = cell.source.removesuffix(_ending(proof))
            cell.outputs = _judged(cell.outputs, proof)


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join the pieces of a stream; of what ``\\r`` overwrote, keep the last."""
    joined: list[NotebookNode] = []
    for output in outputs:
        is_stream = output.output_type == "stream"
        if is_stream and joined and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    for output in joined:
        if output.output_type == "stream":
            lines = output.text.split("\n")
            last = (line.rstrip("\r").rpartition("\r")[2] for line in lines)
            output.text = "\n".join(last)
    return joined


def _prove(cell: NotebookNode) -> str:
    """Let a test print a random word at its end, and return the word."""
    proof = secrets.token_hex(16)
    cell.source += _ending(proof)
    return proof


def _ending(proof: str) -> str:
    return f"\nprint({proof!r})"


def _judged(outputs: list[NotebookNode], proof: str) -> list[NotebookNode]:
    """Return a test's outputs as nbgrader is to score them: an error, or full marks."""
    judged, proved = [], False
    for output in outputs:
        if output.output_type == "stream":
            output.name = "stdout"  # nbgrader gives nothing for a mere warning
            proved = proved or proof in output.text
            output.text = output.text.replace(f"{proof}\n", "")
        elif output.output_type == "execute_result":  # nbgrader reads points from it
            output = v4.new_output("display_data", data=output.data)
        if output.get("text") != "":
            judged.append(output)
    if not proved and not any(o.output_type == "error" for o in judged):
        judged.append(_output("NotFinished", "This test did not run to its end."))
    return judged


def _error(name: str, said: str) -> dict[str, Any]:
    return {"ename": name, "evalue": said, "traceback": [f"{name}: {said}"]}


def _output(name: str, said: str) -> NotebookNode:
    return v4.new_output("error", **_error(name, said))
