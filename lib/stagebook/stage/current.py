"""Which stage this process is: told by the runner, or made up for an interactive notebook."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from stagebook.errors import ConfigError, UndeclaredTable
from stagebook.model.context import VARIABLE, StageContext
from stagebook.model.pipeline import Pipeline
from stagebook.params.load import Flags, load
from stagebook.storage import atomic

INTERACTIVE_PARAMS = "dev.yaml"


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
    if path is None:
        return Current(_interactive(), managed=False)
    value = atomic.read_json(Path(path))
    if value is None:
        raise ConfigError(f"{VARIABLE} names {path}, and there is no such file. Unset it to work interactively.")
    return Current(StageContext.from_json(value), managed=True)


def _interactive() -> StageContext:
    """A context of our own: the places and names of `params/dev.yaml` at or above this folder."""
    pipeline: Pipeline = load([INTERACTIVE_PARAMS], Flags(), os.environ, Path.cwd())
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
