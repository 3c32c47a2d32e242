"""The papermill engine: truthful cell states, atomic saves by time, kernels that cannot hang it.

Papermill's own engine calls every cell `completed` after a dead kernel, rewrites the whole notebook at
each cell's start and end with a plain `open`, and lets a synchronous kernel manager hang on a kernel's
death. What stays papermill's: loading, parameter injection, and the notebook's metadata.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.engines import Engine, NotebookExecutionManager

from stagebook import atomic
from stagebook.executor import injection
from stagebook.executor.job import CellProgress, Outcome
from stagebook.executor.kernels import lifecycle
from stagebook.executor.kernels.prestarted import CLIENT_OPTIONS, PrestartedKernel
from stagebook.executor.stage_client import StageClient
from stagebook.machine import memory, oom_kills
from stagebook.model.record import AttemptStatus
from stagebook.notebooks.cells import DATABRICKS_SETUP

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from nbformat import NotebookNode

    from stagebook.executor.kernels.client import FastKernelManager
    from stagebook.executor.kernels.prespawned import PrespawnedKernel

SAVE_EVERY_SECONDS = 5.0
SAVE_SHARE = 20.0  # a save may take 1/20 of the time between saves


@dataclass
class AttemptExecution:
    """One attempt in this process: where its output goes, how long it may take, what happened.

    `prespawned` is a forked kernel that waits for its command, `prestarted` one that has answered. `timeout_seconds`
    limits the whole attempt, from `started` on (`time.monotonic()`). `oom_kills` are those of the machine before it.
    `access_report` is as in `Job`. `running` is the number of the code cell under way, or of the last one. `outcome` is
    None until the notebook ends.
    """

    output: Path
    folder: str
    environment: dict[str, str]
    label: dict[str, Any]
    report: Callable[[CellProgress], None]
    is_databricks: bool = False
    may_exit: bool = False
    prespawned: "PrespawnedKernel | None" = None
    prestarted: PrestartedKernel | None = None
    access_report: dict[str, Any] | None = None
    timeout_seconds: float | None = None
    started: float = field(default_factory=time.monotonic)
    oom_kills: int = field(default_factory=oom_kills)
    running: int | None = None
    notebook: "NotebookNode | None" = None
    manager: "FastKernelManager | None" = None
    stopping: bool = False
    outcome: Outcome | None = None

    @property
    def stage(self) -> str:
        return str(self.label.get("stage", "…"))

    @property
    def is_time_over(self) -> bool:
        return self.timeout_seconds is not None and time.monotonic() >= self.started + self.timeout_seconds

    def interrupted(self, cell: int | None) -> Outcome:
        """The outcome of an attempt that the run has stopped."""
        return Outcome.failed(AttemptStatus.INTERRUPTED, "Interrupted", "the run was stopped", cell)

    def broken(self, error: Exception, cell: int | None) -> Outcome:
        """The outcome after an error that did not come from the notebook's own code."""
        match error:
            case _ if self.stopping:
                return self.interrupted(cell)
            case CellTimeoutError():
                return Outcome.failed(AttemptStatus.TIMEOUT, "Timeout", _time_is_over(self.timeout_seconds, cell), cell)
            case DeadKernelError():
                is_out_of_memory = oom_kills() > self.oom_kills
                kind, message = _death(self.kernel_exit, out_of_memory=is_out_of_memory)
                return Outcome.failed(AttemptStatus.KERNEL_DIED, kind, message, cell)
        return Outcome.failed(AttemptStatus.FAILED, type(error).__name__, str(error) or "no message", cell)

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
        self.before_save: Callable[[], None] = lambda: None
        self._next_save = 0.0

    def save(self, **kwargs: Any) -> None:
        """Save if the last save is long enough ago."""
        if time.monotonic() >= self._next_save:
            with suppress(OSError):  # the last save decides
                self.save_now()

    def autosave_cell(self, **kwargs: Any) -> None:
        self.save()

    def save_now(self) -> None:
        """Replace the notebook on disk by the present state."""
        started = time.monotonic()
        self.before_save()
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


def databricks_setup_cell() -> "NotebookNode":
    """The cell that defines in a notebook what Databricks defines."""
    lines = [
        "# What Databricks defines in a notebook.",
        "from stagebook.stage import databricks_shell",
        "",
        "databricks_shell.begin()",
    ]
    return nbformat.v4.new_code_cell("\n".join(lines), metadata={"tags": [DATABRICKS_SETUP]})


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
            injection.check(nb)
            cls.execute_managed_notebook(manager, kernel_name, execution=execution)
        finally:
            manager.notebook_complete()
        return nb

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: CellStateManager, kernel_name: str, *, execution: AttemptExecution, **_: Any
    ) -> None:
        with execution.kernel(kernel_name) as (execution.manager, kernel_client):
            client = StageClient(nb_man, km=execution.manager, **CLIENT_OPTIONS)
            client.kc = kernel_client  # None: it makes one
            client.owns_km = True  # so that the client ends a kernel that it did not start
            client.execute(cwd=execution.folder, env=execution.environment)


def _time_is_over(limit: float | None, cell: int | None) -> str:
    where = "before its first cell" if cell is None else f"in cell {cell}"
    return f"the attempt ran longer than its time limit of {limit:g} s (timeout_seconds), {where}"


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
