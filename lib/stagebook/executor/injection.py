"""What papermill writes into a notebook: parameters as the notebook declares them, in words of its language."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from papermill.translators import PythonTranslator, papermill_translators

from stagebook.formatting import strict_json
from stagebook.notebooks.kernels import PYTHON
from stagebook.notebooks.outline import of_node
from stagebook.notebooks.parameters import as_declared, check_injected, declared
from stagebook.notebooks.parameters_cell import NotPython

if TYPE_CHECKING:
    from nbformat import NotebookNode

_TAG = "injected-parameters"


class _Translator(PythonTranslator):
    """Papermill's, with tuples and sets, which it would write as texts."""

    @classmethod
    def translate(cls, val: Any) -> str:
        match val:
            case tuple():
                return f"({''.join(f'{cls.translate(item)}, ' for item in val)})"
            case set():
                return f"{{{', '.join(map(cls.translate, val))}}}" if val else "set()"
        return super().translate(val)


def prepare(notebook: "NotebookNode", parameters: Mapping[str, Any]) -> "NotebookNode":
    """The notebook as papermill prepares it, with a cell that sets the parameters, without writing it anywhere."""
    from papermill.execute import prepare_notebook_metadata, remove_error_markers
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    papermill_translators.register(PYTHON, _Translator)
    spec, values = notebook.metadata.kernelspec, as_notebook_declares(notebook, parameters)
    prepared = load_notebook_node(notebook)
    if values:
        prepared = parameterize_notebook(prepared, values, kernel_name=spec.name, language=spec.language)
        prepared.metadata.papermill["parameters"] = strict_json(values)  # in the notebook's file it must be JSON
    return remove_error_markers(prepare_notebook_metadata(prepared, None, None))


def as_notebook_declares(notebook: "NotebookNode", parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with tuples and sets for lists, where the notebook's annotations or defaults ask for them."""
    try:
        declarations = declared(of_node(notebook)) or {}
    except NotPython:
        declarations = {}  # its cell fails when it is run
    return {
        name: as_declared(declarations[name], value) if name in declarations else value
        for name, value in parameters.items()
    }


def check(notebook: "NotebookNode") -> None:
    """Refuse a Python notebook whose injected cell holds more than values; papermill quotes those of other languages.

    Raises:
        UnsafeInjection: with the line.
    """
    for cell in notebook.cells:
        if _TAG in cell.metadata.get("tags", ()) and notebook.metadata.kernelspec.language == PYTHON:
            check_injected(cell.source)
