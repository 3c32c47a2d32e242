"""A notebook executed in this process, in its own shell: no kernel, the same `spark` and `dbutils`."""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagebook import atomic
from stagebook.executor import injection
from stagebook.executor.cell_end import ALLOWS_ERROR, cell_end, outcome_of
from stagebook.executor.kernels import shell_setup
from stagebook.notebooks.cells import cell_numbers, is_runnable

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from nbformat import NotebookNode
    from papermill.engines import NotebookExecutionManager


def execute(notebook: "NotebookNode", parameters: Mapping[str, Any], output: Path) -> "NotebookNode":
    """Execute a notebook and return it; it is saved at `output` also where a cell fails.

    Raises:
        papermill.PapermillExecutionError: with the cell that failed.
    """
    import nbformat
    from papermill.engines import NotebookExecutionManager

    prepared = injection.prepare(notebook, parameters)
    injection.check(prepared)
    manager = NotebookExecutionManager(prepared, progress_bar=False)
    manager.notebook_start()
    try:
        _run_cells(manager)
    finally:
        atomic.write_text(output, nbformat.writes(prepared))
    return prepared


def _run_cells(manager: "NotebookExecutionManager") -> None:
    """Run the cells until one fails or ends the notebook; what is executed is judged as in a kernel of its own."""
    from IPython.core.interactiveshell import InteractiveShell
    from papermill.exceptions import PapermillExecutionError

    shell = InteractiveShell.instance()
    shell_setup.prepare(shell)
    numbers, cells = cell_numbers(manager.nb), manager.nb.cells
    runnable = [index for index, cell in enumerate(cells) if is_runnable(cell)]
    for place, index in enumerate(runnable, start=1):
        cell, tags = cells[index], cells[index].metadata.get("tags", ())
        manager.cell_start(cell, index)
        reply = _reply(run_cell(shell, cell), cell)
        end = cell_end(reply, cell.outputs, allows_error=ALLOWS_ERROR in tags)
        outcome = outcome_of(end, cell=numbers[index], cells_after=len(runnable) - place)
        if outcome is not None and outcome.error is not None:
            manager.cell_exception(cell, index)
            kind, message, lines = outcome.error["type"], outcome.error["message"], reply.get("traceback", [])
            raise PapermillExecutionError(index, cell.execution_count, cell.source, kind, message, lines)
        if outcome is not None:
            end.show_in(cell)
        manager.cell_complete(cell, index)
        if outcome is not None:
            return


def _reply(error: BaseException | None, cell: "NotebookNode") -> dict[str, Any]:
    """What a kernel would answer."""
    if error is None:
        return {"status": "ok"}
    shown = cell.outputs[-1]
    return {"status": "error", "ename": shown.ename, "evalue": shown.evalue, "traceback": shown.traceback}


def run_cell(shell: "InteractiveShell", cell: "NotebookNode") -> BaseException | None:
    """Run a cell and put its outputs into it; returns the error that it raised, or None."""
    from IPython.utils.capture import capture_output
    from nbformat import from_dict, v4

    # Within the trap of an outer cell, or of this one: else each cell would put the shell's own display hook back.
    with shell.display_trap, capture_output() as captured:
        result = shell.run_cell(cell.source)
    cell.outputs = [
        v4.new_output("stream", name=name, text=text)
        for name, text in (("stdout", captured.stdout), ("stderr", captured.stderr))
        if text
    ]
    for output in captured.outputs:
        cell.outputs.append(from_dict(v4.new_output("display_data", data=output.data, metadata=output.metadata or {})))
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        renders_itself = getattr(error, "_render_traceback_", None)
        lines = renders_itself() if renders_itself else traceback.format_exception(error)
        cell.outputs.append(v4.new_output("error", ename=type(error).__name__, evalue=str(error), traceback=lines))
    return error
