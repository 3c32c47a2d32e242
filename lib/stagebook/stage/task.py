"""One stage through papermill in the process of a notebook on Databricks; see `runners/databricks_task.py`."""

from pathlib import Path

from stagebook.errors import ConfigError
from stagebook.stage.current import current, volume
from stagebook.stage.host import host, value_of


def run() -> Path:
    """Execute the notebook that the job names, with the parameters that it passes; returns where it is kept.

    Parameters, notebook and places come as widgets. Also where a cell fails the notebook is kept, on the volume
    as `runs/<run id>/<stage>-<attempt>.ipynb`, and scraps glued before are handed on.

    Raises:
        papermill.PapermillExecutionError: with the cell that failed.
        ConfigError: if this is no notebook of a job on Databricks.
    """
    from stagebook.execute import inprocess
    from stagebook.execute.scraps import scraps
    from stagebook.notebook.outline import outline
    from stagebook.notebook.parameters import declared
    from stagebook.notebook.read import load

    there = host()
    if there is None:
        raise ConfigError("this is for a job on Databricks. On this machine: `stagebook run --params …`.")
    notebook = Path(there.told("notebook"))
    given = {
        name: value_of(name, text, parameter.default, parameter.annotation)
        for name, parameter in (declared(outline(notebook)) or {}).items()
        if not parameter.widget and (text := there.widget(name)) is not None
    }
    context = current().context
    output = volume(there) / "runs" / context.run_id / f"{context.stage}-{context.attempt}.ipynb"
    executed = load(notebook)
    try:
        executed = inprocess.execute(executed, given, output)
    finally:
        if output.is_file():
            for name, value in scraps(load(output)).items():
                there.hand_on(name, value)
    return output
