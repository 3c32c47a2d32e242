"""Reading pinned tables and committing new versions."""

import atexit
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stagebook.engines.base import JoinHow
from stagebook.engines.open import open_engine
from stagebook.model.tables import Commit, Parts, Predicates, Stale, TableSchema
from stagebook.stage.current import current
from stagebook.tables.warehouse import Warehouse, Writer

if TYPE_CHECKING:
    import pandas as pd


@functools.cache
def warehouse() -> Warehouse:
    """The tables of this process's run."""
    context = current().context
    engine = open_engine(context.engine, context.spark)
    atexit.register(engine.release)
    return Warehouse(context.tables, engine, context.external)


def read(name: str, *, columns: Sequence[str] | None = None, where: Predicates | None = None) -> Any:
    """A table as a frame of the stage's engine: pandas (Arrow dtypes), lazy polars or Spark; in no promised order.

    Under the runner it is the version that this run pinned, or that this stage has just written; in an
    interactive notebook the newest.

    Args:
        columns: only these, in this order; all others are not read from disk.
        where: conditions such as `[("month", "=", 12)]`, joined by *and* and pushed down to the files.
    Raises:
        UndeclaredTable: if the stage's `reads` does not name it.
        UnknownTable: if there is no such table or version.
    """
    stage = current()
    if name not in stage.written:
        stage.may(name, "reads")
    version = stage.context.inputs.get(name, stage.written.get(name))
    return warehouse().read(name, version=version, columns=columns, where=where)


def fingerprint(frame: Any) -> str:
    """A digest of a frame's rows in any order: equal rows, equal fingerprint, on one version of one engine."""
    return warehouse().engine.fingerprints(frame, None)[None]


def fingerprints(frame: Any, *, by: str) -> dict[Any, str]:
    """For each value of a column the fingerprint of its rows."""
    return warehouse().engine.fingerprints(frame, by)


def stale(schema: TableSchema, parts: Parts, *, everything: bool = False) -> Stale:
    """Which parts of a table must be made again, and why: compared with what its newest version was made from.

    Args:
        parts: the parts that the table is to consist of, with the fingerprints of their inputs.
        everything: make all parts again, although nothing has changed.
    Raises:
        UndeclaredTable: if the stage's `writes` does not name it.
    """
    current().may(schema.name, "writes")
    return warehouse().stale(schema, parts, everything=everything)


def write(frame: Any, schema: TableSchema, *, replace: Predicates | None = None, stale: Stale | None = None) -> Commit:
    """Commit a frame as the new content of its table, checked against the schema.

    One Delta commit that carries run id, stage and attempt. A retried or resumed stage that writes the
    same content again commits nothing and gets the first commit.

    Args:
        frame: a frame, or an iterator of frames that is written piece by piece in little memory.
        replace: replace only the rows that meet these conditions, and keep all others.
        stale: what `stale` gave, to replace these parts by the frame and keep all others. If nothing is stale
            the commit holds no rows: it says that this stage has looked.
    Raises:
        SchemaViolation: if more rows break a rule than the schema tolerates.
        UndeclaredTable: if the stage's `writes` does not name it.
    """
    stage = current()
    stage.may(schema.name, "writes")
    context = stage.context
    writer = Writer(context.run_id, context.stage, context.attempt)
    commit = warehouse().write(frame, schema, writer=writer, replace=replace, stale=stale)
    if stage.managed:
        stage.written[schema.name] = commit.version
    return commit


def frame(data: Any) -> Any:
    """Data of this process (pandas, polars or Arrow) as a frame of the stage's engine; small data, on Spark."""
    return warehouse().engine.frame(data)


def cache(frame: Any) -> Any:
    """The same frame, computed once however often it is used after this; let go of at the end of the stage."""
    return warehouse().engine.cache(frame)


def join(left: Any, right: Any, *, on: Sequence[str], how: JoinHow = "left") -> Any:
    """Two frames joined on equal columns; null keys meet nothing.

    On Spark a small right side is sent to all, and where few keys have most of the rows they are spread:
    for joins that are large on both sides, since the sizes are counted first.
    """
    return warehouse().engine.join(left, right, on=on, how=how)


def count(frame: Any) -> int:
    """The number of rows of a frame of any engine."""
    return warehouse().engine.count(frame)


def to_pandas(frame: Any, *, limit: int | None = None) -> "pd.DataFrame":
    """A frame as pandas with Arrow dtypes in this process, by Arrow, after a look at its size.

    Args:
        limit: rows that are allowed; by default as many as take a quarter of the free memory.
    Raises:
        TooLarge: with what to do instead.
    """
    return warehouse().to_pandas(frame, limit=limit)


def head(frame: Any, rows: int = 5) -> "pd.DataFrame":
    """A few rows to look at."""
    return warehouse().head(frame, rows)
