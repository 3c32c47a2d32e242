"""Reading pinned tables and committing new versions."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from stagebook.engines.local import LocalEngine
from stagebook.model.tables import Commit, Predicates, TableSchema
from stagebook.stage.current import current
from stagebook.tables.warehouse import Warehouse, Writer


@cache
def warehouse() -> Warehouse:
    """The tables of this process's run."""
    return Warehouse(current().context.tables, LocalEngine())


def read(name: str, *, columns: Sequence[str] | None = None, where: Predicates | None = None) -> Any:
    """A table as a frame of the run's engine (pandas with Arrow dtypes), rows in no promised order.

    Under the runner it is the version that this run pinned; in an interactive notebook the newest.

    Args:
        columns: only these, in this order; all others are not read from disk.
        where: conditions such as `[("month", "=", 12)]`, joined by *and* and pushed down to the files.
    Raises:
        UndeclaredTable: if the stage's `reads` does not name it.
        UnknownTable: if there is no such table or version.
    """
    stage = current()
    stage.may(name, "reads")
    return warehouse().read(name, version=stage.context.inputs.get(name), columns=columns, where=where)


def write(frame: Any, schema: TableSchema, *, replace: Predicates | None = None) -> Commit:
    """Commit a frame as the new content of its table, checked against the schema.

    One Delta commit that carries run id, stage and attempt. A retried or resumed stage that writes the
    same content again commits nothing and gets the first commit.

    Args:
        replace: replace only the rows that meet these conditions, and keep all others.
    Raises:
        SchemaViolation: if more rows break a rule than the schema tolerates.
        UndeclaredTable: if the stage's `writes` does not name it.
    """
    stage = current()
    stage.may(schema.name, "writes")
    context = stage.context
    writer = Writer(context.run_id, context.stage, context.attempt)
    return warehouse().write(frame, schema, writer=writer, replace=replace)
