"""Which stage this process is: from the runner's context file, or made up for an interactive notebook."""

import os
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from stagebook import atomic
from stagebook.errors import ConfigError, UndeclaredTable
from stagebook.model.context import VARIABLE, StageContext
from stagebook.model.pipeline import SparkSettings, Tracking
from stagebook.stage.databricks import DatabricksNotebook, databricks_notebook

INTERACTIVE_PARAMS = "dev.yaml"

VOLUMES = "STAGEBOOK_VOLUMES"
"""The environment variable that names the folder which stands for `/Volumes` outside of Databricks."""


@dataclass(frozen=True)
class CurrentStage:
    """The context, and whether a runner gave it (`managed`): only then tables must be declared.

    `written` holds the versions that a stage of a run has committed: it may read them.
    """

    context: StageContext
    managed: bool
    written: dict[str, int] = field(default_factory=dict)

    def refuse_undeclared(self, table: str, key: str) -> None:
        """Refuse a table that the stage's `reads` or `writes` does not name.

        Raises:
            UndeclaredTable: with the line to add.
        """
        declared = self.context.reads if key == "reads" else self.context.writes
        if self.managed and table not in declared:
            raise UndeclaredTable.of(table, stage=self.context.stage, key=key, declared=declared)


@cache
def current() -> CurrentStage:
    """The stage of this process."""
    path = os.environ.get(VARIABLE)
    if path is None and (notebook := databricks_notebook()) is not None:
        return CurrentStage(_databricks_context(notebook), managed=False)
    if path is None:
        return CurrentStage(_interactive_context(), managed=False)
    value = atomic.read_json(Path(path))
    if value is None:
        raise ConfigError(f"{VARIABLE} names {path}, and there is no such file. Unset it to work interactively.")
    return CurrentStage(StageContext.from_json(value), managed=True)


def _databricks_context(notebook: DatabricksNotebook) -> StageContext:
    """The context of a task: tables by name, files on the volume, MLflow of the workspace with Unity Catalog.

    `MLFLOW_TRACKING_URI`, which a workspace sets itself, names the tracking server.
    """
    catalog, schema = notebook.setting("catalog"), notebook.setting("schema")
    run_id, model = notebook.setting("run_id", "interactive"), notebook.setting("model", "model")
    attempt = notebook.setting("attempt", "1")
    return StageContext(
        run_id=run_id,
        stage=notebook.setting("stage", "interactive"),
        attempt=int(attempt) if attempt.isdecimal() else 1,
        run_folder=Path(tempfile.gettempdir()) / f"stagebook-{run_id}",  # volumes know no locks
        warehouse=volume(notebook),
        tables=Path("/") / catalog / schema,
        engine="spark",
        tracking=Tracking(
            uri=os.environ.get("MLFLOW_TRACKING_URI", "databricks"),
            experiment=notebook.setting("experiment", f"/Shared/{schema}"),
            registered_model=model if "." in model else f"{catalog}.{schema}.{model}",
        ),
        spark=SparkSettings(remote="databricks", catalog=catalog, schema=schema),
    )


def volume(notebook: DatabricksNotebook) -> Path:
    """The folder of the volume, `/Volumes/<catalog>/<schema>/<volume>`; `VOLUMES` moves `/Volumes`."""
    root = Path(os.environ.get(VOLUMES, "/Volumes"))
    return root / notebook.setting("catalog") / notebook.setting("schema") / notebook.setting("volume")


def _interactive_context() -> StageContext:
    """A context of our own: the paths and names of `params/dev.yaml` at or above this folder."""
    from stagebook.config.flags import Flags
    from stagebook.config.load import load  # a quarter of the kernel's start, which no run needs
    from stagebook.config.merge import find_file

    find_file(INTERACTIVE_PARAMS, Path.cwd(), asker=f"a notebook outside of a run reads params/{INTERACTIVE_PARAMS}")
    pipeline = load([INTERACTIVE_PARAMS], Flags(), os.environ, Path.cwd())
    run_id = f"interactive-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"
    return StageContext(
        run_id=run_id,
        stage="interactive",
        attempt=1,
        run_folder=pipeline.paths.runs / run_id,
        warehouse=pipeline.paths.warehouse,
        tables=pipeline.paths.tables,
        engine="pandas" if pipeline.engine == "auto" else pipeline.engine,
        spark=pipeline.spark,
        tracking=pipeline.tracking,
        external=pipeline.paths.external,
    )
