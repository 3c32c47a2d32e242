"""One stage through papermill in the process of a notebook on Databricks; see `runners/databricks_task.py`."""

from pathlib import Path

from stagebook.errors import ConfigError
from stagebook.stage import ending
from stagebook.stage.current import current, volume
from stagebook.stage.databricks import databricks_notebook, parse_parameter


def run() -> Path:
    """Execute the notebook that the job names, with the parameters that it passes; gives where it is saved.

    Parameters, notebook and paths come as widgets. Also where a cell fails the notebook is saved, on the volume
    as `runs/<run id>/<stage>-<attempt>.ipynb`, and scraps glued before are handed on. A notebook that `stage.end` ends
    has succeeded.

    Raises:
        papermill.PapermillExecutionError: with the cell that failed.
        ConfigError: if this is no notebook of a job on Databricks.
    """
    from stagebook.executor import in_process
    from stagebook.executor.scraps import scraps
    from stagebook.notebooks.outline import outline
    from stagebook.notebooks.parameters import declared
    from stagebook.notebooks.read import load

    task = databricks_notebook()
    if task is None:
        raise ConfigError("this is for a job on Databricks. On this machine: `stagebook run --params …`.")
    notebook = Path(task.setting("notebook"))
    parameters = {
        name: parse_parameter(name, text, parameter.default, parameter.annotation)
        for name, parameter in (declared(outline(notebook)) or {}).items()
        if not parameter.widget and (text := task.widget(name)) is not None
    }
    context = current().context
    output = volume(task) / "runs" / context.run_id / f"{context.stage}-{context.attempt}.ipynb"
    ending.executed_by_us = True
    try:
        in_process.execute(load(notebook), parameters, output)
    finally:
        ending.executed_by_us = False
        if output.is_file():
            for name, value in scraps(load(output)).items():
                task.set_task_value(name, value)
    return output
