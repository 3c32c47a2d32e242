"""A notebook executed in this process, in its own shell: no kernel, the same `spark` and `dbutils`."""

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from papermill.engines import Engine, papermill_engines

from stagebook import atomic
from stagebook.notebooks.cells import is_runnable
from stagebook.notebooks.parameters import check_injected

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from nbformat import NotebookNode
    from papermill.engines import NotebookExecutionManager

ENGINE_NAME = "stagebook-in-process"


def execute(notebook: "NotebookNode", parameters: Mapping[str, Any], output: Path) -> "NotebookNode":
    """Execute a notebook and return it; it is saved at `output` also where a cell fails.

    Raises:
        papermill.PapermillExecutionError: with the cell that failed.
    """
    import nbformat
    from papermill.execute import execute_notebook

    def save(node: "NotebookNode") -> None:
        atomic.write_text(output, nbformat.writes(node))

    papermill_engines.register(ENGINE_NAME, InProcess)
    spec = notebook.metadata.kernelspec
    options = {"engine_name": ENGINE_NAME, "kernel_name": spec.name, "language": spec.language, "progress_bar": False}
    return execute_notebook(notebook, None, parameters=dict(parameters), save=save, **options)


class InProcess(Engine):
    """Papermill's engine whose kernel is the process itself."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: "NotebookExecutionManager", kernel_name: str, *, save: Callable[[Any], None], **_: Any
    ) -> None:
        from IPython.core.interactiveshell import InteractiveShell

        shell = InteractiveShell.instance()
        try:
            for index, cell in enumerate(nb_man.nb.cells):
                if not is_runnable(cell):
                    continue
                if "injected-parameters" in cell.metadata.get("tags", ()):
                    check_injected(cell.source)
                nb_man.cell_start(cell, index)
                error = run_cell(shell, cell)
                if error is not None:
                    nb_man.cell_exception(cell, index, exception=error)
                    break
                nb_man.cell_complete(cell, index)
        finally:
            save(nb_man.nb)


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
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        cell.outputs.append(v4.new_output("error", ename=type(error).__name__, evalue=str(error), traceback=lines))
    return error
