"""The papermill engine: truthful cell states, atomic saves by time, kernels that cannot hang it.

Papermill's own engine calls every cell `completed` after a dead kernel, rewrites the whole notebook at
each cell's start and end with a plain `open`, and lets a synchronous kernel manager hang on a kernel's
death. What stays papermill's: loading, parameter injection, the client, error detection.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, NotebookExecutionManager

from stagebook import atomic
from stagebook.dbutils import NotebookExit
from stagebook.executor.job import CellProgress
from stagebook.executor.kernels import lifecycle
from stagebook.executor.kernels.prestarted import CLIENT_OPTIONS, PrestartedKernel
from stagebook.machine import memory, oom_kills
from stagebook.notebooks.cells import headings, is_runnable
from stagebook.notebooks.parameters import check_injected

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from nbformat import NotebookNode

    from stagebook.executor.kernels.client import FastKernelManager
    from stagebook.executor.kernels.prespawned import PrespawnedKernel

ENGINE_NAME = "stagebook"
DATABRICKS_SETUP = "stagebook-databricks-setup"
"""Tag of the cell that defines in a notebook what Databricks defines."""

EXIT = NotebookExit.__name__
SAVE_EVERY_SECONDS = 5.0
SAVE_SHARE = 20.0  # a save may take 1/20 of the time between saves


@dataclass
class AttemptExecution:
    """One attempt in this process: where its output goes, how long it may take, what happened.

    `prespawned` is a forked kernel that waits for its command, `prestarted` one that has answered. `deadline` is a
    `time.monotonic()` value. `access_report` is as in `Job`. `oom_kills` are those of the machine before this attempt.
    `running` is the number of the code cell under way. `broken` is an error's type and message, where the kernel
    stopped answering.
    """

    output: Path
    folder: str
    environment: dict[str, str]
    label: dict[str, Any]
    report: Callable[[CellProgress], None]
    prespawned: "PrespawnedKernel | None" = None
    prestarted: PrestartedKernel | None = None
    access_report: dict[str, Any] | None = None
    deadline: float | None = None
    oom_kills: int = field(default_factory=oom_kills)
    running: int | None = None
    notebook: "NotebookNode | None" = None
    manager: "FastKernelManager | None" = None
    stopping: bool = False
    finished: bool = False
    broken: tuple[str, str] | None = None

    def seconds_left(self) -> float | None:
        return None if self.deadline is None else max(0.01, self.deadline - time.monotonic())

    @contextmanager
    def kernel(self, name: str) -> "Iterator[tuple[FastKernelManager, AsyncKernelClient | None]]":
        """The manager of a kernel of this name; with a client where it is the prestarted one."""
        if self.prestarted is not None and self.prestarted.manager.kernel_name == name:
            yield self.prestarted.manager, self.prestarted.client
            return
        unused = None if self.prespawned is None or self.prespawned.used else self.prespawned
        with lifecycle.kernel_manager(name, self.folder, unused) as manager:
            yield manager, None

    @property
    def process_id(self) -> int | None:
        """The kernel's process, which is also its process group."""
        process = getattr(getattr(self.manager, "provisioner", None), "process", None)
        return process.pid if process else None

    @property
    def kernel_exit(self) -> int | None:
        """The kernel's exit status once it has ended; negative: minus the signal."""
        process = getattr(getattr(self.manager, "provisioner", None), "process", None)
        return process.poll() if process else None


class CellStateManager(NotebookExecutionManager):
    """Keeps cell states true and saves by time, in one step each."""

    def __init__(self, nb: "NotebookNode", execution: AttemptExecution) -> None:
        super().__init__(nb, output_path=str(execution.output), progress_bar=False)
        self.execution = execution
        self._next_save = 0.0

    def save(self, **kwargs: Any) -> None:
        """Save if the last save is long enough ago."""
        if time.monotonic() >= self._next_save:
            self.save_now()

    def autosave_cell(self, **kwargs: Any) -> None:
        self.save()

    def save_now(self) -> None:
        """Replace the notebook on disk by the present state."""
        started = time.monotonic()
        atomic.write_text(self.execution.output, nbformat.writes(self.nb))
        seconds = time.monotonic() - started
        self._next_save = time.monotonic() + max(SAVE_EVERY_SECONDS, SAVE_SHARE * seconds)

    def notebook_complete(self, **kwargs: Any) -> None:
        """Close the notebook. Cells that never ran stay `pending`."""
        self.end_time = self.now()
        papermill = self.nb.metadata.papermill
        papermill["end_time"] = self.end_time.isoformat()
        if self.start_time is not None:
            papermill["duration"] = (self.end_time - self.start_time).total_seconds()
        papermill["exception"] = any(cell.metadata.papermill["exception"] for cell in self.nb.cells) or None
        self.save_now()


