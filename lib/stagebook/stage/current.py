"""Which stage this process is: told by the runner, or made up for an interactive notebook."""

import os
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from stagebook.errors import ConfigError, UndeclaredTable
from stagebook.model.context import VARIABLE, StageContext
from stagebook.model.pipeline import SparkSettings, Tracking
from stagebook.stage.host import Host, host
from stagebook.storage import atomic

INTERACTIVE_PARAMS = "dev.yaml"

VOLUMES = "STAGEBOOK_VOLUMES"
"""The environment variable by which a stand-in for Databricks says where its volumes are."""


@dataclass(frozen=True)
class Current:
    """The context, and whether a runner gave it: only then tables must be declared.

    `written` holds the versions that a stage of a run has committed: it may read them.
    """

    context: StageContext
    managed: bool
    written: dict[str, int] = field(default_factory=dict)

    def may(self, table: str, key: str) -> None:
        """Refuse a table that the stage's `reads` or `writes` does not name.

        Raises:
            UndeclaredTable: with the line to add.
        """
        declared = self.context.reads if key == "reads" else self.context.writes
        if self.managed and table not in declared:
            raise UndeclaredTable.of(table, stage=self.context.stage, key=key, declared=declared)


@cache
def current() -> Current:
    """The stage of this process."""
    path = os.environ.get(VARIABLE)
    if path is None and (there := host()) is not None:
        return Current(_on_databricks(there), managed=False)
    if path is None:
        return Current(_interactive(), managed=False)
    value = atomic.read_json(Path(path))
    if value is None:
        raise ConfigError(f"{VARIABLE} names {path}, and there is no such file. Unset it to work interactively.")
    return Current(StageContext.from_json(value), managed=True)


def _on_databricks(there: Host) -> StageContext:
    """The context of a task: tables by name, files on the volume, MLflow of the workspace with Unity Catalog.

    `MLFLOW_TRACKING_URI`, which a workspace sets itself, names the tracking server.
    """
    catalog, schema, run_id = there.told("catalog"), there.told("schema"), there.told("run_id", "interactive")
    name = there.told("model", "model")
    attempt = there.told("attempt", "1")
    return StageContext(
        run_id=run_id,
        stage=there.told("stage", "interactive"),
        attempt=int(attempt) if attempt.isdecimal() else 1,
        run_folder=Path(tempfile.gettempdir()) / f"stagebook-{run_id}",  # volumes know no locks
        warehouse=volume(there),
        tables=Path("/") / catalog / schema,
        engine="spark",
        tracking=Tracking(
            uri=os.environ.get("MLFLOW_TRACKING_URI", "databricks"),
            experiment=there.told("experiment", f"/Shared/{schema}"),
            registered_model=name if "." in name else f"{catalog}.{schema}.{name}",
        ),
        spark=SparkSettings(remote="databricks", catalog=catalog, schema=schema),
    )


def volume(there: Host) -> Path:
    """The folder of the volume, `/Volumes/<catalog>/<schema>/<volume>`; a stand-in keeps `/Volumes` elsewhere."""
    root = Path(os.environ.get(VOLUMES, "/Volumes"))
    return root / there.told("catalog") / there.told("schema") / there.told("volume")


def _interactive() -> StageContext:
    """A context of our own: the places and names of `params/dev.yaml` at or above this folder."""
    from stagebook.params.load import Flags, load  # a quarter of the kernel's start, which in a run nobody needs

    pipeline = load([INTERACTIVE_PARAMS], Flags(), os.environ, Path.cwd())
    run_id = f"interactive-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.getpid()}"
    return StageContext(
        run_id=run_id,
        stage="interactive",
        attempt=1,
        run_folder=pipeline.places.runs / run_id,
        warehouse=pipeline.places.warehouse,
        tables=pipeline.places.tables,
        engine="pandas" if pipeline.engine == "auto" else pipeline.engine,
        spark=pipeline.spark,
        tracking=pipeline.tracking,
        external=pipeline.places.external,
    )
