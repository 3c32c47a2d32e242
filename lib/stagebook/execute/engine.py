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

from stagebook.engines.memory import memory, oom_kills
from stagebook.execute import kernel
from stagebook.execute.job import CellProgress
from stagebook.execute.ready import CLIENT, ReadyKernel
from stagebook.notebook.cells import headings, is_runnable
from stagebook.notebook.parameters import check_injected
from stagebook.standins import NotebookExit
from stagebook.storage import atomic

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from nbformat import NotebookNode

    from stagebook.execute.host.embryo import Embryo
    from stagebook.execute.prompt import PromptManager

ENGINE_NAME = "stagebook"
WELCOME = "stagebook-guest"
"""Tag of the cell that puts into a notebook what Databricks does."""

EXIT = NotebookExit.__name__
SAVE_EVERY_SECONDS = 5.0
SAVE_SHARE = 20.0  # a save may take 1/20 of the time between saves


@dataclass
class Session:
    """One attempt in this process: where it goes, how long it may take, what happened.

    `deadline` is a `time.monotonic()` value. `running` is the number of the code cell under way.
    """

    output: Path
    folder: str
    environment: dict[str, str]
    label: dict[str, Any]
    report: Callable[[CellProgress], None]
    embryo: "Embryo | None" = None  # a forked kernel that waits for its command
    ready: ReadyKernel | None = None
    deadline: float | None = None
    oom_kills: int = field(default_factory=oom_kills)  # of the machine, before this attempt
    running: int | None = None
    notebook: "NotebookNode | None" = None
    manager: "PromptManager | None" = None
    stopping: bool = False
    finished: bool = False
    broken: tuple[str, str] | None = None  # type and message, where the kernel stopped answering

    def seconds_left(self) -> float | None:
        return None if self.deadline is None else max(0.01, self.deadline - time.monotonic())

    @contextmanager
    def kernel(self, name: str) -> "Iterator[tuple[PromptManager, AsyncKernelClient | None]]":
        """The manager of a kernel of this name; with a client where it is the one that is ready."""
        if self.ready is not None and self.ready.manager.kernel_name == name:
            yield self.ready.manager, self.ready.client
            return
        unused = None if self.embryo is None or self.embryo.used else self.embryo
        with kernel.manager(name, self.folder, unused) as manager:
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


class TruthfulManager(NotebookExecutionManager):
    """Keeps cell states true and saves by time, in one step each."""

    def __init__(self, nb: "NotebookNode", session: Session) -> None:
        super().__init__(nb, output_path=str(session.output), progress_bar=False)
        self.session = session
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
        atomic.write_text(self.session.output, nbformat.writes(self.nb))
        took = time.monotonic() - started
        self._next_save = time.monotonic() + max(SAVE_EVERY_SECONDS, SAVE_SHARE * took)

    def notebook_complete(self, **kwargs: Any) -> None:
        """Close the notebook. Cells that never ran stay `pending`: nothing is made up."""
        self.end_time = self.now()
        papermill = self.nb.metadata.papermill
        papermill["end_time"] = self.end_time.isoformat()
        if self.start_time is not None:
            papermill["duration"] = (self.end_time - self.start_time).total_seconds()
        papermill["exception"] = any(cell.metadata.papermill["exception"] for cell in self.nb.cells) or None
        self.save_now()


class StageClient(PapermillNotebookClient):
    """Runs the cells one after the other and says of each how it ended."""

    def papermill_execute_cells(self) -> None:
        session: Session = self.nb_man.session
        assert session.manager
        session.manager.at_rest = False
        self._execute_cells(session)
        session.manager.at_rest = True

    def _execute_cells(self, session: Session) -> None:
        names = headings(self.nb)
        runnable = [index for index, cell in enumerate(self.nb.cells) if is_runnable(cell)]
        for index, cell in enumerate(self.nb.cells):
            if session.stopping:
                raise DeadKernelError("stopped between two cells")
            if index in runnable:
                session.running = runnable.index(index) + 1
                session.report(CellProgress(session.running, len(runnable), names[index]))
            self.nb_man.cell_start(cell, index)
            try:
                self.execute_cell(cell, index)
            except CellExecutionError as error:
                if error.ename == EXIT and _is_welcomed(self.nb):
                    self._exited(index, error.evalue)
                    return
                self._failed(index, error)
                break
            except BaseException as error:
                self._failed(index, error)
                self.nb.cells[index].outputs.append(_error_output(session, error))
                raise
            self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)
        session.finished = all(_ran(cell) for cell in self.nb.cells)

    def _exited(self, index: int, value: str) -> None:
        """The notebook has ended before its last cell, and successfully; cells that never ran stay `pending`."""
        cell = self.nb.cells[index]
        cell.outputs = [output for output in cell.outputs if output.output_type != "error"]
        cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=f"Notebook exited: {value}\n"))
        self.nb_man.cell_complete(cell, cell_index=index)
        self.nb_man.session.finished = True

    def _failed(self, index: int, error: BaseException) -> None:
        self.nb_man.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
        self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)


