"""Executes the cells of a notebook in its kernel, until one fails or ends the notebook.

nbclient waits for a cell's reply in one long wait, and may miss it. Here the end of a cell is its reply and the
kernel's return to idleness, and everything is asked again in slices: whether the time is over, whether the kernel
lives, whether a reply that does not come was sent at all.
"""

import sys
import time
from collections.abc import AsyncIterator
from queue import Empty
from typing import TYPE_CHECKING, Any, cast

import nbformat
from jupyter_core.utils import run_sync
from nbclient.exceptions import CellExecutionComplete, CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from zmq import POLLIN
from zmq.asyncio import Poller

from stagebook.executor.cell_end import ALLOWS_ERROR, CellEnd, cell_end, outcome_of
from stagebook.executor.job import CellProgress, Outcome
from stagebook.executor.kernels import setup
from stagebook.executor.output_limit import OutputLimit
from stagebook.executor.stream_buffer import StreamBuffer
from stagebook.formatting import first_line
from stagebook.model.record import AttemptStatus
from stagebook.notebooks.cells import cell_numbers, headings, is_runnable
from stagebook.notebooks.kernels import PYTHON

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from stagebook.executor.kernels.client import FastKernelClient
    from stagebook.executor.papermill_engine import AttemptExecution, CellStateManager

SLICE_MS = 500
BATCH = 200
"""So many messages are taken in a row before the clock is looked at: a cell may print faster than they are read."""

HEADING = 100
"""Characters of a heading that are told as progress."""

ASK_SECONDS = 1.0
"""How long after a kernel is idle its reply may be missing, before it is asked for another answer."""

IDLE_SECONDS = 5.0
"""How long a kernel may be silent after its reply without being idle, before the cell is taken to have ended."""

Message = dict[str, Any]