class StageClient(PapermillNotebookClient):
    """Runs the cells one after the other and records how each ended."""

    def papermill_execute_cells(self) -> None:
        execution: AttemptExecution = self.nb_man.execution
        assert execution.manager
        execution.manager.is_idle = False
        if execution.access_report is not None:
            self._begin_access_report(execution.access_report)
        self._execute_cells(execution)
        execution.manager.is_idle = True

    def _begin_access_report(self, arguments: dict[str, Any]) -> None:
        """Let the kernel report what it opens; one of another environment or language does not."""
        if self.nb.metadata.kernelspec.get("language", "python") == "python":
            code = f"from stagebook.executor.kernels import access_report\naccess_report.begin(**{arguments!r})"
            assert self.kc is not None
            # Nobody waits for the reply: the kernel takes requests in their order.
            self.kc.execute(code, silent=True, store_history=False, stop_on_error=False)

    def _execute_cells(self, execution: AttemptExecution) -> None:
        names = headings(self.nb)
        runnable = [index for index, cell in enumerate(self.nb.cells) if is_runnable(cell)]
        for index, cell in enumerate(self.nb.cells):
            if execution.stopping:
                raise DeadKernelError("stopped between two cells")
            if index in runnable:
                execution.running = runnable.index(index) + 1
                execution.report(CellProgress(execution.running, len(runnable), names[index]))
            self.nb_man.cell_start(cell, index)
            try:
                self.execute_cell(cell, index)
            except CellExecutionError as error:
                if error.ename == EXIT and _has_databricks_setup(self.nb):
                    self._exited(index, error.evalue)
                    return
                self._failed(index, error)
                break
            except BaseException as error:
                self._failed(index, error)
                self.nb.cells[index].outputs.append(_error_output(execution, error))
                raise
            self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)
        execution.finished = all(_ran(cell) for cell in self.nb.cells)

    def _exited(self, index: int, value: str) -> None:
        """The notebook has ended before its last cell, and successfully; cells that never ran stay `pending`."""
        cell = self.nb.cells[index]
        cell.outputs = [output for output in cell.outputs if output.output_type != "error"]
        cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=f"Notebook exited: {value}\n"))
        self.nb_man.cell_complete(cell, cell_index=index)
        self.nb_man.execution.finished = True

    def _failed(self, index: int, error: BaseException) -> None:
        self.nb_man.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
        self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)


def databricks_setup_cell() -> "NotebookNode":
    """The cell that defines in a notebook what Databricks defines."""
    lines = [
        "# What Databricks defines in a notebook.",
        "from stagebook.stage import databricks_shell",
        "",
        "databricks_shell.begin()",
    ]
    return nbformat.v4.new_code_cell("\n".join(lines), metadata={"tags": [DATABRICKS_SETUP]})


def _has_databricks_setup(notebook: "NotebookNode") -> bool:
    return any(DATABRICKS_SETUP in cell.metadata.get("tags", ()) for cell in notebook.cells)


def _ran(cell: "NotebookNode") -> bool:
    return not is_runnable(cell) or cell.metadata.papermill["status"] == "completed"


class StageEngine(Engine):
    """Papermill's engine protocol over `CellStateManager` and `StageClient`."""

    @classmethod
    def execute_notebook(  # pyright: ignore[reportIncompatibleMethodOverride] - papermill passes keywords
        cls, nb: "NotebookNode", kernel_name: str, *, execution: AttemptExecution, **_: Any
    ) -> "NotebookNode":
        nb.metadata.papermill["input_path"] = execution.label["notebook"]
        nb.metadata.papermill["output_path"] = str(execution.output)
        nb.metadata["stagebook"] = execution.label
        execution.notebook = nb
        manager = CellStateManager(nb, execution)
        manager.notebook_start()
        try:
            for cell in nb.cells:
                if "injected-parameters" in cell.metadata.get("tags", []):
                    check_injected(cell.source)
            cls.execute_managed_notebook(manager, kernel_name, execution=execution)
        finally:
            manager.notebook_complete()
        return nb

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: CellStateManager, kernel_name: str, *, execution: AttemptExecution, **_: Any
    ) -> None:
        with execution.kernel(kernel_name) as (execution.manager, kernel_client):
            client = StageClient(
                nb_man, km=execution.manager, timeout_func=lambda cell: execution.seconds_left(), **CLIENT_OPTIONS
            )
            client.kc = kernel_client
            client.owns_km = True  # so that the client ends a kernel that it did not start
            client.execute(cwd=execution.folder, env=execution.environment)


def _error_output(execution: AttemptExecution, error: BaseException) -> "NotebookNode":
    """What the notebook shows under a cell whose kernel does not answer any more."""
    execution.broken = kind, message = describe(execution, error)
    return nbformat.v4.new_output("error", ename=kind, evalue=message, traceback=[f"{kind}: {message}"])


def describe(execution: AttemptExecution, error: BaseException) -> tuple[str, str]:
    """Type and message of an error that did not come from the notebook's own code."""
    match error:
        case _ if execution.stopping:
            return "Interrupted", "the run was stopped"
        case CellTimeoutError():
            return "Timeout", "the attempt ran out of time"
        case DeadKernelError():
            return _death(execution.kernel_exit, out_of_memory=oom_kills() > execution.oom_kills)
        case _:
            return type(error).__name__, str(error) or type(error).__name__


def _death(status: int | None, *, out_of_memory: bool) -> tuple[str, str]:
    """Type and message for a kernel that ended with this status.

    Args: out_of_memory: whether the system has killed a process for its memory since the attempt began.
    """
    if status is None:
        return "KernelDied", "the kernel died"
    if status >= 0:
        return "KernelDied", f"the kernel ended by itself with exit status {status}"
    name = signal.Signals(-status).name
    if out_of_memory and -status == signal.SIGKILL:
        peak, total = lifecycle.peak_rss_bytes() / 1024**3, memory().total / 1024**3
        return "OutOfMemory", (
            f"memory ran out and the system killed the kernel: it held {peak:.2f} GiB, there are {total:.2f} GiB in all"
        )
    return "KernelDied", f"the kernel was killed by {name}"