def welcome() -> "NotebookNode":
    """The cell that puts into a notebook what Databricks does."""
    source = "# What Databricks puts into a notebook.\nfrom stagebook.stage import guest\n\nguest.begin()"
    return nbformat.v4.new_code_cell(source, metadata={"tags": [WELCOME]})


def _is_welcomed(notebook: "NotebookNode") -> bool:
    return any(WELCOME in cell.metadata.get("tags", ()) for cell in notebook.cells)


def _ran(cell: "NotebookNode") -> bool:
    return not is_runnable(cell) or cell.metadata.papermill["status"] == "completed"


class StageEngine(Engine):
    """Papermill's engine protocol over `TruthfulManager` and `StageClient`."""

    @classmethod
    def execute_notebook(  # pyright: ignore[reportIncompatibleMethodOverride] - papermill passes keywords
        cls, nb: "NotebookNode", kernel_name: str, *, session: Session, **_: Any
    ) -> "NotebookNode":
        nb.metadata.papermill["input_path"] = session.label["notebook"]
        nb.metadata.papermill["output_path"] = str(session.output)
        nb.metadata["stagebook"] = session.label
        session.notebook = nb
        manager = TruthfulManager(nb, session)
        manager.notebook_start()
        try:
            for cell in nb.cells:
                if "injected-parameters" in cell.metadata.get("tags", []):
                    check_injected(cell.source)
            cls.execute_managed_notebook(manager, kernel_name, session=session)
        finally:
            manager.notebook_complete()
        return nb

    @classmethod
    def execute_managed_notebook(cls, nb_man: TruthfulManager, kernel_name: str, *, session: Session, **_: Any) -> None:
        with session.kernel(kernel_name) as (session.manager, connected):
            client = StageClient(nb_man, km=session.manager, timeout_func=lambda cell: session.seconds_left(), **CLIENT)
            client.kc = connected
            client.owns_km = True  # so that the client ends the kernel it was given
            client.execute(cwd=session.folder, env=session.environment)


def _error_output(session: Session, error: BaseException) -> "NotebookNode":
    """What the notebook shows under a cell whose kernel did not answer any more."""
    session.broken = kind, message = describe(session, error)
    return nbformat.v4.new_output("error", ename=kind, evalue=message, traceback=[f"{kind}: {message}"])


def describe(session: Session, error: BaseException) -> tuple[str, str]:
    """Type and message of an error that did not come from the notebook's own code."""
    match error:
        case _ if session.stopping:
            return "Interrupted", "the run was stopped"
        case CellTimeoutError():
            return "Timeout", "the attempt ran out of time"
        case DeadKernelError():
            return _death(session.kernel_exit, ran_out=oom_kills() > session.oom_kills)
        case _:
            return type(error).__name__, str(error) or type(error).__name__


def _death(status: int | None, *, ran_out: bool) -> tuple[str, str]:
    """Type and message for a kernel that ended so; `ran_out`: the system has killed something for its memory since."""
    if status is None:
        return "KernelDied", "the kernel died"
    if status >= 0:
        return "KernelDied", f"the kernel ended by itself with exit status {status}"
    name = signal.Signals(-status).name
    if ran_out and -status == signal.SIGKILL:
        peak, total = kernel.peak_rss_bytes() / 1024**3, memory().total / 1024**3
        return "OutOfMemory", (
            f"memory ran out and the system killed the kernel: it held {peak:.2f} GiB, there are {total:.2f} GiB in all"
        )
    return "KernelDied", f"the kernel was killed by {name}"