class StageClient(PapermillNotebookClient):
    """Runs the cells one after the other, and records how each ended."""

    nb_man: "CellStateManager"

    def __init__(self, nb_man: "CellStateManager", **options: Any) -> None:
        super().__init__(nb_man, **options)
        self._execution: AttemptExecution = nb_man.execution
        self._streams, self._limit = StreamBuffer(), OutputLimit()
        self.clear_before_next_output = False
        nb_man.before_save = self._streams.flush

    @property
    def _kernel(self) -> "FastKernelClient":
        return cast("FastKernelClient", self.kc)

    def execute(self, **kwargs: Any) -> "NotebookNode":
        """Start the kernel, run the cells, end the kernel."""
        self.reset_execution_trackers()
        manager = self._execution.manager
        assert manager is not None
        with self.setup_kernel(**kwargs):
            self.nb.metadata["language_info"] = self._kernel.language_info
            self._set_up_kernel()
            manager.is_idle = False
            self._execution.outcome = self._run_cells()
            manager.is_idle = True
            self.set_widgets_metadata()
        return self.nb

    def _run_cells(self) -> Outcome:
        names, numbers = headings(self.nb), cell_numbers(self.nb)
        code_cells = sum(number is not None for number in numbers)
        cells_after = sum(map(self._runs, self.nb.cells))
        for index, (cell, number) in enumerate(zip(self.nb.cells, numbers, strict=True)):
            self.nb_man.cell_start(cell, index)
            if self._runs(cell):
                cells_after -= 1
                if number is not None:
                    self._execution.running = number
                    self._execution.report(CellProgress(number, code_cells, first_line(names[index], HEADING)))
                if outcome := self._outcome_of(cell, index, number, cells_after):
                    return outcome
            self.nb_man.cell_complete(cell, cell_index=index)
        return Outcome(AttemptStatus.SUCCEEDED)

    def _runs(self, cell: "NotebookNode") -> bool:
        return is_runnable(cell) and self.skip_cells_with_tag not in cell.metadata.get("tags", ())

    def _outcome_of(self, cell: "NotebookNode", index: int, number: int | None, cells_after: int) -> Outcome | None:
        """Run a cell; how the attempt ended with it, or None if the next cell follows."""
        execution = self._execution
        try:
            end = self._run_cell(cell, index, is_users=number is not None)
        except Exception as error:
            outcome = execution.broken(error, number)
        else:
            stage, may_exit = execution.stage, execution.may_exit
            outcome = outcome_of(end, cell=number, cells_after=cells_after, stage=stage, may_exit=may_exit)
            if outcome is not None and outcome.error is None:
                end.show_in(cell)
            elif outcome is not None and execution.stopping:
                outcome = execution.interrupted(number)
        finally:
            self._complete_outputs(cell)
        if outcome is None:
            return None
        if outcome.error is not None:
            self.nb_man.cell_exception(cell, cell_index=index)
            if not any(output.output_type == "error" for output in cell.outputs):
                cell.outputs.append(_error_output(outcome.error))
        self.nb_man.cell_complete(cell, cell_index=index)
        return outcome

    async def _async_run_cell(self, cell: "NotebookNode", index: int, *, is_users: bool) -> CellEnd:
        """Execute one cell in the kernel. One that is not the user's has no number there either.

        Raises:
            CellTimeoutError: the attempt's time is over.
            DeadKernelError: the kernel has ended, or the run was stopped.
        """
        if self._execution.stopping:
            raise DeadKernelError("stopped between two cells")
        self._check_time()
        allows_error = ALLOWS_ERROR in cell.metadata.get("tags", ())
        cell.outputs, cell.metadata["execution"] = [], {}
        self.clear_before_next_output, self._limit = False, OutputLimit()
        request = self._kernel.execute(cell.source, store_history=is_users, stop_on_error=not allows_error)
        reply = await self._reply(request, cell, index)
        self._complete_outputs(cell)
        self._check_time()
        if not is_users:
            cell.execution_count = None
        return cell_end(reply, cell.outputs, allows_error=allows_error, has_dbutils=self._execution.is_databricks)

    _run_cell = run_sync(_async_run_cell)

    def _complete_outputs(self, cell: "NotebookNode") -> None:
        """Put into the cell what was held back of its outputs so far."""
        self._streams.flush()
        self._limit.end(cell)

    async def _reply(self, request: str, cell: "NotebookNode", index: int) -> Message | None:
        """The content of the kernel's reply, once the cell has ended; None if it is certain that none comes."""
        shell, iopub, poller = self._kernel.shell_channel, self._kernel.iopub_channel, Poller()
        for channel in (shell, iopub):
            poller.register(channel.socket, POLLIN)
        reply: Message | None = None
        is_idle, question, last_message = False, None, time.monotonic()
        while True:
            async for message in _waiting(shell):
                parent = message["parent_header"].get("msg_id")
                if parent == request:
                    reply, last_message = message["content"], time.monotonic()
                elif parent == question:
                    return reply  # answers come in order: the cell's would have been here before
            async for message in _waiting(iopub):
                if message["parent_header"].get("msg_id") != request:
                    continue
                last_message = time.monotonic()
                try:
                    self.process_message(message, cell, index)
                except CellExecutionComplete:
                    is_idle = True
            self._check_time()
            silent_seconds = time.monotonic() - last_message
            if reply is not None and (is_idle or silent_seconds > IDLE_SECONDS):
                return reply
            if is_idle and silent_seconds > ASK_SECONDS and question is None:
                question = self._kernel.kernel_info()
            if not await poller.poll(SLICE_MS) and not await self._kernel.is_alive():
                if await poller.poll(0):
                    continue  # what the kernel said before it ended
                raise DeadKernelError("the kernel has ended")

    def _check_time(self) -> None:
        if self._execution.is_time_over and not self._execution.stopping:
            raise CellTimeoutError("the time is over")

    def process_message(self, msg: Message, cell: "NotebookNode", cell_index: int) -> "NotebookNode | None":
        """Put an output into the cell, as far as there is room; text that continues its last output joins it."""
        admitted = self._limit.admit(msg)
        return None if admitted is None else self._add_output(admitted, cell, cell_index)

    def _add_output(self, msg: Message, cell: "NotebookNode", cell_index: int) -> "NotebookNode | None":
        kind, content = msg["msg_type"], msg["content"]
        is_redirected = self.clear_before_next_output or self.output_hook_stack[msg["parent_header"].get("msg_id")]
        if kind == "stream" and not is_redirected:
            if self._streams.extend(cell.outputs, content["name"], content["text"]):
                self.nb_man.autosave_cell()
                return None
        elif kind.startswith("comm"):
            self._process_comm(msg, cell, cell_index)
            return None
        output = super().process_message(msg, cell, cell_index)
        if output is not None and output.output_type == "stream":
            self._streams.begin(output)
        return output

    def _process_comm(self, msg: Message, cell: "NotebookNode", cell_index: int) -> None:
        """A message of a widget, as far as nbclient knows widgets; it decides nothing about the cell."""
        try:
            super().process_message(msg, cell, cell_index)
        except Exception as error:
            sys.stderr.write(f"a widget's message was passed over: {type(error).__name__}: {error}\n")

    def remove_output_hook(self, msg_id: str, hook: Any) -> None:
        """Let a widget show no more outputs of a cell, in whichever order widgets began to."""
        hooks = self.output_hook_stack[msg_id]
        if hook in hooks:
            hooks.remove(hook)

    async def _async_set_up_kernel(self) -> None:
        """Prepare the kernel, see `setup`; those of other languages are as they are."""
        if self.nb.metadata.kernelspec.language != PYTHON:
            return
        request = self._kernel.execute(setup.code(self._execution.access_report), silent=True, store_history=False)
        reply = await self._reply(request, nbformat.v4.new_code_cell(metadata={"execution": {}}), 0)
        if reply is None or reply["status"] != "ok":
            sys.stderr.write(f"kernel: it is not prepared: {reply}\n")

    _set_up_kernel = run_sync(_async_set_up_kernel)


async def _waiting(channel: Any) -> AsyncIterator[Message]:
    """The messages that wait in a channel, at most `BATCH`."""
    for _ in range(BATCH):
        try:
            yield await channel.get_msg(timeout=0)
        except Empty:
            return


def _error_output(error: dict[str, Any]) -> "NotebookNode":
    """What the notebook shows under a cell whose kernel has shown nothing."""
    kind, message = error["type"], error["message"]
    return nbformat.v4.new_output("error", ename=kind, evalue=message, traceback=[f"{kind}: {message}"])
